"""What the tests of this room know of one arm: cell means over samples, never the samples themselves.

Data layout: `y_SPK[s, p, k]` is the score in [0, 1] (0/1 for graded outcomes) of training seed s on problem p,
sample k. Two benchmarks with different problems, run on the same seeds, are given as a list of such arrays
("families"); they count equally, whatever their number of problems, and the seed axis is the same for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from creditbench.errors import BadInput

# Variances of seed means below this are rounding: a real difference in one sample of 10^8 would be larger.
ZERO_VARIANCE = 1e-20


class Refusal(BadInput):
    """A statistic was asked for that would be invalid on these data; the text says why and what to do instead."""


@dataclass(frozen=True, eq=False)
class Arm:
    """Sufficient statistics of one arm: per family F, cell means (S, P), within-cell sums of squares (S, P) and k."""

    cells_FSP: tuple[np.ndarray, ...]
    within_FSP: tuple[np.ndarray, ...]
    k_F: tuple[int, ...]

    @cached_property
    def n_seeds(self) -> int:
        return self.cells_FSP[0].shape[0]

    @cached_property
    def n_families(self) -> int:
        return len(self.cells_FSP)

    @cached_property
    def problems_F(self) -> tuple[int, ...]:
        return tuple(m_SP.shape[1] for m_SP in self.cells_FSP)

    @cached_property
    def family_means_FS(self) -> np.ndarray:
        return np.stack([m_SP.mean(axis=1) for m_SP in self.cells_FSP])

    @cached_property
    def seed_means_S(self) -> np.ndarray:
        """Mean over families of the mean over problems and samples: one number per training seed."""
        return self.family_means_FS.mean(axis=0)

    @cached_property
    def score(self) -> float:
        return float(self.seed_means_S.mean())

    @cached_property
    def seed_variance(self) -> float:
        """Variance of the seed means (ddof 1); nan with one seed."""
        return float(self.seed_means_S.var(ddof=1)) if self.n_seeds > 1 else float("nan")

    @cached_property
    def problem_means_FP(self) -> tuple[np.ndarray, ...]:
        return tuple(m_SP.mean(axis=0) for m_SP in self.cells_FSP)

    @cached_property
    def residual_F(self) -> tuple[float, ...]:
        """Residual mean square of the seed x problem table of cell means, per family; nan where it has no df."""
        out = []
        for m_SP in self.cells_FSP:
            df = (m_SP.shape[0] - 1) * (m_SP.shape[1] - 1)
            rest_SP = m_SP - m_SP.mean(1, keepdims=True) - m_SP.mean(0, keepdims=True) + m_SP.mean()
            out.append(float((rest_SP**2).sum()) / df if df else float("nan"))
        return tuple(out)


def arm(y: Any, name: str = "y") -> Arm:
    """Check one arm's scores and reduce them to an `Arm` (an `Arm` passes through, so that loops over pairs are cheap).

    `y`: array (S, P, K) of scores in [0, 1], or a list of such arrays (families). (S, P) and (S,) are read as one
    sample per cell and one problem. Raises BadInput for a wrong shape, a score outside [0, 1] or an empty axis, and
    Refusal for a missing score (nan): dropping samples silently would change the estimand.
    """
    if isinstance(y, Arm):
        return y
    families = list(y) if isinstance(y, (list, tuple)) and len(y) and np.ndim(y[0]) == 3 else [y]
    cells, within, ks = [], [], []
    for i, raw in enumerate(families):
        where = f"{name}[{i}]" if len(families) > 1 else name
        y_SPK = _checked(raw, where)
        mean_SP = y_SPK.mean(axis=2, dtype=np.float64)
        k = y_SPK.shape[2]
        if y_SPK.dtype.kind in "bui":  # 0/1 outcomes: the sum of squares follows from the mean, no float copy
            ss_SP = k * mean_SP * (1 - mean_SP)
        else:
            ss_SP = ((y_SPK - mean_SP[:, :, None]) ** 2).sum(axis=2)
        cells.append(mean_SP)
        within.append(ss_SP)
        ks.append(k)
    if len({m.shape[0] for m in cells}) > 1:
        raise BadInput(f"{name}: every family needs the same seeds, got {[m.shape[0] for m in cells]} seeds per family")
    return Arm(tuple(cells), tuple(within), tuple(ks))


def _checked(raw: Any, where: str) -> np.ndarray:
    try:
        y = np.asarray(raw)
    except ValueError:
        raise BadInput(f"{where}: expected one rectangular array (seeds, problems, samples)") from None
    if y.dtype.kind not in "buif":
        raise BadInput(f"{where}: expected numbers of shape (seeds, problems, samples), got dtype {y.dtype}")
    if y.ndim in (1, 2):
        y = y.reshape(y.shape + (1,) * (3 - y.ndim))
    if y.ndim != 3 or 0 in y.shape:
        raise BadInput(f"{where}: expected shape (seeds, problems, samples), none of them 0, got {np.shape(raw)}")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        n = int((~np.isfinite(y)).sum())
        raise Refusal(
            f"{where}: {n} of {y.size} scores are missing or not finite; averaging over what is left would compare "
            "different problems: sample or grade the missing ones, or drop the same problems from every arm"
        )
    if y.dtype.kind != "b" and (y.min() < 0 or y.max() > 1):
        raise BadInput(f"{where}: scores must lie in [0, 1], got {y.min()} to {y.max()} (percentages: divide by 100)")
    return y


def same_problems(a: Arm, b: Arm) -> None:
    """Raise BadInput unless both arms hold the same number of families and of problems in each."""
    if a.problems_F != b.problems_F:
        raise BadInput(f"arms differ in problems per family: {a.problems_F} and {b.problems_F}; compare equal sets")


def difference_arm(a: Arm, b: Arm) -> Arm:
    """Cell-by-cell difference of two arms whose seeds are paired, as an `Arm` (its scores lie in [-1, 1])."""
    same_problems(a, b)
    if a.n_seeds != b.n_seeds:
        raise BadInput(f"paired seeds need equal numbers, got {a.n_seeds} and {b.n_seeds}; use the unpaired test")
    cells = tuple(ma - mb for ma, mb in zip(a.cells_FSP, b.cells_FSP, strict=True))
    within = tuple(np.zeros_like(m) for m in cells)
    return Arm(cells, within, tuple(1 for _ in cells))


def arms(ys: dict[str, Any]) -> dict[str, Arm]:
    """`arm` over a mapping, with the arm's name in every error."""
    return {name: arm(y, name) for name, y in ys.items()}


def sampling_variance(model: Arm) -> tuple[float, float]:
    """Variance of one fixed model's score due to sampling alone, with its degrees of freedom.

    The seeds of `model` are evaluation seeds of the same weights, so the S*K samples of a problem are independent
    and V = mean over families^2 of sum_p s2_p / (S*K) / P^2, df by Satterthwaite over the problems. With one sample
    per problem s2_p does not exist; then V is bounded from above by score * (1 - score) / P, df P.
    """
    total, spread = 0.0, 0.0
    for m_SP, ss_SP, k in zip(model.cells_FSP, model.within_FSP, model.k_F, strict=True):
        n_seeds, n_problems = m_SP.shape
        n = n_seeds * k
        if n > 1:
            ss_P = ss_SP.sum(0) + k * ((m_SP - m_SP.mean(0)) ** 2).sum(0)
            v_P = ss_P / (n - 1) / n / n_problems**2 / model.n_families**2
            total += float(v_P.sum())
            spread += float((v_P**2).sum()) / (n - 1)
        else:
            v = float(m_SP.mean() * (1 - m_SP.mean())) / n_problems / model.n_families**2
            total += v
            spread += v**2 / n_problems
    return total, (total**2 / spread if spread > 0 else 1.0)


def binomial_floor(model: Arm, *, new_problems: bool) -> float:
    """A variance for a score whose seeds (and problems) do not differ at all, where the usual estimate would be 0.

    Scores in [0, 1] with mean m vary at most like a coin of mean m (Bhatia-Davis), so m (1 - m) / n bounds the
    variance of a mean of n draws; m is moved off 0 and 1 by one success and one failure. n counts samples when the
    problems are fixed, problems when they are a sample themselves.
    """
    total = 0.0
    for m_SP, k in zip(model.cells_FSP, model.k_F, strict=True):
        n = m_SP.shape[1] if new_problems else m_SP.size * k
        mean = (n * float(m_SP.mean()) + 1) / (n + 2)
        total += mean * (1 - mean) / n
    return total / model.n_families**2
