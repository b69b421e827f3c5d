"""What the training behind the tables cost: per run (`cost.csv`), and summed per table (`cost_sums.csv`).

Counted numbers are the same on every machine; seconds, GPU-hours and bytes stand in these two tables alone. A sum is
over every run with a cost record whose arm is in the table, tuning and evaluation apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from creditbench.records.schemas import COUNTED, Cost
from creditbench.report.tables_load import Loaded

Row = dict[str, Any]
TIMED = ("wall_seconds", "gpu_hours")
COST_COLUMNS = ("track", "method", "seed", *COUNTED, "dev_trials", *TIMED, "peak_bytes", "seconds")
SUMS_COLUMNS = ("track", "method", "n_runs", *COUNTED, *TIMED)


def cost_rows(loaded: Loaded) -> list[Row]:
    """Rows of `cost.csv`: one per training run."""
    rows = []
    for (track, arm, seed), cost in sorted(loaded.costs.items()):
        seconds = " ".join(f"{phase}={value:.1f}" for phase, value in sorted(cost.seconds.items()))
        rows.append({"track": track, "method": arm, "seed": seed, **cost.model_dump(), "seconds": seconds})
    return rows


def sum_rows(loaded: Loaded) -> list[Row]:
    """Rows of `cost_sums.csv`: each arm of a track, each track's table (no method), everything (no track either)."""
    parts: dict[tuple[str, str], list[Cost]] = {}
    for (track, arm, _), cost in sorted(loaded.costs.items()):
        for key in ((track, arm), (track, ""), ("", "")):
            parts.setdefault(key, []).append(cost)
    # A track's own row stands below its arms, the row of everything at the end.
    ordered = sorted(parts, key=lambda key: (key[0] == "", key[0], key[1] == "", key[1]))
    return [{"track": track, "method": arm, **_summed(parts[track, arm])} for track, arm in ordered]


def _summed(costs: Iterable[Cost]) -> Row:
    known = list(costs)
    return {"n_runs": len(known), **{name: sum(getattr(cost, name) for cost in known) for name in (*COUNTED, *TIMED)}}


def counted_costs(loaded: Loaded, track: str, arm: str) -> Row:
    """Mean over seeds of what one training run of the arm consumed; None for arms without runs (the base)."""
    costs = [cost for (t, a, _), cost in sorted(loaded.costs.items()) if (t, a) == (track, arm)]
    if not costs:
        return dict.fromkeys(COUNTED)
    return {name: float(np.mean([getattr(cost, name) for cost in costs])) for name in COUNTED}


def spent(rows: Iterable[Mapping[str, Any]], track: str, short: Callable[[float | None], str]) -> str:
    """What all runs of a track's table counted together, as a sentence; "" where no run left a cost record."""
    row = next((row for row in rows if (row["track"], row["method"]) == (track, "")), None)
    if row is None:
        return ""
    number, runs = row["n_runs"], "training run" if row["n_runs"] == 1 else "training runs"
    parts = [("prompt_tokens", "prompt tokens"), ("generated_tokens", "generated"), ("env_tokens", "of environments"),
             ("trained_tokens", "trained"), ("extra_forwards", "extra passes"), ("flops", "FLOPs")]  # fmt: skip
    told = [f"{short(row[name])} {what}" for name, what in parts if row[name]]
    return f"The {number} {runs} of this table together: {', '.join(told) or 'nothing counted'}."
