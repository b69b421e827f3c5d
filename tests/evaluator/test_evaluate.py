"""Evaluation end to end on benchmarks whose answers can be counted by hand."""

import itertools
import json

import pytest

from creditbench import records
from creditbench.errors import BadInput, Busy, CheckFailed
from creditbench.evaluator import evaluate, regrade
from creditbench.items import digest_of, digest_text
from creditbench.seeds import eval_seed


def layout(tmp_path, arm="grpo", seed=0, benchmark="echo"):
    return tmp_path / "results" / "tiny" / "evals" / benchmark / arm / "math" / f"seed{seed}"


def expected_answers(seed=0, n=6, k=4):
    """Answer digits by (problem, sample), straight from the seed rule."""
    return [[str(eval_seed("echo", seed, f"p{i}", s) % 4) for s in range(k)] for i in range(n)]


@pytest.fixture
def run(tmp_path, root, model, letters, seed_engine):
    def call(out=None, seed=0, engine=None, benchmark="echo", protocol=None, **more):
        engine = engine or seed_engine()
        out = out or layout(tmp_path, seed=seed, benchmark=benchmark)
        metrics = evaluate(
            model, benchmark, "test", protocol, seed, out, engine=engine, tokenizer=letters, root=root,
            **({"batch": 5} | more),
        )  # fmt: skip
        return out, metrics

    return call


def test_record_holds_what_was_asked(run, model, tmp_path):
    out, metrics = run()
    answers = expected_answers()
    rows = records.read_parquet(out / "samples.parquet", records.SAMPLES_SCHEMA).to_pylist()
    assert [(r["problem_id"], r["sample"]) for r in rows] == [(f"p{i}", s) for i in range(6) for s in range(4)]
    assert [r["seed"] for r in rows] == [eval_seed("echo", 0, f"p{i}", s) for i in range(6) for s in range(4)]
    assert [r["completion"] for r in rows] == [a for problem in answers for a in problem]
    first = rows[0]
    assert first["prompt_digest"] == digest_of("say 0:") and first["grader"] == "exact@1"
    assert first["completion_digest"] == digest_text(first["completion"])
    assert first["n_tokens"] == 2 and first["token_ids"][-1] == 0 and first["finish_reason"] == "stop"

    correct = [[a == str(i % 4) for a in row] for i, row in enumerate(answers)]
    assert metrics.values["avg@4"] == pytest.approx(sum(map(sum, correct)) / 24)
    for j in (1, 2, 4):
        brute = [any(c[i] for i in pick) for c in correct for pick in itertools.combinations(range(4), j)]
        assert metrics.values[f"pass@{j}"] == pytest.approx(sum(brute) / len(brute))
    assert metrics.values["pass^4"] == pytest.approx(sum(all(c) for c in correct) / 6)
    assert metrics.values["mean_tokens"] == 2.0
    assert metrics.outcomes["correct"] == sum(map(sum, correct)) and sum(metrics.outcomes.values()) == 24
    repeats = 1 - sum(len(set(row)) for row in answers) / 24
    assert metrics.values["identical_rate"] == pytest.approx(repeats)

    manifest = records.read_manifest(out)
    assert (manifest.suite, manifest.arm, manifest.track, manifest.seed) == ("tiny", "grpo", "math", 0)
    assert manifest.eval.n_requested == manifest.eval.n_graded == 24 and manifest.eval.engine.version == "7"
    assert manifest.base_digest == manifest.model_digest == records.model_digest(model)[0]
    assert records.check_files(out, manifest) == []
    assert not list((tmp_path / "results" / ".work").iterdir())


def test_metrics_json_reads_like_an_lm_eval_result(run):
    out, metrics = run()
    stored = json.loads((out / "metrics.json").read_text())
    assert stored["results"]["echo"]["alias"] == "echo"
    assert stored["results"]["echo"]["avg@4,none"] == metrics.values["avg@4"]
    assert stored["n-samples"] == {"echo": {"original": 6, "effective": 6}} and stored["n-shot"] == {"echo": 0}
    assert stored["versions"] == {"echo": "3"} and stored["higher_is_better"]["echo"]["avg@4"] is True
    assert {"task", "group"} & set(stored) == set()


@pytest.mark.parametrize("patience", [0, 1, 3])
def test_a_resumed_evaluation_ends_in_the_same_bytes(run, tmp_path, seed_engine, patience):
    straight, _ = run()
    out = tmp_path / "again" / "tiny" / "evals" / "echo" / "grpo" / "math" / "seed0"
    with pytest.raises(KeyboardInterrupt):
        run(out, engine=seed_engine(patience=patience))
    assert not (out / "manifest.json").exists()
    engine = seed_engine()
    run(out, engine=engine)
    assert engine.calls == 5 - patience  # 24 samples in batches of 5
    for name in ("samples.parquet", "metrics.json"):
        assert (out / name).read_bytes() == (straight / name).read_bytes()


def test_a_damaged_or_foreign_partial_batch_is_sampled_again(run, tmp_path, seed_engine):
    straight, _ = run()
    work = tmp_path / "work"
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", engine=seed_engine(patience=3), work=work)
    parts = sorted(work.rglob("generated-*.parquet"))
    assert len(parts) == 3
    parts[0].write_bytes(parts[0].read_bytes()[:-20])
    parts[1].write_bytes(parts[2].read_bytes())
    engine = seed_engine()
    run(tmp_path / "out", engine=engine, work=work)
    assert engine.calls == 4
    assert (tmp_path / "out" / "samples.parquet").read_bytes() == (straight / "samples.parquet").read_bytes()


def test_one_process_makes_an_evaluation(run, tmp_path):
    """A second one would remove the batches under the first one's feet, and mix its files with the other's."""
    out = layout(tmp_path)
    told = []

    def second(phase, done, total):
        with pytest.raises(Busy, match="another process is making this evaluation"):
            run(out)
        told.append(phase)

    run(out, progress=second)
    assert "sampling" in told and "grading" in told and records.whole(out)
    run(out)


def test_partial_batches_of_another_seed_protocol_or_model_are_not_used(run, tmp_path, seed_engine, model):
    work = tmp_path / "work"
    for change in ({}, {"seed": 1}, {"protocol": {"temperature": 0.5}}, {"options": {"n": 3}}, {"batch": 7}):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "out", engine=seed_engine(patience=1), work=work, **change)
    assert len(list(work.iterdir())) == 5
    (model / "model.safetensors").write_bytes(b"other")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "out", engine=seed_engine(patience=1), work=work)
    assert len(list(work.iterdir())) == 6


def test_every_kind_of_outcome(run, seed_engine):
    seeds = [eval_seed("echo", 0, "p0", s) for s in range(4)]
    odd = {seeds[0]: "...", seeds[1]: " ", seeds[2]: "!", seeds[3]: "0"}
    out, metrics = run(engine=seed_engine(odd))
    rows = records.read_parquet(out / "samples.parquet").to_pylist()[:4]
    assert [r["outcome"] for r in rows] == ["truncated", "unparsed", "error", "correct"]
    assert rows[2]["verdict"] == "grader raised RuntimeError: grader fell over" and rows[2]["reward"] == 0.0
    assert rows[3]["extracted"] == "0" and rows[0]["extracted"] is None
    assert metrics.outcomes["error"] == 1 and records.read_manifest(out).eval.error_share == pytest.approx(1 / 24)
    with pytest.raises(CheckFailed, match=r"4\.2% of the samples"):
        records.comparable([records.read_manifest(out)])


def test_agents_keep_turns_and_failed_episodes_are_errors(run, tmp_path, root):
    out, metrics = run(benchmark="shop")
    rows = records.read_parquet(out / "samples.parquet").to_pylist()
    good, failed = rows[:8], rows[8:]
    detail = json.loads(good[0]["detail"])
    assert [t["role"] for t in detail["turns"]] == ["model", "env", "model"]
    assert detail["env_reward"] == 0.5 and detail["env_info"] == {"n": 2}
    assert all(r["outcome"] == "correct" and r["reward"] == 0.5 and r["verdict"] == "3" for r in good)
    assert all(r["outcome"] == "error" and "no server" in r["verdict"] for r in failed)
    assert metrics.values["mean_reward"] == pytest.approx(8 * 0.5 / 12)
    again = regrade(out, tmp_path / "again", root=root)
    assert again.outcomes == metrics.outcomes
    assert (tmp_path / "again" / "samples.parquet").read_bytes() == (out / "samples.parquet").read_bytes()


def test_regrading_needs_no_model_and_records_the_other_version(run, tmp_path, root, lenient_root):
    out, metrics = run()
    again = regrade(out, tmp_path / "v2", root=lenient_root)
    assert metrics.outcomes["correct"] < 24 and again.outcomes["correct"] == 24
    old, new = (records.read_parquet(p / "samples.parquet") for p in (out, tmp_path / "v2"))
    for name in ("completion", "seed", "token_ids", "prompt_digest"):
        assert old[name].to_pylist() == new[name].to_pylist()
    assert set(new["grader"].to_pylist()) == {"exact@2"}
    manifest = records.read_manifest(tmp_path / "v2")
    assert manifest.eval.grader.version == "2" and manifest.arm == "grpo"
    assert manifest.parents == {"eval": records.digest_file(out / "manifest.json")}
    with pytest.raises(CheckFailed, match="'grader_version' differs"):
        records.comparable([records.read_manifest(out), manifest])
    with pytest.raises(BadInput, match="'k': only `grader`"):
        regrade(out, tmp_path / "v3", {"k": 2}, root=root)
    with pytest.raises(BadInput, match="folder of its own"):
        regrade(out, out, root=root)


def test_window_keeps_the_dated_problems(run):
    _, metrics = run(protocol={"window": {"start": "2024-02-01", "end": "2024-04-01"}})
    assert metrics.n_problems == 3
    with pytest.raises(BadInput, match="no problems are left"):
        run(protocol={"window": {"start": "2030-01-01"}})


def test_shared_sampling_seeds_are_refused(run, monkeypatch):
    import creditbench.evaluator.plan as plan

    monkeypatch.setattr(plan, "eval_seed", lambda benchmark, seed, problem, sample: 5)
    with pytest.raises(CheckFailed, match="share a sampling seed"):
        run()


def test_bad_input_is_named(run, tmp_path):
    with pytest.raises(BadInput, match=r"unknown key 'temprature' \(did you mean 'temperature'\?\)"):
        run(protocol={"temprature": 1})
    with pytest.raises(BadInput, match=r"unknown benchmark 'ecko'.*'echo'"):
        run(benchmark="ecko")
    with pytest.raises(BadInput, match="batch"):
        run(batch=0)
    assert not (tmp_path / "results").exists()


def test_the_parent_run_vouches_for_the_model(run, tmp_path, model):
    weights, _ = records.model_digest(model)
    facts = {"suite": "tiny", "arm": "grpo", "track": "math", "seed": 0, "base_digest": "b" * 64, "method_digest": "m"}

    def run_record(name, digest, lr=0.1, seed=0):
        config = {"settings": {"lr": lr, "checkpoint_every": seed}, "seed": seed}
        manifest = records.new_manifest("run", config=config, model_digest=digest, **(facts | {"seed": seed}))
        records.write_manifest(tmp_path / name, manifest)
        return tmp_path / name

    one = run_record("one", weights)
    out, _ = run(parents={"run": one})
    manifest = records.read_manifest(out)
    assert manifest.base_digest == "b" * 64 and manifest.method_digest == "m"
    assert manifest.parents == {"run": records.digest_file(one / "manifest.json")}
    with pytest.raises(CheckFailed, match="not the model that"):
        run(parents={"run": run_record("two", "f" * 64)})

    digests = [records.arm_digest(records.read_manifest(p)) for p in (one, run_record("s1", weights, seed=1))]
    assert digests[0] == digests[1] == manifest.arm_digest
    assert records.arm_digest(records.read_manifest(run_record("lr", weights, lr=0.2))) != digests[0]
    other, _ = run(seed=1, parents={"run": run_record("lr1", weights, lr=0.2, seed=1)})
    with pytest.raises(CheckFailed, match="'training' differs: echo/grpo/math/seed0 and echo/grpo/math/seed1"):
        records.one_arm([manifest, records.read_manifest(other)])


def test_evaluation_seeds_draw_different_samples(run, tmp_path):
    first, _ = run(seed=0)
    second, _ = run(seed=1)
    a, b = (records.read_parquet(p / "samples.parquet") for p in (first, second))
    assert not set(a["seed"].to_pylist()) & set(b["seed"].to_pylist())


MATH_CARD = """
id: sums
title: Sums
version: "1"
grader: {id: integer, version: "1"}
protocol: {k: 2, max_new_tokens: 40}
"""
MATH_TASK = """
from creditbench.grading import get_grader
from creditbench.items import Item

def load(split, options):
    return [Item("a", "1+1", "2"), Item("b", "2+2", "4")]

def render(item, protocol, hint=None):
    return item.problem

def grade(items, completions, protocol):
    id = "integer" if protocol.grader == "default" else protocol.grader
    return get_grader(id).grade_many([item.answer for item in items], completions, protocol)
"""
SAID = ["\\boxed{2}", "Answer: 2", "**Answer:** 4", "the answer is 4"]


class Saying:
    name, version, batch_rows = "fake", "7", 64

    def __init__(self):
        self.at = 0

    def generate(self, prompts, seeds, params):
        from creditbench.sampling import Generation

        texts = SAID[self.at : self.at + len(prompts)]
        self.at += len(prompts)
        return [Generation(tuple(map(ord, text)), (0.0,) * len(text), "stop") for text in texts]


def test_graders_are_compared_on_stored_completions(tmp_path, root, model, letters, capsys, monkeypatch):
    from creditbench.cli import main
    from creditbench.evaluator import grader_matrix
    from tests.evaluator.conftest import put_benchmark

    put_benchmark(root, "sums", MATH_CARD, MATH_TASK)
    out = layout(tmp_path, benchmark="sums")
    evaluate(model, "sums", "test", None, 0, out, engine=Saying(), tokenizer=letters, root=root)
    found, keys = grader_matrix(out, ["verl_math_dapo", "lenient"], root)
    assert keys == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    pairs = {(d.a, d.b): d for d in found}
    assert len(pairs) == 3
    # integer takes the box and both Answer lines; verl only the plain line; lenient also "the answer is".
    stored = pairs["integer@1 as stored", "verl_math_dapo@1"]
    assert (stored.n, stored.only_a, stored.only_b, stored.examples) == (4, 2, 0, (0, 2))
    assert pairs["integer@1 as stored", "lenient@1"].only_b == 1
    monkeypatch.chdir(root)
    assert main(["grade", str(out), "--matrix", "--grader", "verl_math_dapo", "--out", "matrix.csv"]) == 0
    assert "50.00 %" in capsys.readouterr().out and "a/0, b/0" not in (root / "matrix.csv").read_text()
    assert (root / "matrix.csv").read_text().splitlines()[0] == "grader_a,grader_b,outcome_a,outcome_b,count,n"
    assert main(["grade", str(out), "--grader", "lenient", "--out", "again"]) == 0
    assert records.read_manifest(root / "again").eval.grader.id == "lenient"
    capsys.readouterr()
    for words, said in (
        (["grade", str(out)], "give --out"),
        (["grade", str(out), "--grader", "lenient", "--grader", "latex", "--out", "x"], "--matrix to compare several"),
        (["grade", str(out), "--matrix", "--grader", "lenint"], "did you mean 'lenient'"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
    assert main(["export", str(out), "--out", "lm"]) == 0
    assert [p.name.split("_")[0] for p in sorted((root / "lm").iterdir())] == ["results", "samples"]


def test_a_benchmark_with_its_own_rule_takes_no_other_grader(run, root):
    with pytest.raises(BadInput, match="graded by its own rule 'exact'; 'latex' cannot read"):
        run(protocol={"grader": "latex"})
