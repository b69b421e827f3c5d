"""What a request costs before it runs: jobs, tokens, FLOPs, time, disk, and the effect its seeds can detect."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from typing import Any

from creditbench.benchmark import get_benchmark
from creditbench.data.source import local_folder
from creditbench.errors import CreditBenchError
from creditbench.items import canonical_json
from creditbench.settings import TrainSettings
from creditbench.suite import BASE, Request, parse_arm, resolve, resolve_protocol
from creditbench.suite.schema import DataRef, ModelRef

# Time of a training step over GRPO's, by cost class of the method card (measured on the tiny math track).
CLASS_COST = {"S0": 1.0, "S1": 1.05, "S2": 1.35, "S3": 1.5, "S4": 1.6, "S5": 2.6, "S6": 1.2, "S7": 3.0, "S8": 1.5}
REFILL_COST = 1.45
# Spread of seed means that small RLVR studies show, in score points of 0..1: 0.02 is a usual value.
SEED_SD = 0.02
# Achieved share of an accelerator's peak in RL post-training, and the peak that prices are quoted for (bf16 FLOP/s).
UTILISATION, PEAK = 0.25, 989e12
# One core of a laptop: useful FLOP/s on models of 0.1 M parameters, where overhead rules.
CORE = 1e10
# Sizes that a recipe or a random model has where it does not say otherwise.
RECIPE_SHAPE = {"hidden": 64, "layers": 2, "heads": 4, "kv_heads": 2, "head_dim": 16, "ffn": 192}
RANDOM_SHAPE = {"hidden": 128, "layers": 4, "heads": 4, "kv_heads": 2, "head_dim": 32, "ffn": 384}
_UNITS = {"b": 1e9, "m": 1e6}


def relative_cost(arm_name: str, suite_class: str, own: Mapping[str, Any] | None = None) -> float:
    """Expected time of one training step of an arm as a multiple of GRPO's; 0 for the base, which is not trained.

    own: the method's own settings where a suite has resolved them; else the card's for the suite's class.
    """
    from creditbench.method import get_method

    arm = parse_arm(arm_name)
    if arm.method == BASE:
        return 0.0
    registered = get_method(arm.method)
    if own is None:
        defaults = registered.own_defaults(suite_class)
        own = {**defaults, **{k: v for k, v in registered.card.variants.get(arm.variant, {}).items() if k in defaults}}
    refill = registered.method(dict(own)).refill
    return CLASS_COST.get(registered.card.cost.split("/")[0], 1.5) * (REFILL_COST if refill else 1.0)


def parameters(ref: ModelRef) -> float | None:
    """Parameters of a model as far as its reference says: a size in the hub name (1.7B), sizes of a recipe or random
    model; None where nothing says."""
    if ref.hub is not None:
        found = re.search(r"(\d+(?:\.\d+)?)([bBmM])(?![a-zA-Z])", ref.hub.split("/")[-1])
        return float(found.group(1)) * _UNITS[found.group(2).lower()] if found else None
    shape: dict[str, Any] = dict(ref.random or {})
    if ref.recipe is not None:
        shape = dict((get_benchmark(ref.recipe).card.base or {}).get("base", {}).get("shape", {}))
    usual = RANDOM_SHAPE if ref.random is not None else RECIPE_SHAPE
    hidden, layers, heads, kv, dim, ffn = (int(shape.get(key, value)) for key, value in usual.items())
    return float(layers * (hidden * dim * (2 * heads + 2 * kv) + 3 * hidden * ffn)) if ref.path is None else None


class Whole(Request):
    """A request as if the data of every track were here: a price must not depend on what is downloaded."""

    @cached_property
    def skipped(self) -> dict[str, str]:
        """No track is left out."""
        return {}


def estimate(request: Request) -> dict[str, Any]:
    """Price a request, tracks included whose data is not here yet. Token counts are upper bounds (every response
    reaches its cap); the assumptions are listed, and the evaluations whose number of problems nothing says.
    """
    missing = request.skipped
    request = Whole(request.suite, request.source, request.arms, request.seeds, request.rerun, request.results)
    rows = [_arm_row(request, arm, track) for track in request.tracks for arm in request.arms]
    rows = [row for row in rows if row]
    evaluated = _eval_tokens(request)
    accelerated = request.suite.class_ == "real"
    speed = PEAK * UTILISATION if accelerated else CORE
    flops = sum(row["flops"] for row in rows) + sum(row["flops"] for row in evaluated)
    known = all(row["parameters"] for row in rows + evaluated)
    return {
        "suite": request.suite.name,
        "runs": len(request.runs),
        "evaluations": len(request.evaluations),
        "models": len(request.models),
        "skipped_tracks": missing,
        "train_tokens": sum(row["tokens"] for row in rows),
        "eval_tokens": sum(row["tokens"] for row in evaluated),
        "flops": flops if known else None,
        "hours": flops / speed / 3600 if known else None,
        "unit": "GPU-hours" if accelerated else "core-hours",
        "disk_gib": _disk(request) if known else None,
        "detectable": detectable_effect(len(request.seeds)),
        "uncounted": sorted({row["benchmark"] for row in evaluated if not row["tokens"]}),
        "arms": rows,
        "assumed": [
            "every response reaches its token cap",
            f"sd of seed means {SEED_SD} (measure it on your own runs)",
            f"{UTILISATION:.0%} of {PEAK:.3g} FLOP/s per accelerator" if accelerated else f"{CORE:.0e} FLOP/s per core",
            "a step costs its cost class x GRPO's, S5 (one pass per token) on real models 1 + length / 8 times",
        ],
    }


def _arm_row(request: Request, arm: str, track: str) -> dict[str, Any] | None:
    if arm == BASE or arm in request.suite.tracks[track].skip_arms:
        return None
    settings = resolve(request.suite, arm, track, request.seeds[0]).settings
    responses = settings.steps * settings.prompts_per_step * settings.group_size
    tokens = responses * settings.max_new_tokens * settings.max_turns * len(request.seeds)
    size = parameters(request.suite.tracks[track].base)
    factor = relative_cost(arm, request.suite.class_, settings.method)
    factor *= _pass_per_token(arm, request.suite.class_, settings)
    # Sampling 2N, policy update 6N per token and pass; the cost class scales the sum.
    flops = tokens * (2 + 6 * settings.epochs_per_rollout) * (size or 0) * factor
    return {"arm": arm, "track": track, "runs": len(request.seeds), "tokens": tokens, "step_cost": factor,
            "parameters": size, "flops": flops}  # fmt: skip


def _pass_per_token(arm: str, suite_class: str, settings: TrainSettings) -> float:
    """What a pass per token (class S5) costs beyond the class: measured on tiny, by counting on real models.

    Each of R tokens starts a forward pass over the rest of its response, R / 2 tokens on average at 2N each: R N per
    token beside the 8 N of sampling and updating it.
    """
    from creditbench.method import get_method

    if suite_class == "tiny" or not get_method(parse_arm(arm).method).card.cost.startswith("S5"):
        return 1.0
    return (1 + settings.max_new_tokens * settings.max_turns / 8) / CLASS_COST["S5"]


def problems(ref: DataRef) -> int:
    """Number of problems of a split: by its options or card, else by loading it; 0 where it cannot be loaded here.

    Nothing is downloaded for a price.
    """
    if "n" in ref.options:
        return int(ref.options["n"])
    benchmark = get_benchmark(ref.benchmark)
    stated = benchmark.card.splits.get(ref.split, {}).get("n")
    here = local_folder() is not None or not benchmark.card.data.get("hub")
    if (stated and not ref.options) or not here:
        return int(stated or 0)
    try:
        return _loaded(ref.benchmark, ref.split, canonical_json(dict(ref.options)))
    except CreditBenchError:
        return int(stated or 0)


@cache
def _loaded(benchmark: str, split: str, options: str) -> int:
    return len(get_benchmark(benchmark).load(split, json.loads(options)))


def _eval_tokens(request: Request) -> list[dict[str, Any]]:
    rows = []
    for label, arm, track, _ in request.evaluations:
        found = request.suite.tracks[track]
        ref = next(ref for ref in found.eval if ref.label == label)
        protocol = resolve_protocol(ref)
        tokens = problems(ref) * protocol.k * protocol.max_new_tokens * protocol.max_turns
        size = parameters(found.base)
        flops = 2 * tokens * (size or 0)
        rows.append({"benchmark": label, "arm": arm, "tokens": tokens, "parameters": size, "flops": flops})
    return rows


def _disk(request: Request) -> float:
    """GiB at the end: one model per run (2 bytes per weight, 4 on tiny) and about 300 bytes per evaluated sample."""
    width = 2 if request.suite.class_ == "real" else 4
    weights = sum((parameters(request.suite.tracks[run.track].base) or 0) * width for run in request.runs)
    samples = 0
    for label, _, track, _ in request.evaluations:
        ref = next(ref for ref in request.suite.tracks[track].eval if ref.label == label)
        samples += problems(ref) * resolve_protocol(ref).k
    return (weights + 300 * samples) / 2**30


def detectable_effect(n_seeds: int) -> float | None:
    """Smallest true difference of two arms found with power 0.8 at level 0.05; None below three seeds."""
    from creditbench.stats import MIN_SEEDS, minimum_detectable_effect

    if n_seeds < MIN_SEEDS:
        return None
    return minimum_detectable_effect(seed_sd=SEED_SD, n_seeds=n_seeds)


def lines(budget: dict[str, Any]) -> list[str]:
    """A budget as plain text."""
    jobs = ", ".join(f"{budget[kind]} {kind}" for kind in ("runs", "evaluations", "models"))
    told = [
        f"suite {budget['suite']}: {jobs}",
        f"tokens at most: {budget['train_tokens']:.3g} in training, {budget['eval_tokens']:.3g} in evaluation",
    ]
    if budget["hours"] is None:
        told.append("time and disk: unknown, the size of a base model is not stated")
    else:
        told.append(f"time about {budget['hours']:.3g} {budget['unit']}, disk about {budget['disk_gib']:.2g} GiB")
    effect = budget["detectable"]
    told.append(
        "fewer than 3 seeds: no test is possible, no effect can be shown" if effect is None
        else f"smallest difference that these seeds can show (power 0.8): {100 * effect:.1f} points"
    )  # fmt: skip
    told += _arm_lines(budget["arms"])
    told += [f"not counted: evaluation on {name}, number of problems not known here" for name in budget["uncounted"]]
    told += [f"priced, but cannot run here: {track}: {why}" for track, why in budget["skipped_tracks"].items()]
    return [*told, "assumed: " + "; ".join(budget["assumed"])]


def _arm_lines(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [
        f"  {row['arm']:<24} {row['track']:<8} {row['runs']} runs  {row['tokens']:.3g} tokens  "
        f"{row['step_cost']:.2f} x GRPO"
        for row in rows
    ]
