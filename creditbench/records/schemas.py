"""Columns of the stored tables and fields of the small JSON records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from creditbench.errors import BadInput
from creditbench.items import Turn

SAMPLES_SCHEMA = pa.schema(
    [
        ("problem_id", pa.string()),
        ("problem_digest", pa.string()),
        ("sample", pa.int32()),
        ("seed", pa.int64()),
        ("prompt_digest", pa.string()),
        ("completion", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        ("completion_digest", pa.string()),
        ("n_tokens", pa.int32()),
        ("finish_reason", pa.string()),
        ("grader", pa.string()),
        ("outcome", pa.string()),
        ("reward", pa.float64()),
        ("extracted", pa.string()),
        ("verdict", pa.string()),
        ("detail", pa.string()),
    ]
)
TIMING_SCHEMA = pa.schema(
    [
        ("problem_id", pa.string()),
        ("sample", pa.int32()),
        ("batch", pa.int32()),
        ("generate_seconds", pa.float64()),
        ("grade_seconds", pa.float64()),
    ]
)
GENERATION_SCHEMA = pa.schema(
    [SAMPLES_SCHEMA.field(name) for name in SAMPLES_SCHEMA.names[:10]] + [("detail", pa.string())]
)


def clean_text(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates become escapes, the same ones `digest_text` digests."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def turns_json(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """An episode's turns as JSON-serialisable rows for the `detail` column."""
    return [
        {"role": t.role, "text": clean_text(t.text), "n_tokens": t.n_tokens, "reward": t.reward, "valid": t.valid}
        for t in turns
    ]


def turns_from_json(rows: Iterable[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """Inverse of `turns_json`."""
    return tuple(Turn(**row) for row in rows)


def curve_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Turn a run's curve (one mapping per step) into a wide table, one row per step, sorted by `step`.

    Nested mappings become dotted columns (`seconds.rollout`). `step` comes first, the rest in alphabetical order;
    a column is int64 when every value is an integer, string when every value is text, float64 otherwise. A step
    without a value is null. A step logged twice (a resumed run) keeps its last row. Raises BadInput without `step`.
    """
    by_step: dict[int, dict[str, Any]] = {}
    for number, row in enumerate(rows):
        flat = dict(_flatten(row))
        if not isinstance(flat.get("step"), int):
            raise BadInput(f"curve row {number}: field 'step': expected a whole number, got {flat.get('step')!r}")
        by_step[flat["step"]] = flat
    ordered = [by_step[step] for step in sorted(by_step)]
    names = ["step", *sorted({name for row in ordered for name in row} - {"step"})]
    columns, fields = [], []
    for name in names:
        values = [row.get(name) for row in ordered]
        kind = _kind(name, [v for v in values if v is not None])
        columns.append(
            pa.array(values if kind != pa.float64() else [None if v is None else float(v) for v in values], kind)
        )
        fields.append(pa.field(name, kind))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _flatten(row: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _kind(name: str, values: list[Any]) -> pa.DataType:
    if values and all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return pa.int64()
    if values and all(isinstance(v, str) for v in values):
        return pa.string()
    if all(isinstance(v, bool | int | float) for v in values):
        return pa.float64()
    raise BadInput(
        f"curve column {name!r}: expected numbers, got {next(v for v in values if not isinstance(v, int | float))!r}"
    )


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Cost(_Record):
    """`cost.json`: what a run consumed. The counted part is deterministic; the timed part never enters other tables."""

    prompt_tokens: int = Field(0, ge=0, description="tokens of the rollout prompts, once per sampled response")
    generated_tokens: int = Field(0, ge=0, description="model tokens sampled")
    env_tokens: int = Field(0, ge=0, description="environment tokens inside agents' episodes")
    trained_tokens: int = Field(0, ge=0, description="response tokens that carried loss, summed over passes")
    forward_tokens: int = Field(
        0, ge=0, description="tokens through extra forward passes: signals, teachers, perturbations"
    )
    extra_forwards: int = Field(0, ge=0, description="sequences forwarded beyond sampling and the policy update")
    backward_tokens: int = Field(0, ge=0, description="tokens through extra backward passes (input gradients)")
    rollout_batches: int = Field(0, ge=0)
    optimizer_steps: int = Field(0, ge=0)
    flops: float = Field(0.0, ge=0, description="by `flops_formula`, from the counted tokens")
    flops_formula: str = "2 N per forward token, 4 N more per backward token, N without embeddings"
    dev_trials: int = Field(0, ge=0, description="tuning runs spent on the dev split for this method")
    seconds: dict[str, float] = Field(default_factory=dict, description="wall seconds per phase")
    wall_seconds: float = Field(0.0, ge=0, description="of the steps that count, over all interruptions")
    gpu_hours: float = Field(0.0, ge=0, description="wall time x accelerators; 0 on a CPU")
    peak_bytes: int = Field(0, ge=0, description="most memory the main process held, since its last start")


COUNTED = (
    "prompt_tokens", "generated_tokens", "env_tokens", "trained_tokens", "forward_tokens", "extra_forwards",
    "backward_tokens", "rollout_batches", "optimizer_steps", "flops",
)  # fmt: skip


class Metrics(_Record):
    """`metrics.json`. `results`, `versions`, `n_samples`, `n_shot`, `higher_is_better` follow lm-eval's result file."""

    results: dict[str, dict[str, float | str]] = Field(description="benchmark -> 'metric,filter' -> value, 0..1")
    versions: dict[str, str]
    n_samples: dict[str, dict[str, int]] = Field(alias="n-samples")
    n_shot: dict[str, int] = Field(alias="n-shot")
    higher_is_better: dict[str, dict[str, bool]]
    outcomes: dict[str, int] = Field(description="count of every outcome; they sum to the number of samples")
    values: dict[str, float] = Field(description="plain metric name -> value: avg@k, pass@j, shares, mean_tokens ...")
    n_problems: int = Field(ge=0)
    k: int = Field(ge=1)
    mean_tokens: float = Field(ge=0)
