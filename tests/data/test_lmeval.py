"""lm-eval over the shipped tasks agrees with our evaluation sample by sample; our records export to its format."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path

import pytest
import yaml

from creditbench import records
from creditbench.benchmark import benchmark_names, get_benchmark
from creditbench.data.lmeval_export import export
from creditbench.errors import BadInput
from creditbench.evaluator import evaluate
from creditbench.items import Completion
from creditbench.sampling import Generation

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = [str(i) for i in range(1, 31)]
TEMPLATES = [
    "so \\boxed{%s}",
    "**Answer:** %s",
    "the last number is %s",
    "\\boxed{%s} or \\boxed{1",
    "\\boxed{0%s.0}",
    "\\boxed{7}",
]


def shipped():
    return sorted(ROOT.glob("benchmarks/*/creditbench_*.yaml"))


class Loader(yaml.SafeLoader):
    pass


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def test_every_dated_benchmark_ships_both_tasks_with_the_cards_protocol():
    names = [n for n in benchmark_names(ROOT) if get_benchmark(n, ROOT).card.data.get("released")]
    dated = [n for n in names if get_benchmark(n, ROOT).card.role != "training-set"]
    assert [p.stem for p in shipped()] == sorted(f"creditbench_{n}{s}" for n in dated for s in ("", "_chat"))
    for path in shipped():
        task = yaml.load(path.read_text(), Loader)
        rules = get_benchmark(path.parent.name, ROOT).card.protocol
        assert task["task"] == path.stem and task["dataset_kwargs"]["benchmark"] == path.parent.name
        assert task["repeats"] == rules.k
        kwargs = task["generation_kwargs"]
        sampled = (kwargs["temperature"], kwargs["top_p"], kwargs["max_gen_toks"], kwargs["do_sample"])
        assert sampled == (rules.temperature, rules.top_p, rules.max_new_tokens, True)


@pytest.fixture
def folder(root, monkeypatch):
    """Thirty made-up problems in the place of AIME 2026, whose digests are not known yet."""
    monkeypatch.setenv("CREDITBENCH_DATA", str(root))
    monkeypatch.chdir(ROOT)
    (root / "math").mkdir()
    rows = [
        {"problem": f"What is {i} times one?", "answer": int(n), "problem_idx": i} for i, n in enumerate(NUMBERS, 1)
    ]
    (root / "math" / "aime26.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setattr("creditbench.data.lmeval_task._LOADED", {})
    return root


def run_lm_eval(tasks, **more):
    os.environ["HF_HUB_OFFLINE"] = "1"
    from lm_eval import simple_evaluate
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    class Scripted(LM):
        """The n-th sample of a document fills the n-th template."""

        def __init__(self):
            super().__init__()
            self.count: dict[str, int] = {}

        def loglikelihood(self, requests):
            raise AssertionError("not asked for")

        loglikelihood_rolling = loglikelihood

        def generate_until(self, requests):
            out = []
            for request in requests:
                n = self.count[request.args[0]] = self.count.get(request.args[0], -1) + 1
                template = TEMPLATES[n % len(TEMPLATES)]
                out.append(template % request.doc["answer"] if "%" in template else template)
            return out

    manager = TaskManager(include_path=str(ROOT / "benchmarks"), include_defaults=False)
    return simple_evaluate(Scripted(), tasks=tasks, task_manager=manager, log_samples=True, bootstrap_iters=0, **more)


def test_lm_eval_agrees_with_our_grading_sample_by_sample(folder):
    found = run_lm_eval(["creditbench_aime26"])
    benchmark = get_benchmark("aime26", ROOT)
    items = {item.id: item for item in benchmark.load("test", {})}
    rows = found["samples"]["creditbench_aime26"]
    assert len(rows) == 30
    for row in rows:
        item, (texts,) = items[row["doc"]["id"]], row["resps"]
        assert len(texts) == 8 and row["arguments"][0][0] == benchmark.prompt(item, benchmark.card.protocol)
        done = [Completion(text, 0, "stop") for text in texts]
        ours = benchmark.grade([item] * 8, done, benchmark.card.protocol)
        assert row["avg@k"] == sum(g.correct for g in ours) / 8
        assert row["unparsed"] == sum(g.outcome == "unparsed" for g in ours) / 8
        # by hand: templates 0, 1, 4 are right, 2 names no answer, 3 breaks off, 5 says 7; samples 6, 7 repeat 0, 1
        assert row["avg@k"] == (6 if item.answer == "7" else 5) / 8 and row["unparsed"] == 2 / 8
    scores = found["results"]["creditbench_aime26"]
    assert scores["avg@k,all"] == pytest.approx((29 * 5 + 6) / 240)
    assert scores["pass@k,all"] == 1.0 and scores["k,all"] == 8


def test_the_chat_task_gives_the_users_message(folder):
    rows = run_lm_eval(["creditbench_aime26_chat"], limit=2)["samples"]["creditbench_aime26_chat"]
    benchmark = get_benchmark("aime26", ROOT)
    protocol = benchmark.card.protocol.model_copy(update={"prompt": "chat"})
    first = benchmark.prompt(benchmark.load("test", {})[0], protocol)
    assert rows[0]["arguments"][0][0] == first[-1]["content"]


CARD = """
id: toy
title: t
version: "4"
grader: {id: integer, version: "1"}
protocol: {k: 3, max_new_tokens: 16}
"""
TASK = """
from creditbench.grading import get_grader
from creditbench.items import Item

def load(split, options):
    return [Item(f"p{i}", f"say {i}", str(i)) for i in range(4)]

def render(item, protocol, hint=None):
    return item.problem

def grade(items, completions, protocol):
    return get_grader("integer").grade_many([i.answer for i in items], completions, protocol)
"""


class Letters:
    def encode_prompt(self, rendered, observation=""):
        return [ord(c) for c in rendered]

    def decode(self, ids):
        return "".join(map(chr, ids))


class Scripted:
    """Sample s of problem i: right when s <= i (so 1, 2, 3, 3 of 3), else 77."""

    name, version, batch_rows = "scripted", "1", 64

    def __init__(self):
        self.count: dict[tuple[int, ...], int] = {}

    def generate(self, prompts, seeds, params):
        out = []
        for prompt in map(tuple, prompts):
            n = self.count[prompt] = self.count.get(prompt, -1) + 1
            i = int(chr(prompt[-1]))
            out.append(Generation(tuple(map(ord, f"\\boxed{{{i if n <= i else 77}}}")), (0.0,) * 9, "stop"))
        return out


@pytest.fixture
def record(tmp_path):
    home = tmp_path / "root"
    (home / "benchmarks" / "toy").mkdir(parents=True)
    (home / "methods").mkdir()
    (home / "benchmarks" / "toy" / "card.yaml").write_text(CARD)
    (home / "benchmarks" / "toy" / "task.py").write_text(textwrap.dedent(TASK))
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (model / name).write_text("{}")
    out = tmp_path / "results" / "tiny" / "evals" / "toy" / "grpo" / "math" / "seed0"
    evaluate(model, "toy", "test", None, 0, out, engine=Scripted(), tokenizer=Letters(), root=home, batch=6)
    return out, home


def test_export_has_lm_evals_layout_and_our_numbers(record, tmp_path):
    out, home = record
    results, samples = export(out, tmp_path / "export", with_text=True, root=home)
    found = json.loads(results.read_text())
    scores = found["results"]["toy"]
    # correct per problem: 1, 2, 3, 3 of 3
    assert scores["avg@k,all"] == pytest.approx((1 / 3 + 2 / 3 + 1 + 1) / 4) and scores["pass@k,all"] == 1.0
    # deviations -5/12, -1/12, 1/4, 1/4: variance 0.305556 / 3, standard error its root over the root of 4
    assert scores["avg@k_stderr,all"] == pytest.approx(0.159571, abs=1e-6)
    assert found["n-samples"]["toy"] == {"original": 4, "effective": 4} and found["versions"] == {"toy": "4"}
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert [row["doc"]["id"] for row in rows] == ["p0", "p1", "p2", "p3"]
    stored = records.read_parquet(out / "samples.parquet", records.SAMPLES_SCHEMA).to_pylist()
    texts = {id: [r["completion"] for r in stored if r["problem_id"] == id] for id in ("p0", "p1", "p2", "p3")}
    for row in rows:
        assert row["resps"] == row["filtered_resps"] == [texts[row["doc"]["id"]]]
        assert len({s["seed"] for s in row["creditbench"]}) == 3
        assert row["arguments"]["gen_args_0"]["arg_0"] == row["doc"]["problem"]
    assert [row["avg@k"] for row in rows] == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_export_keys_are_lm_evals_own(record, folder, tmp_path):
    theirs = run_lm_eval(["creditbench_aime26"], limit=2)
    results, samples = export(record[0], tmp_path / "export")
    found = json.loads(results.read_text())
    missing = set(theirs) - set(found) - {"samples", "pretty_env_info", "upper_git_hash"}
    assert missing == set()
    row = json.loads(samples.read_text().splitlines()[0])
    assert set(theirs["samples"]["creditbench_aime26"][0]) - {"unparsed", "error", "k"} <= set(row)
    assert "problem" not in row["doc"]  # text only when asked for
    from lm_eval.utils import make_table

    assert "avg@k" in make_table(found)


def test_export_refuses_what_is_no_evaluation(tmp_path):
    with pytest.raises(BadInput):
        export(tmp_path, tmp_path / "out")


@pytest.mark.slow
def test_a_random_model_through_lm_evals_own_hf_backend(folder, tmp_path):
    """`--model hf` on a random Qwen3 with a byte-level tokenizer: its samples graded by lm-eval's run and by us."""
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(vocab | {"<|end|>": len(vocab)}, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>").save_pretrained(
        tmp_path
    )
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Qwen3Config(
        vocab_size=257, head_dim=16, num_key_value_heads=1, max_position_embeddings=2048, eos_token_id=256, **shape
    )
    Qwen3ForCausalLM(config).save_pretrained(tmp_path)
    found = simple_evaluate(
        "hf", model_args=f"pretrained={tmp_path},device=cpu,dtype=float32", tasks=["creditbench_aime26"], limit=3,
        task_manager=TaskManager(include_path=str(ROOT / "benchmarks"), include_defaults=False), bootstrap_iters=0,
        gen_kwargs="max_gen_toks=24", log_samples=True,
    )  # fmt: skip
    benchmark = get_benchmark("aime26", ROOT)
    items = {item.id: item for item in benchmark.load("test", {})}
    for row in found["samples"]["creditbench_aime26"]:
        (texts,) = row["resps"]
        assert len(texts) == 8 and len(set(texts)) > 1
        done = [Completion(text, 0, "stop") for text in texts]
        ours = benchmark.grade([items[row["doc"]["id"]]] * 8, done, benchmark.card.protocol)
        assert row["avg@k"] == sum(g.correct for g in ours) / 8
        assert row["unparsed"] == sum(g.outcome == "unparsed" for g in ours) / 8


def test_a_record_that_was_changed_is_neither_exported_nor_graded_again(record, tmp_path):
    from creditbench.errors import CheckFailed
    from creditbench.evaluator.breakdown import breakdown
    from creditbench.evaluator.grade import regrade

    out, home = record
    metrics = out / "metrics.json"
    metrics.write_text(metrics.read_text() + " ")
    for use in (
        lambda: export(out, tmp_path / "export", root=home),
        lambda: regrade(out, tmp_path / "again", root=home),
        lambda: breakdown(out, "month", root=home),
    ):
        with pytest.raises(CheckFailed, match=r"metrics\.json: SHA-256 differs.*changed after it was made"):
            use()
    assert not (tmp_path / "export").exists() and not (tmp_path / "again").exists()
