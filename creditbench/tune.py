"""Equal tuning: the same grid for every method, judged on the dev split with a seed no table uses. Floor 5.

Each trial is a whole run plus an evaluation on dev; all trials are kept in `results/<suite>/tuning/`, whatever they
show. The best mean wins; ties go to the smaller learning rate. What was chosen goes into the cards by hand, with
the number of trials, before any test seed runs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from creditbench.errors import BadInput
from creditbench.records import read_json, write_text
from creditbench.suite import Suite, resolve, track_of
from creditbench.trainer import train
from creditbench.trainer_trl import engine_of

TUNING_SEED = 1000
COLUMNS = ("track", "arm", "lr", "seed", "dev_score", "dev_pass", "mean_tokens")
Report = Callable[[str], None]


def tune(
    suite: Suite, track: str, arms: Sequence[str], rates: Sequence[float], results: Path, report: Report = print,
    seed: int = TUNING_SEED,
) -> Path:  # fmt: skip
    """Run every (arm, learning rate) trial that is missing, and return the trials' CSV.

    Raises BadInput when the track has no dev split or the seed is one of the suite's.
    """
    found = track_of(suite, track)
    if found.dev is None:
        raise BadInput(f"suite {suite.name}: tracks.{track}: no `dev` split to tune on")
    if seed in suite.seeds:
        raise BadInput(f"seed {seed}: is one of the suite's; tuning must not see seeds that a table uses")
    folder = Path(results) / suite.name / "tuning"
    # Trials of earlier calls stay in the log: a budget that forgets its trials is not a budget.
    rows = {(row["arm"], float(row["lr"]), int(row["seed"])): row for row in _read(folder / f"trials.{track}.csv")}
    for arm in arms:
        for rate in rates:
            spec = resolve(suite, arm, track, seed)
            spec = spec.model_copy(update={"settings": spec.settings.model_copy(update={"lr": float(rate)})})
            place = folder / track / arm / f"lr{rate:g}"
            run = train(spec, results, out=place / "run", engine=engine_of(spec.settings))
            score = _score(suite, track, seed, run, place, results)
            row = {"track": track, "arm": arm, "lr": rate, "seed": seed, **score}
            rows[arm, float(rate), seed] = row
            report(f"{track} {arm} lr {rate:g}: dev {row['dev_score']:.4f}")
            _write(folder / f"trials.{track}.csv", list(rows.values()))
    return folder / f"trials.{track}.csv"


def _score(suite: Suite, track: str, seed: int, run: Path, place: Path, results: Path) -> dict[str, float]:
    from creditbench.evaluator import evaluate

    found = track_of(suite, track)
    assert found.dev is not None
    engine = {**suite.settings, **found.settings}.get("engine", "raw")
    evaluate(
        run / "model", found.dev.benchmark, found.dev.split, None, seed, place / "dev",
        engine=engine, options=found.dev.options, parents={"run": run}, work=Path(results) / ".work",
    )  # fmt: skip
    metrics = read_json(place / "dev" / "metrics.json")
    values = metrics["values"]
    avg = next(v for k, v in values.items() if k.startswith("avg@"))
    solved = max((v for k, v in values.items() if k.startswith("pass@")), default=avg)
    return {"dev_score": avg, "dev_pass": solved, "mean_tokens": metrics["mean_tokens"]}


def _read(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: Sequence[dict]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_text(path, buffer.getvalue())
