"""What a method may declare, and the container its credit function receives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from creditbench.errors import BadInput
from creditbench.items import Hint


@dataclass(frozen=True)
class SampledLogp:
    """Log-probability the sampling policy gave each sampled token -> `logp_old_BT`; comes with every other request."""


@dataclass(frozen=True)
class Entropy:
    """Entropy in nats of the student's next-token distribution at each response token -> `entropy_BT`."""


@dataclass(frozen=True)
class TeacherLogp:
    """Log-probability a teacher gives each sampled token -> `logp_teacher_BT[teacher]`."""

    teacher: str


@dataclass(frozen=True)
class TeacherKL:
    """Full-vocabulary KL per token -> `kl_BT[direction, teacher]`.

    `kl_teacher_student` is KL(teacher || student), the forward direction; `kl_student_teacher` the reverse.
    """

    teacher: str
    direction: Literal["kl_teacher_student", "kl_student_teacher"] = "kl_teacher_student"


@dataclass(frozen=True)
class InputGrad:
    """Gradient x input of an outcome at the response's own answer -> `input_grad_BT` (>= 0).

    target `answer_kl`: KL between the clean answer distribution and the one under Gaussian noise of `noise_std` on
    the reasoning tokens' embeddings (OAR-G); `answer_nll`: minus the log-probability of the answer tokens (GRAIL).
    reduce `abs_dot` is |sum_h g_h e_h|, `norm_product` is ||g * e||_2. `position` says whose embedding scores token
    t: its `own` or its `predecessor`'s.
    """

    target: Literal["answer_kl", "answer_nll"] = "answer_kl"
    noise_std: float = 1e-3
    draws: int = 1
    reduce: Literal["abs_dot", "norm_product"] = "abs_dot"
    position: Literal["own", "predecessor"] = "own"
    skip_zero_advantage: bool = True


@dataclass(frozen=True)
class Perturbed:
    """Change of the outcome when token t is replaced by the padding token -> `perturbed_BT` (OAR-P).

    outcome `answer_mean`: KL between softmaxes of the mean logits over the answer-predicting positions;
    `last`: KL at the position that predicts the first answer token; `answer_joint`: drop of the mean log-probability
    of the answer tokens, clamped at 0.
    """

    outcome: Literal["answer_mean", "last", "answer_joint"] = "answer_mean"
    share_prefix: bool = True
    skip_zero_advantage: bool = True


@dataclass(frozen=True)
class Hidden:
    """Last-layer hidden state at each response token -> `hidden_BTH`."""


Request = SampledLogp | Entropy | TeacherLogp | TeacherKL | InputGrad | Perturbed | Hidden


@dataclass(frozen=True)
class Signals:
    """Detached signals of one rollout batch; absent ones are None or missing keys.

    `hints[teacher]` are the contexts that were used, one per response (None: the teacher was off there), and
    `context_tokens_B[teacher]` how many tokens longer than the student's prompt the teacher's prompt was.
    """

    logp_old_BT: Tensor
    entropy_BT: Tensor | None = None
    logp_teacher_BT: Mapping[str, Tensor] = field(default_factory=dict)
    kl_BT: Mapping[tuple[str, str], Tensor] = field(default_factory=dict)
    input_grad_BT: Tensor | None = None
    perturbed_BT: Tensor | None = None
    hidden_BTH: Tensor | None = None
    hints: Mapping[str, tuple[Hint | None, ...]] = field(default_factory=dict)
    has_context_B: Mapping[str, Tensor] = field(default_factory=dict)
    context_tokens_B: Mapping[str, Tensor] = field(default_factory=dict)

    def gap_BT(self, teacher: str) -> Tensor:
        """log pi_teacher - log pi_old on the sampled tokens, 0 where the teacher was off [B,T]."""
        gap_BT = self.logp_teacher_BT[teacher] - self.logp_old_BT
        return gap_BT * self.has_context_B[teacher][:, None].to(gap_BT.dtype)


class NoSignals(Signals):
    """The signals of a method that asks for none: no pass was made, so there are no log-probabilities to read."""

    def __getattribute__(self, name: str) -> Any:
        """Raises BadInput for `logp_old_BT`: zeros in its place would be another method, without a word."""
        if name == "logp_old_BT":
            raise BadInput("signals.logp_old_BT: nothing was computed; ask for it in build(): signals=(SampledLogp(),)")
        return super().__getattribute__(name)
