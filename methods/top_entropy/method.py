"""80/20 (2506.01939): policy gradient on the most uncertain fifth of the tokens, the rest dropped.

    A_it = A_i 1[H_it >= tau_rho],  tau_rho = (1 - rho) quantile of the entropies of the batch's tokens, rho = 0.2
"""

from functools import partial

import torch

from creditbench.method import Method, Surrogate, group_zscore
from creditbench.rollouts import quantile_of
from creditbench.signals import Entropy


def credit(adv_B, batch, signals, keep: float):
    """Slot 3: the advantage on tokens of high entropy [B,T], scaled so that the token mean is over kept tokens.

    The threshold is taken over the gathered optimizer batch.
    """
    weight_BT = torch.zeros(batch.mask_BT.shape, dtype=adv_B.dtype)
    for u in torch.unique(batch.optim_B).tolist():
        at_BT = batch.mask_BT & (batch.optim_B == u)[:, None]
        everyone = batch.gather(signals.entropy_BT[at_BT])
        if len(everyone):
            threshold = quantile_of(everyone, 1 - keep)
            kept = int((everyone.double() >= threshold).sum())
            weight_BT[at_BT & (signals.entropy_BT.double() >= threshold)] = len(everyone) / kept
    return adv_B[:, None] * weight_BT


def build(s) -> Method:
    """Slots of the 80/20 rule on DAPO's loss."""
    return Method(
        advantage=partial(group_zscore, std=s.std, eps=s.std_eps),
        credit=partial(credit, keep=s.keep),
        surrogate=Surrogate(low=s.clip_low, high=s.clip_high),
        aggregate="token-mean",
        signals=(Entropy(),),
    )
