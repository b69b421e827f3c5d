"""Tests on seed means against scipy, and what happens at the edges."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats as sps

from creditbench.errors import BadInput
from creditbench.stats import (
    compare,
    one_sample_against_base,
    paired_on_seeds,
    pooled_against_base,
    pooled_seed_variance,
    pooled_test,
    score_interval,
    welch_on_seeds,
)

rng = np.random.default_rng(11)


def outcomes(p, S=3, P=20, K=4):
    return (rng.random((S, P, K)) < p).astype(np.int8)


@pytest.mark.parametrize(("s_a", "s_b"), [(3, 3), (3, 7), (10, 4)])
def test_welch_is_scipys(s_a, s_b):
    a, b = outcomes(0.6, s_a), outcomes(0.4, s_b)
    got = welch_on_seeds(a, b, level=0.9)
    want = sps.ttest_ind(a.mean((1, 2)), b.mean((1, 2)), equal_var=False)
    interval = want.confidence_interval(0.9)
    assert got.p == pytest.approx(want.pvalue)
    assert got.df == pytest.approx(want.df)
    assert (got.ci_low, got.ci_high) == pytest.approx((interval.low, interval.high))
    assert got.difference == pytest.approx(a.mean() - b.mean())
    assert (got.n_a, got.n_b, got.estimand) == (s_a, s_b, "fixed_set")


def test_paired_is_scipys():
    a, b = outcomes(0.6, 5), outcomes(0.4, 5)
    want = sps.ttest_rel(a.mean((1, 2)), b.mean((1, 2)))
    got = paired_on_seeds(a, b)
    assert (got.p, got.df) == (pytest.approx(want.pvalue), 4)
    with pytest.raises(BadInput, match="equal numbers"):
        paired_on_seeds(a, outcomes(0.4, 4))


def test_mde_is_se_times_two_quantiles():
    got = welch_on_seeds(outcomes(0.6), outcomes(0.4))
    assert got.mde == pytest.approx((sps.t.ppf(0.975, got.df) + sps.t.ppf(0.8, got.df)) * got.se)


@pytest.mark.parametrize("seeds", [(1, 3), (2, 2), (2, 10), (3, 1)])
@pytest.mark.parametrize("estimand", ["fixed_set", "superpopulation"])
def test_below_three_seeds_only_description(seeds, estimand):
    a, b = outcomes(0.6, seeds[0]), outcomes(0.4, seeds[1])
    got = compare(a, b, estimand=estimand)
    assert got.difference == pytest.approx(a.mean() - b.mean())
    assert (got.p, got.ci_low, got.ci_high, got.df, got.se, got.mde) == (None,) * 6
    assert got.note.startswith("descriptive only") and "at least 3" in got.note


def test_base_needs_no_seeds_of_its_own():
    assert one_sample_against_base(outcomes(0.6, 3), outcomes(0.4, 1)).p is not None
    assert one_sample_against_base(outcomes(0.6, 2), outcomes(0.4, 5)).p is None


def test_one_sample_against_base_by_hand():
    y = np.zeros((3, 2, 4))
    y[0, :, :2], y[1, :, :3], y[2, :, :1] = 1, 1, 1  # seed means .5, .75, .25: s2 = .0625
    base = np.array([[[1, 0], [0, 0]], [[0, 0], [0, 0]]])  # problem 0: 1 of 4 correct, s2 = .25; problem 1: 0
    got = one_sample_against_base(y, base)
    v_base = 0.25 / 4 / 4
    v_seed = 0.0625 / 3
    v = v_seed + v_base
    df = v / (v_seed / 2 + v_base / 3)  # the one problem with spread has 3 df
    t = (0.5 - 0.125) / math.sqrt(v)
    assert (got.se, got.df) == (pytest.approx(math.sqrt(v)), pytest.approx(df))
    assert got.p == pytest.approx(2 * sps.t.sf(t, df))


def test_one_sample_without_base_noise_is_scipys():
    y, base = outcomes(0.6, 5), np.ones((2, 20, 4))  # the base solves everything, always
    want = sps.ttest_1samp(y.mean((1, 2)), 1.0)
    got = one_sample_against_base(y, base)
    assert (got.p, got.df) == (pytest.approx(want.pvalue), pytest.approx(4))


def test_single_base_sample_is_bounded_not_ignored():
    y, base = outcomes(0.6, 5, 30, 1), outcomes(0.4, 1, 30, 1)
    got = one_sample_against_base(y, base)
    m = base.mean()
    assert got.se**2 == pytest.approx(y.mean((1, 2)).var(ddof=1) / 5 + m * (1 - m) / 30)


@pytest.mark.parametrize("test", [welch_on_seeds, paired_on_seeds, one_sample_against_base])
@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 30, 1), (5, 500, 16)])
def test_identical_seeds_give_no_zero_p(test, shape):
    zeros, ones = np.zeros(shape), np.ones(shape)
    same = test(zeros, zeros)
    assert (same.difference, same.p) == (0, 1) and same.se > 0
    got = test(ones, zeros)
    assert 0 < got.p < 0.2 and "seeds scored the same" in got.note
    assert got.ci_low < 1 < got.ci_high


def test_floor_is_the_smoothed_coin():
    got = welch_on_seeds(np.ones((3, 10, 1)), np.zeros((3, 10, 1)))
    m = 31 / 32
    assert got.se == pytest.approx(math.sqrt(2 * m * (1 - m) / 30))
    assert got.df == 4


@pytest.mark.filterwarnings("ignore:Precision loss")  # scipy on the constant arm
def test_one_constant_arm_is_still_welch():
    a, b = np.ones((3, 20, 4)), outcomes(0.5)
    want = sps.ttest_ind([1.0] * 3, b.mean((1, 2)), equal_var=False)
    assert welch_on_seeds(a, b).p == pytest.approx(want.pvalue)


def test_false_positives_of_welch_exact_for_one_bit_per_seed():
    # every outcome of 3 + 3 seeds with one problem and one sample, weighted by its probability under the null
    for pi in (0.1, 0.3, 0.5, 0.8):
        rate = 0.0
        for bits in itertools.product([0, 1], repeat=6):
            if welch_on_seeds(np.array(bits[:3]), np.array(bits[3:])).p < 0.05:
                rate += pi ** sum(bits) * (1 - pi) ** (6 - sum(bits))
        assert rate <= 0.05


def test_unequal_problem_sets_and_unknown_words_are_bad_input():
    with pytest.raises(BadInput, match="problems per family"):
        welch_on_seeds(outcomes(0.5, P=20), outcomes(0.5, P=21))
    with pytest.raises(BadInput, match="estimand"):
        compare(outcomes(0.5), outcomes(0.5), estimand="superset")
    with pytest.raises(BadInput, match="level"):
        welch_on_seeds(outcomes(0.5), outcomes(0.5), level=95)


def test_score_interval_of_seeds_is_scipys():
    a = outcomes(0.6, 4)
    got = score_interval(a, estimand="fixed_set")
    low, high = sps.t.interval(0.95, 3, a.mean(), sps.sem(a.mean((1, 2))))
    assert (got.ci_low, got.ci_high, got.p) == (pytest.approx(low), pytest.approx(high), None)
    assert score_interval(outcomes(0.6, 2)).ci_low is None
    assert score_interval(outcomes(0.6, 2), is_base=True).ci_low is not None


def test_pooled_variance_and_test_against_scipy():
    ys = {name: outcomes(p, s) for name, p, s in (("a", 0.6, 3), ("b", 0.5, 4), ("c", 0.4, 5))}
    means = [y.mean((1, 2)) for y in ys.values()]
    pool = pooled_seed_variance(ys)
    assert pool.p == pytest.approx(sps.bartlett(*means).pvalue)
    assert pool.df == 2 + 3 + 4
    assert pool.variance == pytest.approx(sum(m.var(ddof=1) * (len(m) - 1) for m in means) / 9)
    with pytest.raises(BadInput, match="must contain the arms"):
        pooled_test(np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.4, 0.0]), pool)
    two = pooled_test(ys["a"], ys["b"], pooled_seed_variance({"a": ys["a"], "b": ys["b"]}, alpha=1e-9))
    want = sps.ttest_ind(means[0], means[1], equal_var=True)
    assert two.pooled.p == pytest.approx(want.pvalue)
    assert two.unpooled == welch_on_seeds(ys["a"], ys["b"])


def test_pooling_is_withheld_where_arms_differ():
    calm = {f"calm{i}": np.array([0.50, 0.51, 0.49, 0.50]) for i in range(4)}
    wild = {"wild": np.array([0.1, 0.9, 0.4, 0.6])}
    pool = pooled_seed_variance(calm | wild)
    assert pool.heterogeneous
    out = pooled_test(calm["calm0"], wild["wild"], pool)
    assert out.pooled is None and "differ between arms" in out.why_not_pooled
    flat = pooled_seed_variance({"flat": np.ones(3), **calm})
    assert flat.heterogeneous and "no spread" in flat.note
    assert not pooled_seed_variance(calm).heterogeneous


def test_one_noisier_arm_is_not_pooled_although_bartlett_accepts():
    calm = {f"calm{i}": np.array([0.50, 0.54, 0.46]) for i in range(6)}
    noisy = {"noisy": np.array([0.50, 0.60, 0.40])}
    pool = pooled_seed_variance(calm | noisy)
    assert not pool.heterogeneous
    out = pooled_test(noisy["noisy"], calm["calm0"], pool)
    assert out.pooled is None and "varies more" in out.why_not_pooled
    assert pooled_test(calm["calm0"], calm["calm1"], pool).pooled.df == 14


def test_pooled_against_base_by_hand():
    calm = {f"calm{i}": np.array([0.50, 0.54, 0.46]) for i in range(6)}
    base = np.array([[[1, 0, 0, 1]], [[0, 0, 1, 0]], [[1, 0, 0, 0]]])
    out = pooled_against_base(calm["calm0"], base, pooled_seed_variance(calm))
    v_base = (4 / 12 * 8 / 12) * 12 / 11 / 12  # one problem, 12 samples, 4 of them right
    variance = 0.0016 / 3 + v_base  # the variance of (50, 54, 46) is 16
    df = variance / (0.0016 / 3 / 12 + v_base / 11)
    assert out.pooled.difference == pytest.approx(0.5 - 1 / 3)
    assert out.pooled.p == pytest.approx(2 * sps.t.sf(abs(0.5 - 1 / 3) / np.sqrt(variance), df))
    assert out.unpooled == one_sample_against_base(calm["calm0"], base)
    noisy = {"noisy": np.array([0.50, 0.60, 0.40])}
    withheld = pooled_against_base(noisy["noisy"], base, pooled_seed_variance(calm | noisy))
    assert withheld.pooled is None and "varies more" in withheld.why_not_pooled
    few = pooled_against_base(np.array([0.5, 0.6]), base, pooled_seed_variance(calm))
    assert few.pooled is None and "train at least 3 seeds" in few.why_not_pooled
