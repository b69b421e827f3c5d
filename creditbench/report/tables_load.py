"""Read every complete evaluation of a suite and put what may be compared into one group per (track, benchmark)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from creditbench.errors import CheckFailed, CreditBenchError
from creditbench.items import OUTCOMES
from creditbench.records import Manifest, comparable, digest_file, one_arm, read_manifest, read_parquet
from creditbench.records.guard import label
from creditbench.records.paths import COST, CURVE, SAMPLES, EvalPlace, find_evals, find_runs
from creditbench.records.schemas import Cost
from creditbench.stats import pass_at_k, pass_hat_k

BASE = "base"
REFERENCE = "grpo"


@dataclass(frozen=True, eq=False)
class ArmScores:
    """Graded samples of one arm on one benchmark; seeds in rising order."""

    arm: str
    seeds: tuple[int, ...]
    correct_SPK: np.ndarray
    tokens_SPK: np.ndarray
    reward_SPK: np.ndarray
    outcomes_SO: np.ndarray
    folders: tuple[Path, ...]

    @property
    def k(self) -> int:
        """Samples per problem."""
        return self.correct_SPK.shape[2]

    def shares(self, outcome: str) -> np.ndarray:
        """Share of samples with this outcome, per seed."""
        return self.outcomes_SO[:, OUTCOMES.index(outcome)] / (self.correct_SPK.shape[1] * self.k)

    def share(self, outcome: str) -> float:
        """Share of samples with this outcome over all seeds."""
        return float(self.shares(outcome).mean())

    @property
    def mean_tokens(self) -> float:
        """Mean model tokens of a sample over all seeds."""
        return float(self.tokens_SPK.mean(dtype=np.float64))

    def only(self, seeds: Sequence[int]) -> ArmScores:
        """The same arm restricted to some of its seeds."""
        rows = [self.seeds.index(seed) for seed in seeds]
        return replace(
            self,
            seeds=tuple(seeds),
            correct_SPK=self.correct_SPK[rows],
            tokens_SPK=self.tokens_SPK[rows],
            reward_SPK=self.reward_SPK[rows],
            outcomes_SO=self.outcomes_SO[rows],
            folders=tuple(self.folders[i] for i in rows),
        )


@dataclass(frozen=True, eq=False)
class Group:
    """Everything of one track and benchmark that answers the same question. `blocked` says why there is no table."""

    track: str
    benchmark: str
    arms: dict[str, ArmScores]
    manifest: Manifest
    footnotes: tuple[str, ...] = ()
    blocked: str = ""

    @cached_property
    def k(self) -> int:
        """Samples per problem that every arm has."""
        return min((scores.k for scores in self.arms.values()), default=0)

    @property
    def n_problems(self) -> int:
        """Problems of the benchmark."""
        return self.manifest.eval.n_problems if self.manifest.eval else 0

    @property
    def cap(self) -> int:
        """Most model tokens that one sample can have."""
        protocol = self.manifest.eval.protocol if self.manifest.eval else {}
        return int(protocol.get("max_new_tokens", 0)) * int(protocol.get("max_turns", 1))

    @cached_property
    def has_partial_rewards(self) -> bool:
        """Whether rewards hold more than right or wrong (an agent's score, say)."""
        rewards = [(a.reward_SPK, a.correct_SPK) for a in self.arms.values()]
        inside = all(reward.min() >= 0 and reward.max() <= 1 for reward, _ in rewards)
        return inside and any(not np.array_equal(reward, correct) for reward, correct in rewards)

    def metrics(self, wanted: Sequence[str]) -> list[str]:
        """Metric names with the group's k filled in (`avg@k` -> `avg@8`); `reward` joins where rewards are graded."""
        names = [name.replace("@k", f"@{self.k}").replace("^k", f"^{self.k}") for name in wanted]
        return names + (["reward"] if self.has_partial_rewards and "reward" not in names else [])

    def values(self, arm: str, metric: str) -> np.ndarray:
        """y (S, P, K) of a metric for `creditbench.stats`; pass@j and pass^j have one value per problem."""
        scores = self.arms[arm]
        if metric == "reward":
            return scores.reward_SPK
        kind, mark, j = metric.partition("@" if "@" in metric else "^")
        if kind == "avg" and mark == "@":
            return scores.correct_SPK
        solved_SP, rule = scores.correct_SPK.sum(axis=2), pass_at_k if mark == "@" else pass_hat_k
        return rule(scores.k, solved_SP, int(j))[:, :, None]


@dataclass(frozen=True, eq=False)
class Loaded:
    """A suite's groups in order of track and benchmark, its runs' costs, and what was left out and why."""

    suite: str
    folder: Path
    groups: list[Group]
    costs: dict[tuple[str, str, int], Cost] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def of_track(self, track: str) -> list[Group]:
        """The groups of one track that have a table."""
        return [g for g in self.groups if g.track == track and not g.blocked]

    @property
    def tracks(self) -> list[str]:
        """Tracks with at least one result."""
        return sorted({g.track for g in self.groups})


def load_suite_results(folder: Path | str, allow: Iterable[str] = ()) -> Loaded:
    """Read all complete evaluations below a suite's folder (`results/<suite>`).

    allow: guarded fields that may differ inside a group (they become footnotes). A damaged record is left out and
    named in `left_out`; a group that fails the guard is kept without arms, its reason in `blocked`.
    """
    folder, allowed = Path(folder), list(allow)
    found: dict[tuple[str, str], list[Result]] = {}
    left_out: list[str] = []
    for place in find_evals(folder):
        try:
            found.setdefault((place.track, place.benchmark), []).append(_read_result(place))
        except CreditBenchError as error:
            left_out.append(str(error))
    groups = [_group(*key, found[key], allowed) for key in sorted(found) if found[key]]
    return Loaded(folder.name, folder, groups, _costs(folder, left_out), left_out)


def restricted(loaded: Loaded, arms: Sequence[str]) -> Loaded:
    """The same results with these arms only; groups in which none of them has results go."""
    kept = []
    for group in loaded.groups:
        mine = {name: scores for name, scores in group.arms.items() if name in arms}
        if mine or group.blocked:
            kept.append(replace(group, arms=mine))
    costs = {key: cost for key, cost in loaded.costs.items() if key[1] in arms}
    return replace(loaded, groups=kept, costs=costs)


@dataclass(frozen=True, eq=False)
class Result:
    """One evaluation as read: arrays (P, K), counts of outcomes (O,)."""

    place: EvalPlace
    manifest: Manifest
    correct_PK: np.ndarray
    tokens_PK: np.ndarray
    reward_PK: np.ndarray
    counts_O: np.ndarray


def _group(track: str, benchmark: str, results: list[Result], allow: list[str]) -> Group:
    manifests = [result.manifest for result in results]
    try:
        notes = comparable(manifests, allow)
        arms = {}
        for arm in sorted({result.place.arm for result in results}):
            mine = sorted((r for r in results if r.place.arm == arm), key=lambda r: r.place.seed)
            one_arm([r.manifest for r in mine])
            arms[arm] = _stack(arm, mine)
        sizes = sorted({scores.correct_SPK.shape[1] for scores in arms.values()})
        if len(sizes) > 1:
            raise CheckFailed(f"arms were evaluated on different numbers of problems: {sizes}")
    except CheckFailed as error:
        return Group(track, benchmark, {}, manifests[0], (), str(error).removeprefix("table blocked: "))
    return Group(track, benchmark, arms, manifests[0], tuple(notes))


def _stack(arm: str, results: list[Result]) -> ArmScores:
    shapes = sorted({r.correct_PK.shape for r in results})
    if len(shapes) > 1:
        raise CheckFailed(f"arm {arm}: its seeds differ in problems or samples: {shapes}")
    return ArmScores(
        arm,
        tuple(r.place.seed for r in results),
        np.stack([r.correct_PK for r in results]),
        np.stack([r.tokens_PK for r in results]),
        np.stack([r.reward_PK for r in results]),
        np.stack([r.counts_O for r in results]),
        tuple(r.place.folder for r in results),
    )


def _read_result(place: EvalPlace) -> Result:
    manifest, path = read_manifest(place.folder), place.folder / SAMPLES
    facts = manifest.eval
    said = (manifest.arm, manifest.track, manifest.seed, (facts.label or facts.benchmark) if facts else "")
    if facts is None or said != (place.arm, place.track, place.seed, place.benchmark):
        raise CheckFailed(f"{place.folder}: the manifest speaks of another result ({label(manifest)})")
    if digest_file(path) != manifest.files.get(SAMPLES):
        raise CheckFailed(f"{path}: not the samples that the manifest lists (SHA-256 differs)")
    table = read_parquet(path, columns=["problem_id", "sample", "outcome", "n_tokens", "reward"])
    n, k = facts.n_problems, int(facts.protocol["k"])
    if table.num_rows != n * k:
        raise CheckFailed(f"{path}: {table.num_rows} samples, the manifest says {n} problems x {k}")
    names_PK = table["problem_id"].to_numpy().reshape(n, k)
    ordered = np.array_equal(table["sample"].to_numpy(), np.tile(np.arange(k), n))
    if not ordered or not (names_PK == names_PK[:, :1]).all() or len(set(names_PK[:, 0])) != n:
        raise CheckFailed(f"{path}: not {k} samples of each of {n} problems in order")
    codes = pc.call_function("index_in", [table["outcome"]], pc.SetLookupOptions(pa.array(OUTCOMES))).to_numpy()
    if np.isnan(codes.astype(np.float64)).any():
        raise CheckFailed(f"{path}: column outcome: a value that is none of {', '.join(OUTCOMES)}")
    codes = codes.astype(np.int64)
    return Result(
        place,
        manifest,
        (codes == OUTCOMES.index("correct")).reshape(n, k),
        table["n_tokens"].to_numpy().astype(np.int32).reshape(n, k),
        table["reward"].to_numpy().astype(np.float32).reshape(n, k),
        np.bincount(codes, minlength=len(OUTCOMES)),
    )


def _costs(folder: Path, left_out: list[str]) -> dict[tuple[str, str, int], Cost]:
    costs = {}
    for place in find_runs(folder):
        path, curve = place.folder / COST, place.folder / CURVE
        try:
            manifest = read_manifest(place.folder)
            if (manifest.arm, manifest.track, manifest.seed) != (place.arm, place.track, place.seed):
                raise CheckFailed(f"the manifest speaks of another run ({label(manifest)})")
            if digest_file(path) != manifest.files.get(COST):
                raise CheckFailed("not the record that the manifest lists (SHA-256 differs)")
            costs[place.track, place.arm, place.seed] = Cost.model_validate_json(path.read_bytes())
        except (CreditBenchError, OSError, ValueError) as error:
            left_out.append(f"{path}: no usable cost record: {str(error).splitlines()[0]}")
            continue
        if (listed := manifest.files.get(CURVE)) and not (curve.is_file() and digest_file(curve) == listed):
            left_out.append(f"{curve}: not the curve that the manifest lists (SHA-256 differs)")
    return costs
