"""Equal tuning: the same grid for every method, judged on the dev split with a seed no table uses. Floor 5.

Each trial is a whole run plus an evaluation on dev; all trials are kept in `results/<suite>/tuning/`, whatever they
show. `chosen_rate` decides: the best mean over tracks, and the smaller rate where the difference is within a standard
error. What was chosen goes into the cards before any test seed runs; the log is kept in `results/reference/`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from creditbench.errors import BadInput, Busy, CheckFailed
from creditbench.records import read_json, write_text
from creditbench.suite import Suite, resolve, track_of
from creditbench.trainer import train
from creditbench.trainer_trl import engine_of

TUNING_SEED = 1000
COLUMNS = ("track", "arm", "lr", "seed", "dev_score", "dev_pass", "mean_tokens", "n_samples", "failed")
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
            row: dict[str, Any] = {"track": track, "arm": arm, "lr": rate, "seed": seed}
            try:
                run = train(spec, results, out=place / "run", engine=engine_of(spec.settings))
                row |= _score(suite, track, seed, run, place, results)
                report(f"{track} {arm} lr {rate:g}: dev {row['dev_score']:.4f}")
            except Busy:
                raise  # a trial that another process is at has not failed
            except CheckFailed as error:
                # A trial that cannot be finished is a trial too: it is logged, and its rate is not chosen.
                row["failed"] = str(error)
                report(f"{track} {arm} lr {rate:g}: failed: {error}")
            rows[arm, float(rate), seed] = row
            _write(folder / f"trials.{track}.csv", list(rows.values()))
    return folder / f"trials.{track}.csv"


def chosen_rate(trials: Sequence[Mapping[str, Any]]) -> float:
    """The learning rate that an arm's trials speak for, all tracks together.

    The smallest rate whose mean dev score over tracks is within one standard error of the best mean. The error is that
    of a mean of shares, sqrt(sum over tracks of p (1 - p) / n_samples) / number of tracks.
    Rates with a failed trial are not chosen. Raises BadInput when some rate was not tried on every track, or none
    could be finished.
    """
    tracks = sorted({str(row["track"]) for row in trials})
    table = {(float(row["lr"]), str(row["track"])): row for row in trials}
    rates = sorted({rate for rate, _ in table})
    if not rates or any((rate, track) not in table for rate in rates for track in tracks):
        raise BadInput("tuning: expected a trial of every learning rate on every track")
    rates = [rate for rate in rates if all(str(table[rate, track]["dev_score"]) for track in tracks)]
    if not rates:
        raise BadInput("tuning: no learning rate has a finished trial on every track")
    scores = {rate: [float(table[rate, track]["dev_score"]) for track in tracks] for rate in rates}
    means = {rate: sum(values) / len(tracks) for rate, values in scores.items()}
    best = max(means, key=lambda rate: means[rate])
    counts = [int(table[best, track]["n_samples"]) for track in tracks]
    error = math.sqrt(sum(p * (1 - p) / n for p, n in zip(scores[best], counts, strict=True))) / len(tracks)
    return next(rate for rate in rates if means[rate] >= means[best] - error)


def _score(suite: Suite, track: str, seed: int, run: Path, place: Path, results: Path) -> dict[str, float]:
    from creditbench.evaluator import evaluate

    found = track_of(suite, track)
    assert found.dev is not None
    engine = {**suite.settings, **found.settings}.get("engine", "raw")
    evaluate(
        run / "model", found.dev.benchmark, found.dev.split, found.dev.protocol, seed, place / "dev",
        engine=engine, options=found.dev.options, parents={"run": run}, work=Path(results) / ".work",
    )  # fmt: skip
    metrics = read_json(place / "dev" / "metrics.json")
    values = metrics["values"]
    avg = next(v for k, v in values.items() if k.startswith("avg@"))
    solved = max((v for k, v in values.items() if k.startswith("pass@")), default=avg)
    n = sum(metrics["outcomes"].values())
    return {"dev_score": avg, "dev_pass": solved, "mean_tokens": metrics["mean_tokens"], "n_samples": n}


def _read(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: Sequence[dict]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    write_text(path, buffer.getvalue())
