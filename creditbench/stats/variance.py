"""Where the spread comes from: variance components of an arm and of a difference, seed variance shared by arms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc, fdtrc

from creditbench.errors import BadInput
from creditbench.stats.arms import ZERO_VARIANCE, Arm, Refusal, arm, arms, same_problems, sampling_variance
from creditbench.stats.result import FIXED_SET, TestResult, cautious_df, t_result, too_few_seeds
from creditbench.stats.tests import one_sample_against_base, welch_on_seeds

NOISIER = 0.2


@dataclass(frozen=True)
class VarianceSplit:
    """Variance components of one score; each is the variance of that effect in one run, problem or sample.

    seed: training seeds; problem: problems; interaction: seed x problem; sampling: one sample in its cell. None where
    the layout cannot tell (the note says why). Negative estimates are cut to 0; `raw` keeps them.
    """

    seed: float | None
    problem: float | None
    interaction: float | None
    sampling: float | None
    raw: dict[str, float | None]
    n_seeds: int
    n_problems: int
    k: int
    note: str = ""

    def seed_mean_variance(self, *, n_problems: int, k: int) -> float:
        """Expected variance of one seed's mean over `n_problems` fixed problems and `k` samples (for planning).

        seed + (interaction + sampling / k) / n_problems. Raises Refusal when a component is unknown.
        """
        if self.seed is None or self.interaction is None or self.sampling is None:
            raise Refusal(f"variance_split: cannot plan from it, {self.note}")
        return self.seed + (self.interaction + self.sampling / k) / n_problems


def variance_split(y: Any) -> VarianceSplit:
    """Split one arm's spread into seed, problem, seed x problem and sampling variance (crossed ANOVA estimates).

    y (S, P, K), one family. With MS the mean squares of the cell means' table: sampling = s2 within cells,
    interaction = MS_res - sampling/K, seed = s2(seed means) - MS_res/P, problem = s2(problem means) - MS_res/S.
    With K = 1 interaction and sampling cannot be told apart: `sampling` then holds their sum and `interaction` is 0.
    Raises BadInput for more than one family and as `arm` does.
    """
    m = arm(y)
    if m.n_families != 1:
        raise BadInput("variance_split: give one family at a time")
    n_seeds, n_problems, k = m.n_seeds, m.problems_F[0], m.k_F[0]
    residual = m.residual_F[0]
    notes = []
    sampling = float(m.within_FSP[0].sum()) / (n_seeds * n_problems * (k - 1)) if k > 1 else None
    if math.isnan(residual):
        notes.append("one seed or one problem: only the variance inside its cells is known")
        raw: dict[str, float | None] = {"seed": None, "problem": None, "interaction": None, "sampling": sampling}
    else:
        if sampling is None:
            sampling, interaction = residual, 0.0
            notes.append("one sample per cell: sampling includes the seed x problem interaction")
        else:
            interaction = residual - sampling / k
        raw = {
            "seed": m.seed_variance - residual / n_problems,
            "problem": float(m.problem_means_FP[0].var(ddof=1)) - residual / n_seeds,
            "interaction": interaction,
            "sampling": sampling,
        }
    cut = {name: None if v is None else max(v, 0.0) for name, v in raw.items()}
    return VarianceSplit(**cut, raw=raw, n_seeds=n_seeds, n_problems=n_problems, k=k, note="; ".join(notes))


def difference_split(y_a: Any, y_b: Any) -> dict[str, float]:
    """Contributions to the variance of the difference a - b for new seeds and new problems; their sum is V.

    Keys seed, problem (method x problem), interaction (seed x problem), sampling: each already divided by the number
    of draws it is averaged over. Unpaired seeds; one family. Negative estimates are cut to 0. Raises Refusal below 2
    seeds or 2 problems, BadInput for unequal problem sets.
    """
    a, b = arm(y_a, "y_a"), arm(y_b, "y_b")
    same_problems(a, b)
    parts_a, parts_b = variance_split(a), variance_split(b)
    n_problems = a.problems_F[0]
    out = {"seed": 0.0, "problem": 0.0, "interaction": 0.0, "sampling": 0.0}
    inner = 0.0
    for x, m in ((parts_a, a), (parts_b, b)):
        if x.seed is None or x.interaction is None or x.sampling is None:
            raise Refusal("difference_split: needs at least 2 seeds and 2 problems per arm; train more seeds")
        out["seed"] += x.seed / x.n_seeds
        out["interaction"] += x.interaction / (x.n_seeds * n_problems)
        out["sampling"] += x.sampling / (x.n_seeds * n_problems * x.k)
        inner += m.residual_F[0] / (x.n_seeds * n_problems)
    d_P = a.problem_means_FP[0] - b.problem_means_FP[0]
    out["problem"] = max(float(d_P.var(ddof=1)) / n_problems - inner, 0.0)
    return out


@dataclass(frozen=True)
class SeedVariance:
    """Seed variance pooled over arms. `heterogeneous`: the arms differ too much to pool (`p` of Bartlett's test)."""

    variance: float
    df: int
    heterogeneous: bool
    p: float | None
    per_arm: dict[str, float]
    note: str


def pooled_seed_variance(ys: Mapping[str, Any], *, alpha: float = 0.10) -> SeedVariance:
    """Pool the variance of seed means over the arms of one benchmark, after checking that they agree.

    ys: arm name -> y (S, P, K); arms with one seed are left out. s2 = sum (S_a - 1) s2_a / sum (S_a - 1). The check is
    Bartlett's test at a lenient `alpha` (seed means are averages, hence near normal; with 3 seeds Levene's test has no
    power at all). It cannot prove equality, so a pooled test is reported beside the unpooled one, never instead.
    An arm without any spread among arms with spread counts as heterogeneous. Raises Refusal without a pair of seeds.
    """
    known = {name: m for name, m in arms(dict(ys)).items() if m.n_seeds > 1}
    if not known:
        raise Refusal("pooled_seed_variance: no arm has two seeds; train at least 3 seeds per arm")
    v_A = np.array([m.seed_variance for m in known.values()])
    df_A = np.array([m.n_seeds - 1 for m in known.values()])
    variance, df = float((v_A * df_A).sum() / df_A.sum()), int(df_A.sum())
    flat_A = v_A <= ZERO_VARIANCE
    if flat_A.all() or len(known) == 1:
        p, note = None, "one arm" if len(known) == 1 else "no arm has any spread between its seeds"
    elif flat_A.any():
        p, note = 0.0, f"{int(flat_A.sum())} of {len(known)} arms have no spread at all between their seeds"
    else:
        p = bartlett(v_A, df_A)
        note = f"Bartlett's test over {len(known)} arms: p = {p:.3g}"
    per_arm = {name: float(v) for name, v in zip(known, v_A, strict=True)}
    return SeedVariance(variance, df, p is not None and p < alpha, p, per_arm, note)


def bartlett(v_A: np.ndarray, df_A: np.ndarray) -> float:
    """p-value of Bartlett's test of equal variances from variances (all > 0) and their degrees of freedom."""
    df = df_A.sum()
    pooled = (v_A * df_A).sum() / df
    statistic = df * np.log(pooled) - (df_A * np.log(v_A)).sum()
    correction = 1 + ((1 / df_A).sum() - 1 / df) / (3 * (v_A.size - 1))
    return float(chdtrc(v_A.size - 1, statistic / correction))


@dataclass(frozen=True)
class PooledTest:
    """The same difference tested with the two arms' own seed variances, and with the pooled one where allowed."""

    unpooled: TestResult
    pooled: TestResult | None
    why_not_pooled: str = ""


def pooled_test(y_a: Any, y_b: Any, pool: SeedVariance, *, level: float = 0.95) -> PooledTest:
    """Welch's test, and beside it t = (a - b) / sqrt(s2_pool (1/S_a + 1/S_b)) on the pool's degrees of freedom.

    `pool` must contain both arms. No pooled test when the pool is heterogeneous, has no spread, an arm has fewer than 3
    seeds, or one of the two arms is noisier than the others together (F test at `NOISIER`): with a few seeds Bartlett's
    test misses a single noisy arm, and pooling then rejects a true null of that arm in up to 17 % of the cases, with
    this guard in 7 %. Errors as `welch_on_seeds`; BadInput when the pool cannot contain the two arms.
    """
    a, b = arm(y_a, "y_a"), arm(y_b, "y_b")
    unpooled = welch_on_seeds(a, b, level=level)
    if why := too_few_seeds(a.n_seeds, b.n_seeds) or _withheld(pool, a, b):
        return PooledTest(unpooled, None, why)
    variance = pool.variance * (1 / a.n_seeds + 1 / b.n_seeds)
    note = f"seed variance pooled over {len(pool.per_arm)} arms ({pool.note})"
    out = t_result(FIXED_SET, a.score - b.score, variance, pool.df, a.n_seeds, b.n_seeds, level=level, note=note)
    return PooledTest(unpooled, out)


def pooled_against_base(y: Any, base: Any, pool: SeedVariance, *, level: float = 0.95) -> PooledTest:
    """`one_sample_against_base`, and beside it V = s2_pool / S + V_base, where the pool's seed variance may be used.

    `pool` must contain the trained arm; the rules that withhold it are those of `pooled_test`. Errors likewise.
    """
    m, b = arm(y, "y"), arm(base, "base")
    unpooled = one_sample_against_base(m, b, level=level)
    if why := too_few_seeds(m.n_seeds) or _withheld(pool, m):
        return PooledTest(unpooled, None, why)
    terms = [(pool.variance / m.n_seeds, pool.df), sampling_variance(b)]
    variance = sum(v for v, _ in terms)
    note = f"seed variance pooled over {len(pool.per_arm)} arms ({pool.note})"
    df = cautious_df(terms)
    out = t_result(FIXED_SET, m.score - b.score, variance, df, m.n_seeds, b.n_seeds, level=level, note=note)
    return PooledTest(unpooled, out)


def _withheld(pool: SeedVariance, *members: Arm) -> str:
    """Why these arms may not be tested with the pooled seed variance, or ""."""
    if pool.heterogeneous:
        return f"seed variances differ between arms ({pool.note}): pooling would favour the noisier arm"
    if pool.variance <= ZERO_VARIANCE:
        return "the pooled seed variance is 0"
    return _noisier(pool, *members)


def _noisier(pool: SeedVariance, *members: Arm) -> str:
    own = [(m.seed_variance, m.n_seeds - 1) for m in members]
    df = pool.df - sum(d for _, d in own)
    rest = pool.variance * pool.df - sum(v * d for v, d in own)
    if df < 0 or rest < -1e-9 * pool.variance * pool.df:
        raise BadInput("pooled test: the pool must contain the arms; build it from all arms of the benchmark")
    if df == 0:
        return ""
    rest = max(rest, ZERO_VARIANCE) / df
    if min(float(fdtrc(d, df, v / rest)) for v, d in own) < NOISIER:
        return "an arm of the pair varies more between its seeds than the other arms together"
    return ""
