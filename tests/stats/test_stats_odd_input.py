"""Odd inputs are refused in one line; none leaks a nan, an infinity or another library's exception."""

import math

import numpy as np
import pytest

from creditbench import stats as st
from creditbench.errors import BadInput

NAN = float("nan")
rng = np.random.default_rng(0)
Y, Z = (rng.random((2, 3, 10, 4)) < 0.5).astype(float)
HOLED = np.where(np.arange(120).reshape(3, 10, 4) == 7, NAN, Y)

REFUSED = {
    "pass@k above n": (lambda: st.pass_at_k(4, 2, 5), "at least 5 samples"),
    "pass@k of nan": (lambda: st.pass_at_k(4, 2, NAN), "k: expected an integer"),
    "pass@k of infinity": (lambda: st.pass_at_k(4, 2, math.inf), "k: expected an integer"),
    "pass@k of nothing": (lambda: st.pass_at_k(4, 2, None), "k: expected an integer"),
    "pass@k of text": (lambda: st.pass_hat_k(4, 2, "2"), "k: expected an integer"),
    "pass@k of a count that is nan": (lambda: st.pass_at_k(4, NAN, 2), "c: expected counts"),
    "a missing score": (lambda: st.welch_on_seeds(HOLED, Z), "1 of 120 scores are missing"),
    "ragged scores": (lambda: st.avg_at_k([[1, 0], [1]]), "rectangular"),
    "ragged runs": (lambda: st.iqm([[1, 2], [1]]), "rectangular"),
    "p as text": (lambda: st.holm(["a"]), "p: expected numbers"),
    "p above one": (lambda: st.benjamini_hochberg([1.2]), "must lie in"),
    "no arm": (lambda: st.p_best({}), "at least one arm"),
    "no budget": (lambda: st.accuracy_at_budgets(Y, np.ones(Y.shape), []), "at least one"),
    "tokens of nan": (lambda: st.length_matched(Y, HOLED, Z, Z), "1 of 120|finite"),
    "a reported nan": (lambda: st.crawford_howell([0.4, 0.5, 0.6], NAN), "reported: expected a finite"),
    "a reported sd of nan": (
        lambda: st.crawford_howell([0.4, 0.5, 0.6], 0.5, reported_seeds=3, reported_sd=NAN), "deviations of at least 0",
    ),
    "a verdict on an sd of nan": (
        lambda: st.paper_verdict(Y, st.Reported(0.5, n_seeds=3, sd=NAN), 0.02), "deviations of at least 0",
    ),
    "a verdict on nan": (lambda: st.paper_verdict(Y, st.Reported(NAN), 0.02), "expected a fraction"),
    "a margin of nan": (lambda: st.paper_verdict(Y, st.Reported(0.5), NAN), "margin"),
    "an effect of nan": (lambda: st.seeds_needed(NAN, seed_sd=0.1), "effect"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name):
    call, said = REFUSED[name]
    with pytest.raises(BadInput, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


FLAT = {
    "all right": np.ones((3, 6, 2)), "all wrong": np.zeros((3, 6, 2)), "one problem": Y[:, :1],
    "one sample": Y[..., :1],
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("a", FLAT)
@pytest.mark.parametrize("estimand", st.ESTIMANDS)
def test_no_number_is_nan_where_nothing_varies(a, estimand):
    y = FLAT[a]
    for other in (y, 1 - y):
        result = st.compare(y, other, estimand=estimand)
        shown = (result.difference, result.ci_low, result.ci_high, result.p, result.se, result.mde)
        assert all(math.isfinite(v) for v in shown if v is not None)
        assert result.p is None or 0 < result.p <= 1
    base = st.compare(y, y[:1], estimand=estimand, b_is_base=True)
    assert base.p is None or math.isfinite(base.p)
    split = st.variance_split(y)
    assert all(v is None or math.isfinite(v) for v in (split.seed, split.problem, split.interaction, split.sampling))
    interval = st.score_interval(y, estimand=estimand)
    assert interval.ci_low is None or interval.ci_low <= interval.difference <= interval.ci_high


def test_equal_arms_share_the_first_rank_and_one_seed_has_none_alone():
    ranks = st.rank_intervals({"a": Y, "b": Y, "c": Y[:1]})
    assert [(r.rank_low, r.rank_high) for r in ranks] == [(1, 3)] * 3
    assert st.rank_intervals({}) == []
