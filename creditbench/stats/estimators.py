"""Point estimates: pass@k, pass^k, avg@k, and two descriptives over several benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np

from creditbench.errors import BadInput
from creditbench.stats.arms import Refusal, arm


def pass_at_k(n: Any, c: Any, k: int) -> np.ndarray:
    """Unbiased estimate of P(at least one of k samples is correct): 1 - C(n-c, k) / C(n, k).

    n: samples drawn, c: of these correct, integers of any broadcastable shapes; k: one integer, 1 <= k <= n (n >= 2k
    is advised). Chen et al. 2021 (arXiv 2107.03374, eq. 1), as the product of (n-c-j)/(n-j), which neither
    overflows nor cancels. Returns floats of the broadcast shape.
    Raises Refusal for k > n, BadInput for counts that are not integers with 0 <= c <= n.
    """
    n_, c_ = _counts(n, c, k)
    return 1.0 - _all_from(n_ - c_, n_, k)


def pass_hat_k(n: Any, c: Any, k: int) -> np.ndarray:
    """Unbiased estimate of P(all of k samples are correct): C(c, k) / C(n, k), the reliability of an agent.

    Arguments and errors as in `pass_at_k`; tau-bench (arXiv 2406.12045).
    """
    n_, c_ = _counts(n, c, k)
    return _all_from(c_, n_, k)


def avg_at_k(y: Any) -> np.ndarray:
    """Accuracy averaged over problems and samples, one number per seed: y (S, P, K) -> (S,). Errors as `arm`."""
    return arm(y).seed_means_S.copy()


def iqm(scores: Any) -> float:
    """Interquartile mean over all runs and tasks: the mean after cutting floor(n/4) values at each end.

    scores: any shape, e.g. (runs, tasks). A descriptive (Agarwal et al. 2021, arXiv 2108.13264); its bootstrap
    interval is not offered, being too narrow with few seeds. Raises BadInput for an empty or non-finite input.
    """
    x = np.sort(_finite(scores, "scores").ravel())
    cut = x.size // 4
    return float(x[cut : x.size - cut].mean())


def probability_of_improvement(x: Any, y: Any) -> float:
    """P(a run of X beats a run of Y), averaged over tasks; ties count one half (Mann-Whitney U / (N M)).

    x (N, tasks), y (M, tasks); one-dimensional input is one task. A descriptive, without interval (arXiv 2108.13264).
    Raises BadInput when the numbers of tasks differ.
    """
    a, b = (_finite(v, name) for v, name in ((x, "x"), (y, "y")))
    a, b = (v[:, None] if v.ndim == 1 else v for v in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise BadInput(f"x, y: expected (runs, tasks) with equal tasks, got {a.shape} and {b.shape}")
    wins = (a[:, None, :] > b[None, :, :]) + 0.5 * (a[:, None, :] == b[None, :, :])
    return float(wins.mean())


def _counts(n: Any, c: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    n_, c_ = np.broadcast_arrays(np.asarray(n), np.asarray(c))
    if isinstance(k, bool) or not isinstance(k, int | float | np.integer | np.floating) or not k >= 1 or k % 1:
        raise BadInput(f"k: expected an integer of at least 1, got {k!r}")
    for name, v in (("n", n_), ("c", c_)):
        if v.dtype.kind not in "buif" or v.size == 0 or not np.isfinite(v).all() or (v != np.floor(v)).any():
            raise BadInput(f"{name}: expected counts (integers, at least one), got {np.asarray(v).ravel()[:4]}")
    n_, c_ = n_.astype(np.int64), c_.astype(np.int64)
    if (c_ < 0).any() or (c_ > n_).any():
        raise BadInput("c: the number of correct samples must lie between 0 and n")
    if (n_ < k).any():
        raise Refusal(
            f"pass@{int(k)} needs at least {int(k)} samples per problem, the smallest has {int(n_.min())}; "
            f"draw more samples or ask for a smaller k"
        )
    return n_, c_


def _all_from(good: np.ndarray, n: np.ndarray, k: int) -> np.ndarray:
    """C(good, k) / C(n, k): a factor reaches 0 when good < k, and the product stays there."""
    out = np.ones(n.shape)
    for j in range(int(k)):
        out = out * np.maximum(good - j, 0) / (n - j)
    return out


def _finite(values: Any, name: str) -> np.ndarray:
    try:
        v = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"{name}: expected numbers in a rectangular array") from None
    if v.size == 0 or not np.isfinite(v).all():
        raise BadInput(f"{name}: expected at least one value, all finite")
    return v
