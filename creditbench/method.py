"""The contract a method fulfils: six slots, declared signals, named teachers; and the registry of `methods/`.

    slot        what                                                         default (GRPO)
    select      which groups train and what reward they carry                all, as graded
    advantage   one number per response                                      group z-score
    credit      token advantages from declared signals, detached             the response's number on every token
    surrogate   data: ratio level, clip range, kind, reference KL            token ratio, clip 0.2
    aggregate   data: token-mean | sequence-mean | constant                  sequence-mean
    distill     divergence through the student's logits, tile by tile        none

A method folder holds `card.yaml` and `method.py` with `build(settings) -> Method`. The trainer reads the slots and
never asks which method it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from creditbench.benchmark import load_module, plugin_names, read_yaml, repo_root, validated
from creditbench.errors import BadInput, unknown
from creditbench.items import Hint
from creditbench.rollouts import Group, RolloutBatch, group_size, per_group, spread
from creditbench.signals import Request, Signals

Context = Callable[[Group], Sequence[Hint | None]]


@dataclass(frozen=True)
class Teacher:
    """Weights x context. `context` returns one hint per response of a group; None switches the teacher off there.

    weights: `live` (the student's current weights), `initial` (frozen start), `copy` (hard copy every `every`
    optimizer steps), `ema` (rate per optimizer step), `external` (the track's teacher model).
    """

    context: Context
    weights: Literal["live", "initial", "copy", "ema", "external"] = "live"
    every: int = 10
    rate: float = 0.05


@dataclass(frozen=True)
class Surrogate:
    """Slot 4. `level` of the importance ratio, clip range 1-low..1+high, and the kind of policy loss.

    kinds: `clip` (PPO minimum), `cispo` (detached clipped ratio times log-prob, upper cap 1+high only),
    `none` (ratio times advantage, unclipped), `off` (no policy-gradient term).
    `kl` is an optional penalty on the sampled tokens against `kl_teacher` (k1, k2, k3, or inverse_log of SDPG).
    """

    level: Literal["token", "sequence"] = "token"
    low: float = 0.2
    high: float = 0.2
    kind: Literal["clip", "cispo", "none", "off"] = "clip"
    dual: float | None = None
    kl: Literal["none", "k1", "k2", "k3", "inverse_log"] = "none"
    kl_coef: float = 0.0
    kl_teacher: str = "reference"


Divergence = Callable[[Tensor, Tensor], Tensor]  # student logits [N,V] (grad), teacher logits [N,V] -> loss [N]
TokenWeight = Callable[[Tensor, RolloutBatch, Signals], Tensor]  # adv_B, batch, signals -> weight [B,T]


@dataclass(frozen=True)
class Distill:
    """Slot 6: `coef(step, total) * divergence`, the only term with gradient through logits.

    `divergence` sees a tile of logits, both divided by `temperature` (`teacher_temperature` for the teacher).
    `weight` (detached) masks or weighs tokens; rows whose teacher has no context get 0. `ratio_cap` multiplies the
    loss by the detached importance ratio capped at that value (SDPO).
    `divergence_at(step, total)` gives the divergence instead where it changes over a run.
    """

    teacher: str
    divergence: Divergence
    coef: Callable[[int, int], float] = lambda step, total: 1.0
    weight: TokenWeight | None = None
    temperature: float = 1.0
    teacher_temperature: float | None = None
    ratio_cap: float | None = None
    aggregate: Literal["token-mean", "sequence-mean", "constant"] = "token-mean"
    divergence_at: Callable[[int, int], Divergence] | None = None


Select = Callable[[RolloutBatch], tuple[Tensor, Tensor]]
Advantage = Callable[[RolloutBatch], Tensor]
Credit = Callable[[Tensor, RolloutBatch, Signals], Tensor]


def keep_all(batch: RolloutBatch) -> tuple[Tensor, Tensor]:
    """Slot 1 default: every response trains, the reward is as graded. Returns (keep_B bool, reward_B)."""
    return torch.ones_like(batch.correct_B), batch.reward_B


def group_zscore(batch: RolloutBatch, std: str = "sample", eps: float = 1e-6) -> Tensor:
    """(r - group mean) / (group std + eps) [B]; `std` is `sample` (ddof 1), `population` or `none`.

    Uniform groups are exactly zero. Source: DeepSeekMath 2402.03300, outcome supervision; the paper does not say
    which standard deviation, torch's default is `sample`.
    """
    r_B, n_B = batch.reward_B, group_size(batch.group_B)
    centred_B = r_B - per_group(r_B, batch.group_B) / n_B
    if std == "none":
        scaled_B = centred_B
    else:
        dof_B = n_B - 1 if std == "sample" else n_B
        var_B = per_group(centred_B**2, batch.group_B) / dof_B.clamp(min=1)
        scaled_B = centred_B / (var_B.sqrt() + eps)
    return torch.where(same_reward(batch), torch.zeros_like(scaled_B), scaled_B)


def same_reward(batch: RolloutBatch) -> Tensor:
    """True for rows whose whole group has one reward value [B]; keeps rounding out of zero advantages."""
    n = batch.n_groups
    high = torch.full((n,), -torch.inf, dtype=batch.reward_B.dtype)
    low = torch.full((n,), torch.inf, dtype=batch.reward_B.dtype)
    high = high.scatter_reduce(0, batch.group_B, batch.reward_B, "amax")
    low = low.scatter_reduce(0, batch.group_B, batch.reward_B, "amin")
    return (high == low)[batch.group_B]


def broadcast(adv_B: Tensor, batch: RolloutBatch, signals: Signals) -> Tensor:
    """Slot 3 default: every model token carries its response's advantage [B,T]."""
    return spread(adv_B, batch.mask_BT)


@dataclass(frozen=True)
class Method:
    """A method as data plus pure tensor functions.

    `refill` > 0 turns on dynamic sampling: rows that `select` drops are replaced by further rollouts, with at most
    that many generated batches per step. `errors` asks for the mask of tokens known to be wrong
    (`wrong_BT`, tiny tracks only). `teachers` and `signals` declare what is computed before `credit`.
    """

    select: Select = keep_all
    advantage: Advantage = group_zscore
    credit: Credit = broadcast
    surrogate: Surrogate = Surrogate()
    aggregate: Literal["token-mean", "sequence-mean", "constant"] = "sequence-mean"
    distill: Distill | None = None
    teachers: Mapping[str, Teacher] = field(default_factory=dict)
    signals: tuple[Request, ...] = ()
    refill: int = 0
    errors: bool = False


class Reduces(BaseModel):
    """The claim that with `own` settings this method is `method` with `settings`, bit for bit in float64."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: str
    own: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    only: Literal["always", "n_correct in {1, G}", "mixed groups"] = "always"


class Paper(BaseModel):
    """Where the method comes from; `id` is the arXiv number."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    title: str
    url: str = ""
    version: str = ""


class Setting(BaseModel):
    """A setting of the method: the paper's value and where it stands (`assumed: why` when the paper is silent)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    paper: Any = None
    where: str
    doc: str = ""
    choices: list[Any] | None = None


MATCHED = "matched"
"""Variant of the matched view: slots 1, 2, 4, 5 are GRPO's, so that only credit varies."""
SLOTS = "slots"
"""Setting of every method: `slots: grpo` puts GRPO's into slots 1, 2, 4 and 5; credit, signals, teachers stay."""

Placebo = Literal["permuted", "response-mean", "permuted-gap", "wrong-context"]


class MethodCard(BaseModel):
    """`card.yaml` of a method."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    title: str
    paper: Paper
    summary: str
    implemented: list[str]
    omitted: list[str] = Field(default_factory=list)
    readings: list[str] = Field(default_factory=list, description="our choice where the paper is silent")
    divergence: str = "none"
    privileged: Literal["none", "outcome", "answer", "solution", "external model"] = "outcome"
    own_settings: dict[str, Setting] = Field(default_factory=dict)
    paper_settings: dict[str, Setting] = Field(default_factory=dict, description="the trainer's settings in the paper")
    defaults: dict[Literal["tiny", "real"], dict[str, Any]] = Field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    reduces_to: Reduces | None = None
    cost: str = Field("S0", description="cost class of the extra passes")
    extra_forwards: str = "0"
    placebos: list[Placebo] = Field(default_factory=list)
    multiplicative: bool = Field(False, description="no token's credit opposes its response's advantage (tested)")
    unmatched: str = Field("", description=f"why there is no variant `{MATCHED}`; empty where there is one")
    reported: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Registered:
    """A registered method: its card and its `build`."""

    name: str
    folder: Path
    card: MethodCard
    build: Callable[[Any], Method]

    @property
    def matched_view(self) -> str:
        """The arm of the matched view, or why there is none."""
        if MATCHED in self.card.variants:
            return f"{self.name}@{MATCHED}"
        return f"none: {self.card.unmatched or 'not declared'}"

    def own_defaults(self, suite_class: str) -> dict[str, Any]:
        """Values of the method's own settings: the paper's, overlaid by the card's defaults for the suite class."""
        own = {key: setting.paper for key, setting in self.card.own_settings.items()}
        return {**own, **{k: v for k, v in self.card.defaults.get(suite_class, {}).items() if k in own}}  # pyright: ignore

    def method(self, own: Mapping[str, Any]) -> Method:
        """Build the method from its own settings. Raises BadInput for an unknown key or a value not allowed."""
        known, slots = self.card.own_settings, own.get(SLOTS)
        if slots not in (None, "grpo"):
            raise BadInput(f"{self.name}: setting {SLOTS!r} is {slots!r}, expected 'grpo' or nothing")
        own = {key: value for key, value in own.items() if key != SLOTS}
        for key, value in own.items():
            if key not in known:
                raise unknown("setting", key, known, f"{self.folder / 'card.yaml'}: own_settings")
            choices = known[key].choices
            if choices is not None and value not in choices:
                raise BadInput(f"{self.name}: setting {key!r} is {value!r}, expected one of {choices}")
            if isinstance(value, str) and isinstance(known[key].paper, int | float):
                # YAML reads 1e9 and 1.0e9 as text; 1.0e+9 is a number.
                raise BadInput(f"{self.name}: setting {key!r} is the text {value!r}, expected a number")
        values = {**{key: setting.paper for key, setting in known.items()}, **own}
        method = self.build(SimpleNamespace(**values))
        if not isinstance(method, Method):
            raise BadInput(f"{self.folder / 'method.py'}: build() returned {type(method).__name__}, expected Method")
        plain = Method()
        taken = {"select", "advantage", "surrogate", "aggregate", "refill"} if slots else set()
        return replace(method, **{field: getattr(plain, field) for field in taken})


def method_names(root: Path | None = None) -> list[str]:
    """Names of all registered methods."""
    return plugin_names((root or repo_root()) / "methods", "card.yaml")


def get_method(name: str, root: Path | None = None) -> Registered:
    """Load method `name`. Raises BadInput for an unknown name, a malformed card or a missing `build`."""
    return _get_method(name, (root or repo_root()).resolve())


@lru_cache(maxsize=128)
def _get_method(name: str, root: Path) -> Registered:
    folder = root / "methods" / name
    if not name.isidentifier() or not (folder / "card.yaml").is_file():
        raise unknown("method", name, method_names(root))
    card = validated(MethodCard, read_yaml(folder / "card.yaml"), str(folder / "card.yaml"))
    module = load_module(folder / "method.py", f"creditbench_methods_{name}")
    if not callable(getattr(module, "build", None)):
        raise BadInput(f"{folder / 'method.py'}: function 'build(settings) -> Method' is missing")
    return Registered(name, folder, card, module.build)
