"""A made-up suite folder with the records of real evaluations and runs, and a made-up root with its two benchmarks.

Outcomes are drawn from a seeded generator: every arm has a strength, every problem a difficulty, every seed an effect.
Some texts are hostile on purpose (markup, script, control characters): a page must show them and never obey them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from creditbench import records
from creditbench.evaluator.record import write_record
from creditbench.evaluator.rows import GRADED_SCHEMA, table_of
from creditbench.items import canonical_json, digest_of, digest_text
from creditbench.records.paths import eval_dir, run_dir

STRENGTH = {
    "base": -0.9, "grpo": 0.35, "dapo": 0.5, "opd": 1.35, "opsd": 0.15, "cast": 0.45, "sc_grpo": 0.8, "oar_p": 0.4,
    "oar_g": 0.65, "cast+permuted": 0.42, "sc_grpo+permuted": 0.38, "sc_grpo@matched": 0.6,
}  # fmt: skip
ARMS = tuple(STRENGTH)
STRENGTH |= {"sc_grpo@matched": 0.6, "cast@matched": 0.3}  # for suites that list them
LENGTH = {"opd": 1.35, "dapo": 1.2, "cast": 0.85}
HOSTILE = (
    '</script><script>window.__pwned = 1</script><img src=x onerror="window.__pwned = 2">'
    "<!-- ]]> \u202e right to left \u0000 {{ 7*7 }} ${alert(1)} &amp; \u2028 end"
)
TASK = '''"""Made-up benchmark for page tests."""
from creditbench.items import Graded, Item

def load(split, options):
    n = int(options.get("n", 16))
    return [Item(f"{split}-{i:04d}", PROBLEM.format(i=i, twice=2 * i), ANSWER.format(twice=2 * i)) for i in range(n)]

def render(item, protocol, hint=None):
    return RENDER(item)

def grade(items, completions, protocol):
    return [Graded("wrong", 0.0) for _ in completions]
'''
MATH = 'PROBLEM, ANSWER = "Add {i} and {i}. <b>Be brief</b>", "{twice}"\nRENDER = lambda item: item.problem\n'
SHOP = (
    'PROBLEM, ANSWER = "Find me a mug in size {i}, for less than {twice} dollars", "mug-{twice}"\n'
    'RENDER = lambda item: [{"role": "system", "content": "You shop."}, {"role": "user", "content": item.problem}]\n'
    "def environment():\n    return None\n"
)
CARD = "id: {name}\ntitle: {title}\nversion: '1'\nkind: {kind}\ngrader: {{id: {grader}, version: '1'}}\n" + (
    "protocol: {{k: 8, max_new_tokens: {cap}}}\nchance: 0.001\n"
)


def make_root(root: Path) -> Path:
    """Write `methods/` and `benchmarks/` of a made-up project; returns `root`."""
    for name, title, kind, grader, cap, text in (
        ("toy_math", "Toy sums", "single-turn", "integer", 40, MATH),
        ("toy_shop", "Toy shop", "agent", "shop", 48, SHOP),
    ):
        folder = root / "benchmarks" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "card.yaml").write_text(CARD.format(name=name, title=title, kind=kind, grader=grader, cap=cap))
        (folder / "task.py").write_text(TASK + text)
    for name, told in (("grpo", "none"), ("opd", "external model"), ("sc_grpo", "outcome"), ("cast", "outcome")):
        folder = root / "methods" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "card.yaml").write_text(
            f"id: {name}-0000.00000\ntitle: {name.upper()}\nsummary: What <i>{name}</i> does, in one sentence.\n"
            f'paper: {{id: "0000.00000", title: T, url: "https://example.org/{name}"}}\nprivileged: {told}\n'
        )
    return root


def make_suite(
    results: Path,
    root: Path,
    *,
    suite: str = "toy",
    arms: tuple[str, ...] = ARMS,
    seeds: tuple[int, ...] = (0, 1, 2),
    n_problems: int = 32,
    k: int = 4,
    steps: int = 40,
    tracks: tuple[str, ...] = ("math", "agent"),
    both: bool = False,
) -> Path:
    """Write runs and evaluations of `arms` x `seeds` x `tracks` below `results/<suite>`; returns that folder.

    both: every track is evaluated on both benchmarks instead of its own.
    """
    for track in tracks:
        benchmarks = ["toy_math", "toy_shop"] if both else ["toy_math" if track == "math" else "toy_shop"]
        rng = np.random.default_rng([7, len(track)])
        difficulty_P = rng.normal(0.3, 1.5, n_problems)
        for arm in arms:
            for seed in seeds:
                _run(results, suite, arm, track, seed, steps)
                for benchmark in benchmarks:
                    _evaluation(results, root, suite, benchmark, arm, track, seed, difficulty_P, k)
    return results / suite


def _rng(*words: Any) -> np.random.Generator:
    return np.random.default_rng(int(digest_of([str(w) for w in words])[:12], 16))


def _strength(arm: str, track: str, seed: int) -> float:
    shift = 0.0 if arm == "base" else float(_rng("seed", arm, track, seed).normal(0, 0.09))
    return STRENGTH[arm] * (1.0 if track == "math" else 0.8) + shift


def _run(results: Path, suite: str, arm: str, track: str, seed: int, steps: int) -> None:
    if arm == "base":
        return
    folder, rng = run_dir(results, suite, arm, track, seed), _rng("run", arm, track, seed)
    rows, generated = [], 0
    for step in range(steps):
        done = 1 - np.exp(-3.0 * (step + 1) / steps)
        logit = STRENGTH["base"] + done * (_strength(arm, track, seed) - STRENGTH["base"])
        correct = float(np.clip(1 / (1 + np.exp(0.3 - logit)) + rng.normal(0, 0.03), 0, 1))
        tokens = 22 * LENGTH.get(arm, 1.0) * (1 + 0.2 * done) + rng.normal(0, 0.6)
        generated += int(64 * tokens)
        rows.append(
            {
                "step": step, "correct": correct, "reward": correct, "response_tokens": float(tokens),
                "entropy": float(1.1 - 0.7 * done + rng.normal(0, 0.02)), "generated_tokens": float(64 * tokens),
                "clip_fraction": float(abs(rng.normal(0.01, 0.004))), "grad_norm": float(1 + rng.random()),
                "weight.std": 0.2, "outcome.truncated": float(max(0, 0.1 - 0.1 * done)), "loss": 0.0,
                "uniform_groups": float(0.2 + 0.4 * done),
            }
        )  # fmt: skip
    cost = records.Cost(
        prompt_tokens=64 * steps * 12, generated_tokens=generated, trained_tokens=generated,
        forward_tokens=generated * (arm not in ("grpo", "dapo")), optimizer_steps=steps, rollout_batches=steps,
        extra_forwards=64 * steps * (8 if arm.startswith("oar_p") else arm not in ("grpo", "dapo")),
        flops=6e5 * generated * (3.2 if arm.startswith("oar_p") else 1.0), wall_seconds=60.0 + seed,
        seconds={"rollout": 30.0, "update": 20.0},
    )  # fmt: skip
    config = {"suite": suite, "arm": arm, "track": track, "seed": seed, "settings": {"steps": steps, "lr": 3e-4}}
    records.write_parquet(folder / "curve.parquet", records.curve_table(rows))
    records.write_json(folder / "cost.json", cost.model_dump(mode="json"))
    records.write_json(folder / "config.json", config)
    manifest = records.new_manifest(
        "run", config=config, suite=suite, arm=arm, track=track, seed=seed, base_digest=digest_of("base"),
        method_digest=digest_of(arm), determinism="D3", started="2026-01-01T00:00:00+00:00", seeds={"run": seed},
        ended="2026-01-01T00:01:00+00:00",
    )  # fmt: skip
    records.write_manifest(folder, manifest, ["curve.parquet", "cost.json", "config.json"])


def _evaluation(
    results: Path, root: Path, suite: str, benchmark: str, arm: str, track: str, seed: int,
    difficulty_P: np.ndarray, k: int,
) -> None:  # fmt: skip
    from creditbench.benchmark import get_benchmark

    bench = get_benchmark(benchmark, root)
    items = bench.load("test", {"n": len(difficulty_P)})
    rng, rows, agent = _rng("eval", benchmark, arm, track, seed), [], bench.card.kind == "agent"
    cap = bench.card.protocol.max_new_tokens
    for p, item in enumerate(items):
        solve = 1 / (1 + np.exp(difficulty_P[p] - _strength(arm, track, seed)))
        for sample in range(k):
            hostile = p == 0 and sample == 0
            u, kind = rng.random(), rng.random()
            outcome = "correct" if u < solve else "truncated" if kind < 0.12 else "unparsed" if kind < 0.2 else "wrong"
            n = int(np.clip(rng.normal(22 * LENGTH.get(arm, 1.0), 5), 4, cap))
            n = cap if outcome == "truncated" else n
            answer = int(item.answer.split("-")[-1]) + (0 if outcome == "correct" else int(rng.integers(1, 40)))
            text = HOSTILE if hostile else f"{p} plus {p} is {answer}, counted {int(rng.integers(1000))} = {answer}"
            detail: dict[str, Any] = {}
            if agent:
                text = f"search[mug size {p}]\nclick[mug-{answer}]\nclick[buy now]"
                said = HOSTILE if hostile else f"Results: mug-{answer}, mug-{answer + 2}, cup-{p}"
                detail["turns"] = [
                    {"role": "model", "text": text.split("\n")[0], "n_tokens": 6, "reward": 0.0, "valid": True},
                    {"role": "env", "text": said, "n_tokens": 0, "reward": 0.0, "valid": True},
                    {"role": "model", "text": "click[buy now]", "n_tokens": 4, "reward": 1.0, "valid": True},
                ]
            rows.append(
                {
                    "problem_id": item.id, "problem_digest": item.digest, "sample": sample,
                    "seed": int(rng.integers(2**31)), "prompt_digest": digest_text(item.problem), "completion": text,
                    "token_ids": [1] * n, "completion_digest": digest_text(text), "n_tokens": n,
                    "finish_reason": "length" if outcome == "truncated" else "stop",
                    "grader": f"{bench.card.grader.id} 1", "outcome": outcome,
                    "reward": 1.0 if outcome == "correct" else 0.5 if agent and outcome == "wrong" else 0.0,
                    "extracted": None if outcome == "unparsed" else HOSTILE if hostile else str(answer),
                    "verdict": "equal" if outcome == "correct" else "differs", "detail": canonical_json(detail),
                    "generate_seconds": 0.01, "grade_seconds": 0.001,
                }
            )  # fmt: skip
    facts = records.EvalFacts(
        benchmark=benchmark, label=benchmark, benchmark_version="1", split="test", options={"n": len(items)},
        protocol=bench.card.protocol.model_copy(update={"k": k}).model_dump(mode="json"),
        grader=records.GraderRef(id=bench.card.grader.id, version="1"), engine=records.Engine(name="raw", version="1"),
        batch=256, prompts_digest=digest_of("prompts"), chance=0.001, n_problems=len(items),
        n_requested=len(rows), n_graded=len(rows),
    )  # fmt: skip
    out = eval_dir(results, suite, benchmark, arm, track, seed)
    out.mkdir(parents=True, exist_ok=True)
    fields = {
        "suite": suite, "arm": arm, "track": track, "seed": seed, "base_digest": digest_of("base"),
        "data": {benchmark: {"digest": records.digest_rows(items), "n": len(items)}}, "arm_digest": digest_of(arm),
        "determinism": "D3", "started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:00:30+00:00",
        "seeds": {"eval": seed},
    }  # fmt: skip
    write_record(out, table_of(rows, GRADED_SCHEMA), facts, json.loads(canonical_json(facts.model_dump())), fields)


if __name__ == "__main__":
    import sys

    where = Path(sys.argv[1])
    size = {"n_problems": 256, "k": 8, "steps": 120} if "--tiny" in sys.argv else {}
    print(make_suite(where / "results", make_root(where), **size))
