"""The batch record every method works on: responses, masks, groups, rewards, outcomes. Floor 1.

Suffixes: `_B` response, `_T` response token, `_G` member of a group, `_V` vocabulary, `_H` hidden.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from creditbench.items import Completion, Item


def identity(x: Tensor) -> Tensor:
    """Gather over one process: the tensor itself."""
    return x


@dataclass(frozen=True)
class RolloutBatch:
    """One rollout batch of B responses in groups of G, padded to T response tokens.

    `response_BT` holds every token after the prompt, environment tokens included, padded on the right;
    `mask_BT` is True on tokens the model generated (its end token included) and decides what loss, credit and
    KL see. `length_B` counts real tokens of a row. `answer_BT` marks the response's own final answer (all False
    where the benchmark finds none), `reasoning_BT` the model tokens before the phrase that concludes to it and
    `wrong_BT` tokens known to be wrong by construction (tiny tracks only). `optim_B` and `micro_B` say which
    optimizer batch and which micro-batch a row belongs to. `failed_B` marks rows whose grading or environment
    broke (ours, never the model's). `seed_B` are the rows' sampling seeds, `opening` the environments' first
    observations (empty text for single turns). `gather`
    concatenates over processes.
    """

    prompts: tuple[tuple[int, ...], ...]
    response_BT: Tensor
    mask_BT: Tensor
    length_B: Tensor
    group_B: Tensor
    items: tuple[Item, ...]
    completions: tuple[Completion, ...]
    reward_B: Tensor
    correct_B: Tensor
    truncated_B: Tensor
    failed_B: Tensor
    answer_BT: Tensor
    reasoning_BT: Tensor
    wrong_BT: Tensor
    optim_B: Tensor
    micro_B: Tensor
    seed_B: tuple[int, ...]
    opening: tuple[str, ...] = ()
    step: int = 0
    total_steps: int = 1
    max_response: int = 1
    gather: Callable[[Tensor], Tensor] = field(default=identity, repr=False)

    @property
    def n_rows(self) -> int:
        """B."""
        return self.response_BT.shape[0]

    @property
    def n_groups(self) -> int:
        """Number of groups in this process's batch."""
        return int(self.group_B.max()) + 1 if self.n_rows else 0

    @property
    def tokens_B(self) -> Tensor:
        """Model tokens of each response (length without environment tokens)."""
        return self.mask_BT.sum(-1)

    def to(self, device: torch.device) -> RolloutBatch:
        """The batch with its tensors on `device`."""
        return replace(self, group_B=self.group_B.to(device), **{n: getattr(self, n).to(device) for n in _TENSORS})

    def with_reward(self, reward_B: Tensor) -> RolloutBatch:
        """The same batch with a shaped reward; correctness is untouched."""
        return replace(self, reward_B=reward_B)

    def rows(self, index: Sequence[int] | Tensor) -> RolloutBatch:
        """The batch restricted to some rows, groups renumbered in order of appearance."""
        index_R = torch.as_tensor(index, dtype=torch.long)
        tensors = {
            name: getattr(self, name)[index_R]
            for name in _TENSORS
        }
        _, group_R = torch.unique(self.group_B[index_R], sorted=True, return_inverse=True)
        keep = index_R.tolist()
        pick = {name: tuple(getattr(self, name)[i] for i in keep) for name in _PER_ROW if getattr(self, name)}
        return replace(self, group_B=group_R, **tensors, **pick)

    def groups(self) -> Iterator[Group]:
        """The groups in order; each knows its rows and has a random stream of its own, independent of the others.

        Members stand in the order of their sampling seeds, so what is drawn for a response does not depend on where
        its row happens to lie in the batch.
        """
        for g in range(self.n_groups):
            rows = torch.nonzero(self.group_B == g).flatten().tolist()
            rows.sort(key=lambda b: self.seed_B[b])
            yield Group(
                item=self.items[rows[0]],
                rows=tuple(rows),
                completions=tuple(self.completions[i] for i in rows),
                reward_G=self.reward_B[rows],
                correct_G=self.correct_B[rows],
                rng=random.Random(_mix([self.seed_B[i] for i in rows])),
            )


_TENSORS = (
    *("response_BT", "mask_BT", "length_B", "reward_B", "correct_B", "truncated_B", "failed_B"),
    *("answer_BT", "reasoning_BT", "wrong_BT", "optim_B", "micro_B"),
)
_PER_ROW = ("prompts", "items", "completions", "seed_B", "opening")


def _mix(seeds: Sequence[int]) -> int:
    """One seed from a group's sampling seeds, whatever their order."""
    mixed = 0
    for seed in seeds:
        mixed ^= (seed * 0x9E3779B97F4A7C15 + 0xD1B54A32D192ED03) % (1 << 63)
    return mixed


@dataclass(frozen=True)
class Group:
    """The G responses to one prompt, as a teacher's context function sees them."""

    item: Item
    rows: tuple[int, ...]
    completions: tuple[Completion, ...]
    reward_G: Tensor
    correct_G: Tensor
    rng: random.Random

    @property
    def size(self) -> int:
        """G."""
        return len(self.rows)

    @property
    def n_correct(self) -> int:
        """n_c, the number of correct responses."""
        return int(self.correct_G.sum())


def per_group(values_B: Tensor, group_B: Tensor) -> Tensor:
    """Sum of `values_B` over each row's group, returned per row [B]."""
    n = int(group_B.max()) + 1 if group_B.numel() else 0
    sums = torch.zeros(n, dtype=values_B.dtype, device=values_B.device).index_add_(0, group_B, values_B)
    return sums[group_B]


def group_size(group_B: Tensor) -> Tensor:
    """G of each row's group [B], float64."""
    return per_group(torch.ones_like(group_B, dtype=torch.float64), group_B)


def n_correct(batch: RolloutBatch) -> Tensor:
    """n_c of each row's group [B], int64."""
    return per_group(batch.correct_B.to(torch.float64), batch.group_B).round().long()


def uniform_groups(batch: RolloutBatch) -> Tensor:
    """True for rows whose group is all correct or all wrong [B] (decided on correctness, not on shaped reward)."""
    n_c = n_correct(batch)
    return (n_c == 0) | (n_c == group_size(batch.group_B).long())


def quantile_of(values: Tensor, q: float) -> Tensor:
    """Quantile over all values in float64, linear interpolation: `torch.quantile` without its limit of 2**24 values."""
    ordered = values.double().flatten().sort().values
    at = q * (len(ordered) - 1)
    low = ordered[int(at)]
    return torch.lerp(low, ordered[min(int(at) + 1, len(ordered) - 1)], at - int(at))


def masked_mean(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean over masked tokens of each row [B]; 0 for a row without tokens."""
    mask = mask_BT.to(values_BT.dtype)
    return (values_BT * mask).sum(-1) / mask.sum(-1).clamp(min=1)


def spread(values_B: Tensor, mask_BT: Tensor) -> Tensor:
    """One number per response on each of its model tokens, 0 elsewhere [B,T]."""
    return values_B[:, None] * mask_BT.to(values_B.dtype)
