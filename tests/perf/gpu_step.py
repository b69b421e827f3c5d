"""What a training step of every method costs on an accelerator, as a ratio to GRPO's, beside the papers' own ratios.

    python -m tests.perf.gpu_step [--shapes 0.6B,1.7B] [--lengths 2048,8192] [--methods grpo,cast,...] [--out FILE]
    python -m tests.perf.gpu_step --tiny          # a small shape; also where there is no accelerator

Qwen3 shapes with random weights, bf16 autocast over float32 weights, 2 groups of 8 responses of exactly T tokens, 2
updates per rollout batch (so that every method pays for its old log-probabilities). All through the trainer's own
functions: `signals` is slots 2 and 3 with all extra passes, `update` is loss, backward and AdamW. `rollout` is
estimated from decoding a few tokens behind half a response. OAR-P is measured on evenly spaced blocks of reasoning
tokens and scaled to all of them. FLOPs are of the update, without recomputation: 6 per weight and token, and causal
attention. OPD's external teacher has the student's shape. Writes results/reference/gpu-<kind>.json on an accelerator.

Needs torch, transformers, pydantic, pyarrow and yaml, and none of trl, datasets, snakemake or lm-eval.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from creditbench.conformance.synthetic import SOURCE, ids_of, synthetic_batch, words
from creditbench.items import Completion, Item
from creditbench.method import Method, get_method
from creditbench.rollouts import RolloutBatch
from creditbench.sampling import open_engine
from creditbench.sampling.types import SamplingParams
from creditbench.settings import TrainSettings
from creditbench.signals import Perturbed
from creditbench.trainer.collect import Collected, assign, optimizer_batches
from creditbench.trainer.loop import Setup, State, autocast, make_optimizer, prepare
from creditbench.trainer.teachers import TeacherPool
from creditbench.trainer.update import Tally, Work, optimizer_step

METHODS = ("grpo", "dapo", "opd", "opsd", "cast", "sc_grpo", "oar_g", "oar_p")
# What the papers say of a step's cost relative to GRPO's: (low, high, what of).
PAPERS = {
    "sc_grpo": [(1.37, 1.51, "actor"), (1.02, 1.13, "end_to_end")],
    "cast": [(1.25, 1.25, "end_to_end")],
    "oar_g": [(1.1, 1.1, "end_to_end")],
    "oar_p": [(5.0, 5.0, "end_to_end")],
}
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12}
"""Dense bf16 FLOP/s of the makers' data sheets."""
GROUPS, SIZE, PROMPT, SOLUTION, ANSWER = 2, 8, 256, 512, 16
ROWS_TOKENS = 16_384


@dataclass(frozen=True)
class Shape:
    """Sizes of a Qwen3 model with tied embeddings."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocabulary: int


SHAPES = {
    "0.6B": Shape(1024, 28, 16, 8, 128, 3072, 151_936),
    "1.7B": Shape(2048, 28, 16, 8, 128, 6144, 151_936),
    "tiny": Shape(32, 2, 2, 1, 16, 64, 512),
}


def build(shape: Shape, device: torch.device, positions: int) -> nn.Module:
    """A random model of the shape, float32 weights, made on the device."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim, max_position_embeddings=positions, tie_word_embeddings=True, pad_token_id=0,
        eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    with device:
        return Qwen3ForCausalLM(config)


def rollouts(length: int, prompt: int, s: TrainSettings) -> RolloutBatch:
    """Two mixed groups of responses of exactly `length` tokens; the last tokens before the end are the answer."""
    marks = [[1, 0] * (SIZE // 2)] * GROUPS
    batch = synthetic_batch(marks, lengths=[[length] * SIZE] * GROUPS, dtype=torch.float32)
    generator = torch.Generator().manual_seed(1)

    def tokens(n: int) -> str:
        return words(torch.randint(6, 29, (n,), generator=generator).tolist())

    made = [Item(f"p{g}", tokens(prompt), answer=tokens(ANSWER), solution=tokens(2 * prompt)) for g in range(GROUPS)]
    items = tuple(made[int(g)] for g in batch.group_B)
    at = torch.arange(length)
    answer_BT = ((at >= length - 1 - ANSWER) & (at < length - 1)).expand(batch.n_rows, -1).clone()
    reasoning_BT = (at < length - 2 - ANSWER).expand(batch.n_rows, -1).clone()
    batch = replace(
        batch, items=items, prompts=tuple(ids_of(item.problem) for item in items), answer_BT=answer_BT,
        reasoning_BT=reasoning_BT, max_response=length, total_steps=100,
        completions=tuple(Completion("", length, "stop", c.token_ids) for c in batch.completions),
    )  # fmt: skip
    return assign(batch, s)


class Meter:
    """Seconds of phases, and the peak memory of the accelerator."""

    def __init__(self, device: torch.device):
        self.cuda = device.type == "cuda"
        self.seconds: dict[str, float] = {}

    def wait(self) -> None:
        """Until the device has done all it was told."""
        if self.cuda:
            torch.cuda.synchronize()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block."""
        self.wait()
        started = time.perf_counter()
        yield
        self.wait()
        self.seconds[name] = time.perf_counter() - started

    def fresh(self) -> None:
        """Forget the peak so far."""
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    @property
    def peak_gib(self) -> float | None:
        """Peak of allocated memory since `fresh`; None on a CPU."""
        return torch.cuda.max_memory_allocated() / 2**30 if self.cuda else None


def thinned(batch: RolloutBatch, blocks: int, block: int = 4) -> tuple[RolloutBatch, float]:
    """The batch with only some evenly spaced blocks of reasoning tokens left, and how many times more there were."""
    at = torch.nonzero(batch.reasoning_BT[0]).flatten()
    if blocks * block >= len(at):
        return batch, 1.0
    starts = torch.linspace(0, len(at) - block, blocks).long()
    keep = torch.zeros(batch.reasoning_BT.shape[1], dtype=torch.bool)
    for start in starts.tolist():
        keep[at[start : start + block]] = True
    return replace(batch, reasoning_BT=batch.reasoning_BT & keep), len(at) / int((keep & batch.reasoning_BT[0]).sum())


def update(setup: Setup, state: State, work: Work) -> None:
    """All optimizer steps of the rollout batch, as the trainer's loop takes them."""
    cast = autocast(setup.settings)
    for micros in optimizer_batches(work.batch):
        state.optimizer.zero_grad(set_to_none=True)
        optimizer_step(state.model, setup.method, work, micros, setup.settings, setup.comm, Tally(), cast())
        nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
        state.optimizer.step()
        state.optimizer_step += 1
        state.pool.after_step(state.optimizer_step)
    state.optimizer.zero_grad(set_to_none=True)


def signals(setup: Setup, state: State, batch: RolloutBatch) -> Work:
    """Slots 2 and 3 on a finished batch."""
    with autocast(setup.settings)():
        return prepare(setup, state, Collected(batch, torch.ones_like(batch.correct_B), (), 0, 0, 1, 0.0))


def one_method(
    name: str, base: nn.Module, batch: RolloutBatch, s: TrainSettings, meter: Meter, repeats: int, blocks: int
) -> dict[str, Any]:
    """Seconds per phase (median of `repeats` after one warm-up) and peak memory of a method's step."""
    registered = get_method(name)
    method: Method = registered.method(registered.own_defaults("real"))
    external = base if any(t.weights == "external" for t in method.teachers.values()) else None
    meter.fresh()
    model = copy.deepcopy(base).requires_grad_(True).train()
    if s.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})  # pyright: ignore
    none: Any = None
    setup = Setup(source=SOURCE, method=method, settings=s)
    state = State(model, make_optimizer(model, s), TeacherPool(model, method.teachers, external), none)
    probes = any(isinstance(request, Perturbed) for request in method.signals)
    few, times = thinned(batch, blocks) if probes else (batch, 1.0)
    bare = replace(setup, method=replace(method, signals=(), credit=Method().credit)) if times > 1 else setup
    found: dict[str, list[float]] = {}
    for attempt in range(repeats + 1):
        if times > 1:
            with meter.phase("plain"):
                signals(bare, state, few)
        with meter.phase("signals"):
            work = signals(setup, state, few)
        with meter.phase("update"):
            update(setup, state, work)
        if times > 1:
            plain = meter.seconds["plain"] if bare.method.signals else 0.0
            meter.seconds["signals"] = plain + times * (meter.seconds["signals"] - plain)
        if attempt:
            for phase in ("signals", "update"):
                found.setdefault(phase, []).append(meter.seconds[phase])
    row: dict[str, Any] = {f"{k}_s": statistics.median(v) for k, v in found.items()}
    row |= {"peak_gib": meter.peak_gib, "scaled_from": None if times == 1 else f"1/{times:.1f} of the reasoning tokens"}
    return row


def decoding(model: nn.Module, batch: RolloutBatch, tokens: int, meter: Meter) -> float:
    """Seconds to sample the whole batch: decoding `tokens` tokens behind half a response, scaled to its length."""
    length = batch.response_BT.shape[1]
    half = [(*p, *r[: length // 2].tolist()) for p, r in zip(batch.prompts, batch.response_BT, strict=True)]
    engine = open_engine("raw", model, eos_ids=())  # no response ends early
    spent = []
    for n in (1, 1, tokens + 1):  # the first one warms up
        with torch.no_grad(), meter.phase("decode"):
            engine.generate(half, list(batch.seed_B), SamplingParams(n, temperature=1.0))
        spent.append(meter.seconds["decode"])
    return max(spent[2] - spent[1], 1e-9) / tokens * length


def update_flops(shape: Shape, batch: RolloutBatch) -> float:
    """Model FLOPs of forward and backward over the batch: 6 per weight and token, 6 per head dimension and pair."""
    per_layer = shape.hidden * shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads) + 3 * shape.hidden * shape.ffn
    lengths = [len(p) + int(n) for p, n in zip(batch.prompts, batch.length_B, strict=True)]
    body = 6.0 * shape.layers * per_layer * sum(lengths)
    vocabulary = 6.0 * shape.hidden * shape.vocabulary * float(batch.length_B.sum())
    # Scores and values, 2 FLOPs each per pair, backward twice the forward; half of the pairs are in the future.
    pairs = sum(n * n / 2 for n in lengths)
    return body + vocabulary + 12.0 * shape.layers * shape.heads * shape.head_dim * pairs


def ratios(rows: dict[str, dict[str, Any]], rollout: float) -> None:
    """Add to every row what it costs relative to GRPO, and what the paper says."""
    plain = rows["grpo"]
    for name, row in rows.items():
        if "error" in row:
            continue
        actor, actor_grpo = (r["signals_s"] + r["update_s"] for r in (row, plain))
        row["actor_ratio"] = actor / actor_grpo
        row["update_ratio"] = row["update_s"] / plain["update_s"]
        row["end_to_end_ratio"] = (rollout + actor) / (rollout + actor_grpo)
        row["paper"] = [{"of": of, "low": low, "high": high} for low, high, of in PAPERS.get(name, [])]


def measure(shape_name: str, length: int, names: Sequence[str], given: argparse.Namespace, say: Callable) -> dict:
    """One shape at one length, all methods."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape, tiny = SHAPES[shape_name], shape_name == "tiny"
    prompt = 16 if tiny else PROMPT
    micro = SIZE if tiny else max(1, min(SIZE, ROWS_TOKENS // length))
    s = TrainSettings.model_validate({
        "dtype": "bfloat16", "group_size": SIZE, "prompts_per_step": GROUPS, "updates_per_rollout": 2,
        "micro_rows": micro, "max_new_tokens": length, "gradient_checkpointing": length > 2048,
    })  # fmt: skip
    meter = Meter(device)
    base = build(shape, device, 2 * length + 4 * prompt + 64)
    batch = rollouts(length, prompt, s)
    rollout = decoding(base, batch, given.decode, meter)
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        try:
            rows[name] = one_method(name, base, batch, s, meter, given.repeats, given.blocks)
        except torch.cuda.OutOfMemoryError as error:
            rows[name] = {"error": str(error).splitlines()[0]}
        say(f"{shape_name} T={length} {name}: {rows[name]}")
    ratios(rows, rollout)
    flops, peak = update_flops(shape, batch), given.peak * 1e12 or next(
        (v for k, v in PEAK.items() if device.type == "cuda" and k in torch.cuda.get_device_name()), 0.0
    )
    for row in rows.values():
        if "error" not in row:
            actor = row["signals_s"] + row["update_s"]
            row["tokens_per_s"] = float(batch.length_B.sum()) / actor
            row["update_mfu"] = flops / row["update_s"] / peak if peak else None
    parameters = sum(p.numel() for p in base.parameters())
    return {
        "shape": shape_name, "parameters": parameters, "tokens": length, "prompt_tokens": prompt, "groups": GROUPS,
        "group_size": SIZE, "micro_rows": micro, "gradient_checkpointing": s.gradient_checkpointing,
        "rollout_s_estimated": rollout, "update_flops": flops, "methods": rows,
    }  # fmt: skip


def show(found: dict) -> None:
    """One line per method."""
    print(f"\n{found['shape']} T={found['tokens']}: rollout about {found['rollout_s_estimated']:.2f} s")
    for name, row in found["methods"].items():
        if "error" in row:
            print(f"  {name:9} {row['error']}")
            continue
        papers = "; ".join(f"paper {p['low']:g}-{p['high']:g} ({p['of']})" for p in row["paper"])
        memory = "" if row["peak_gib"] is None else f" {row['peak_gib']:6.1f} GiB"
        mfu = "" if row["update_mfu"] is None else f" MFU {row['update_mfu']:.2f}"
        print(
            f"  {name:9} signals {row['signals_s']:8.3f} s  update {row['update_s']:8.3f} s{memory}{mfu}"
            f"  x{row['actor_ratio']:.2f} actor  x{row['end_to_end_ratio']:.2f} with rollouts  {papers}"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    words_ = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words_.add_argument("--tiny", action="store_true", help="one small shape, short responses")
    words_.add_argument("--shapes", default="0.6B,1.7B")
    words_.add_argument("--lengths", default="2048,8192")
    words_.add_argument("--methods", default=",".join(METHODS))
    words_.add_argument("--repeats", type=int, default=2)
    words_.add_argument("--decode", type=int, default=64, help="tokens decoded to estimate the rollout phase")
    words_.add_argument("--blocks", type=int, default=16, help="blocks of 4 reasoning tokens that OAR-P perturbs")
    words_.add_argument("--peak", type=float, default=0.0, help="dense bf16 TFLOP/s of the device, where unknown")
    words_.add_argument("--out", default="")
    given = words_.parse_args(argv)
    names = given.methods.split(",")
    if names[0] != "grpo":
        names = ["grpo", *(n for n in names if n != "grpo")]
    if not (given.tiny or torch.cuda.is_available()):
        print("no accelerator here: nothing is measured; --tiny tries every path on a small shape", file=sys.stderr)
        return 1
    torch.set_num_threads(torch.get_num_threads() if torch.cuda.is_available() else 1)
    cases = [("tiny", 48)] if given.tiny else [
        (shape, int(length)) for shape in given.shapes.split(",") for length in given.lengths.split(",")
    ]  # fmt: skip
    kind = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    spoken = ["python", "-m", "tests.perf.gpu_step", *(sys.argv[1:] if argv is None else argv)]
    result: dict[str, Any] = {"device": kind, "torch": torch.__version__, "command": " ".join(spoken), "cases": []}
    default = "" if given.tiny else f"results/reference/gpu-{re.sub(r'[^a-z0-9]+', '-', kind.lower())}.json"
    out = given.out or default
    for shape, length in cases:
        case = measure(shape, length, names, given, lambda line: print(line, file=sys.stderr, flush=True))
        result["cases"].append(case)
        show(case)
        if out:
            Path(out).parent.mkdir(parents=True, exist_ok=True)
            Path(out).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
