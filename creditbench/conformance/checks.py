"""What `creditbench check-method` runs: a method's card, its slots, and its loss on synthetic batches, in seconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from creditbench.conformance.synthetic import (
    SETTINGS,
    Outcome,
    nudged,
    outcome_of,
    reordered,
    repadded,
    synthetic_batch,
    tiny_model,
    try_method,
    work_of,
)
from creditbench.errors import CheckFailed, CreditBenchError
from creditbench.method import MATCHED, Method, Registered, get_method
from creditbench.rollouts import RolloutBatch
from creditbench.settings import TrainSettings
from creditbench.signals import TeacherLogp
from creditbench.trainer.update import Work

LINES = 150
CLOSE = 1e-9
MIXED = ((1, 0, 0, 1), (0, 0, 0, 0), (1, 1, 1, 1), (1, 0, 0, 0), (1, 1, 1, 0))
TEMPLATE_WORDS = {
    "title": "New method", "paper": "Title of the paper", "summary": "One full sentence",
    "implemented": "entropy-weighted advantage",
}  # fmt: skip
TRAINER_KEYS = frozenset(TrainSettings.model_fields) - {"method"}
# A second update on the same rollouts: log pi_old is then a tensor of its own and ratios leave 1.
TWICE = SETTINGS.model_copy(update={"epochs_per_rollout": 2})


@dataclass(frozen=True)
class Check:
    """One finding: what was checked, whether it holds, and what was seen."""

    name: str
    ok: bool
    detail: str = ""


@cache
def _model(seed: int = 0) -> nn.Module:
    return tiny_model(seed)


def check_method(name: str, root: Path | None = None) -> list[Check]:
    """All checks of method `name`, in order. A check that cannot run is a failed check that says why.

    Raises BadInput when there is no such method or its card or code cannot be read.
    """
    registered = get_method(name, root)
    checks: list[tuple[str, Callable[[Registered], str]]] = [
        ("card is complete", card_complete),
        (f"method.py has at most {LINES} lines", few_lines),
        ("every variant and default builds", variants_build),
        ("slots give the right shapes and types", shapes),
        ("credit and signals are detached", detached),
        ("parameter gradients are untouched by slots 1 to 3", grads_untouched),
        ("padding changes nothing", padding),
        ("row order changes nothing", row_order),
        ("micro-batches add up", accumulation),
        ("outputs are finite in edge groups", edge_groups),
        ("declared sign rule holds", sign_rule),
        ("declared placebos change the run", placebos),
        ("declared reduction is bit-equal in float64", lambda r: reduction(r, root)),
        ("matched view keeps GRPO's other slots", lambda r: matched_view(r, root)),
        ("two optimizer steps train", trains),
    ]
    return [_run(title, check, registered) for title, check in checks]


def _run(title: str, check: Callable[[Registered], str], registered: Registered) -> Check:
    try:
        return Check(title, True, check(registered))
    except CreditBenchError as error:
        return Check(title, False, str(error))
    except Exception as error:  # the method's own code: whatever it raises is the finding
        return Check(title, False, f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])


def _fail(text: str) -> CheckFailed:
    return CheckFailed(text)


def _default(registered: Registered) -> Method:
    return registered.method(registered.own_defaults("tiny"))


def _mixed(**options: Any) -> RolloutBatch:
    return synthetic_batch(MIXED, env_tokens=True, no_answer=(6, 17), **options)


def _try(method: Method, batch: RolloutBatch, s: TrainSettings = TWICE) -> tuple[Work, Outcome]:
    """Credit at one policy, loss and gradients at the policy some steps later."""
    work = work_of(_model(), method, batch, s, external=_model(5))
    return work, outcome_of(_moved(), method, work, s)


@cache
def _moved() -> nn.Module:
    return nudged(_model(), 0.02)


def card_complete(registered: Registered) -> str:
    """Every field a reader needs is there and says something."""
    card = registered.card
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9.]+)+", card.id):
        raise _fail(f"id {card.id!r}: expected words joined by hyphens, the last the paper's number or `own`")
    for field in ("title", "summary", "divergence", "extra_forwards"):
        if not getattr(card, field).strip():
            raise _fail(f"{field} is empty")
    if not card.paper.id or not card.paper.title:
        raise _fail("paper needs id and title (id `none` for a method of your own)")
    if len(card.summary.split()) < 6:
        raise _fail("summary: one full sentence is expected")
    if not card.implemented:
        raise _fail("implemented: list what the code does")
    if not re.fullmatch(r"S[0-8]", card.cost):
        raise _fail(f"cost {card.cost!r}: expected a class S0 to S8")
    for key, setting in card.own_settings.items():
        if not setting.where.strip():
            raise _fail(f"own_settings.{key}.where: name the table or section, or `assumed: why`")
        if setting.choices is not None and setting.paper not in setting.choices:
            raise _fail(f"own_settings.{key}: {setting.paper!r} is not among its choices {setting.choices}")
    for key in card.paper_settings:
        if key not in TRAINER_KEYS:
            raise _fail(f"paper_settings.{key}: not a setting of the trainer")
    method = _default(registered)
    weighted = method.signals and method.distill is None and card.cost not in ("S0", "S1")
    missing = {"permuted", "response-mean"} - set(card.placebos)
    if weighted and missing:
        raise _fail(f"placebos: a method that weighs tokens declares {sorted(missing)} too")
    found = f"{len(card.own_settings)} settings, {len(card.variants)} variants, placebos {list(card.placebos)}"
    said = {"title": card.title, "paper": card.paper.title, "summary": card.summary, "implemented": card.implemented[0]}
    left = [field for field, words in TEMPLATE_WORDS.items() if said[field].startswith(words)]
    return found + (f"; still the template's: {', '.join(left)}" if left else "")


def few_lines(registered: Registered) -> str:
    """A method stays readable at one sitting."""
    lines = len((registered.folder / "method.py").read_text(encoding="utf-8").splitlines())
    if lines > LINES:
        raise _fail(f"{lines} lines")
    return f"{lines} lines"


def variants_build(registered: Registered) -> str:
    """Defaults of both suite classes and every variant name known settings and build."""
    card = registered.card
    layers = {f"defaults.{k}": v for k, v in card.defaults.items()}
    layers |= {f"variants.{k}": v for k, v in card.variants.items()}
    for where, values in layers.items():
        own = {k: v for k, v in values.items() if k not in TRAINER_KEYS}
        try:
            registered.method({**registered.own_defaults("tiny"), **own})
            TrainSettings.model_validate({k: v for k, v in values.items() if k in TRAINER_KEYS})
        except Exception as error:  # a card's value may break the method's own code in any way
            raise _fail(f"{where}: {type(error).__name__}: {' '.join(str(error).split())}") from None
    registered.method(registered.own_defaults("real"))
    return f"{len(layers)} layers"


def shapes(registered: Registered) -> str:
    """keep [B] bool, reward [B], advantage [B], credit [B,T]; 0 off the mask."""
    method, batch = _default(registered), _mixed()
    b, t = batch.mask_BT.shape
    keep_B, reward_B = method.select(batch)
    work = work_of(_model(), method, batch, external=_model(5))
    seen = {"keep_B": keep_B, "reward_B": reward_B, "advantage": work.adv_B, "credit": work.credit_BT}
    expected = {"keep_B": (b,), "reward_B": (b,), "advantage": (b,), "credit": (b, t)}
    for key, value in seen.items():
        if tuple(value.shape) != expected[key]:
            raise _fail(f"{key}: shape {tuple(value.shape)}, expected {expected[key]}")
        floating = key != "keep_B"
        if floating != value.dtype.is_floating_point or (not floating and value.dtype != torch.bool):
            raise _fail(f"{key}: {value.dtype}")
    if bool(work.credit_BT[~batch.mask_BT].any()):
        raise _fail("credit is not 0 on tokens the model did not generate")
    return f"B {b}, T {t}"


def detached(registered: Registered) -> str:
    """No gradient flows through advantages, signals or weights; the raw slot outputs are looked at."""
    method, batch = _default(registered), _mixed()
    work = work_of(_model(), method, batch, external=_model(5))
    raw = method.credit(work.adv_B, work.batch, work.signals)
    kept = {"advantage": method.advantage(work.batch), "credit": raw}
    if work.has_old:
        kept["logp_old"] = work.signals.logp_old_BT
    kept |= {f"logp of {k}": v for k, v in work.signals.logp_teacher_BT.items()}
    kept |= {f"{k[0]} of {k[1]}": v for k, v in work.signals.kl_BT.items()}
    for key, value in kept.items():
        if value.requires_grad:
            raise _fail(f"{key} carries gradient")
    return f"{len(kept)} tensors"


def grads_untouched(registered: Registered) -> str:
    """Computing credit neither writes nor clears any parameter's `.grad`."""
    model = nudged(_model(), 0.0)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.25)
    work_of(model, _default(registered), _mixed(), external=_model(5))
    for key, parameter in model.named_parameters():
        if parameter.grad is None or not bool((parameter.grad == 0.25).all()):
            raise _fail(f"{key}.grad was changed")
    return ""


def _same(a: tuple[Work, Outcome], b: tuple[Work, Outcome], order: list[int] | None, what: str) -> str:
    t = min(a[0].credit_BT.shape[1], b[0].credit_BT.shape[1])
    first_BT, second_BT = a[0].credit_BT[:, :t], b[0].credit_BT[:, :t]
    first_BT = first_BT if order is None else first_BT[order]
    scale = max(float(first_BT.abs().max()), 1e-12)
    off = float((first_BT - second_BT).abs().max()) / scale
    if off > CLOSE:
        raise _fail(f"{what} moves the credit by {off:.1e} of its largest value")
    distance = a[1].distance(b[1])
    if distance > CLOSE:
        raise _fail(f"{what} moves loss or gradient by {distance:.1e}")
    return f"largest relative difference {max(off, distance):.1e}"


def padding(registered: Registered) -> str:
    """Neither the content nor the amount of padding reaches credit, loss or gradient."""
    method, batch = _default(registered), _mixed()
    return _same(_try(method, batch), _try(method, repadded(batch)), None, "padding")


def row_order(registered: Registered) -> str:
    """Rows of the optimizer batch may come in any order."""
    method, batch = _default(registered), _mixed()
    order = torch.randperm(batch.n_rows, generator=torch.Generator().manual_seed(0)).tolist()
    return _same(_try(method, batch), _try(method, reordered(batch, order)), order, "row order")


def accumulation(registered: Registered) -> str:
    """Gradients of micro-batches sum to the gradient of the optimizer batch: denominators count all of it."""
    method, batch = _default(registered), _mixed()
    work, whole = _try(method, batch)
    cut = [list(range(0, 3)), [3], list(range(4, 11)), list(range(11, batch.n_rows))]
    distance = whole.distance(outcome_of(_moved(), method, work, TWICE, micros=cut))
    if distance > CLOSE:
        raise _fail(f"accumulating over micro-batches changes the gradient by {distance:.1e}")
    return f"largest relative difference {distance:.1e}"


def edge_batches() -> Iterator[tuple[str, RolloutBatch, TrainSettings]]:
    """Groups at the edges: uniform, single, truncated, without answers, one token long, broken by us."""
    masked = TWICE.model_copy(update={"mask_truncated": True})
    yield "all correct", synthetic_batch([[1, 1, 1]]), TWICE
    yield "all wrong", synthetic_batch([[0, 0, 0]]), TWICE
    yield "one response, correct", synthetic_batch([[1]]), TWICE
    yield "one response, wrong", synthetic_batch([[0]]), TWICE
    yield "two responses", synthetic_batch([[1, 0]]), TWICE
    yield "truncated, counted", synthetic_batch([[1, 0, 0]], truncated=(0, 2)), TWICE
    yield "all truncated and masked", synthetic_batch([[0, 0]], truncated=(0, 1)), masked
    yield "no answers", synthetic_batch([[1, 0, 1, 0]], no_answer=(0, 1, 2, 3)), TWICE
    yield "one token each", synthetic_batch([[1, 0, 0]], lengths=[[1, 1, 1]]), TWICE
    yield "failed by us", synthetic_batch([[1, 0, 0]], failed=(1,)), TWICE


def edge_groups(registered: Registered) -> str:
    """Credit, loss and gradients are finite in every edge batch."""
    method, n = _default(registered), 0
    for what, batch, s in edge_batches():
        try:
            work, outcome = _try(method, batch, s)
        except Exception as error:
            raise _fail(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}"[:300]) from error
        values = [work.credit_BT, *outcome.grads.values(), torch.tensor(outcome.loss)]
        if not all(bool(torch.isfinite(v).all()) for v in values):
            raise _fail(f"{what}: credit, loss or gradient is not finite")
        n += 1
    return f"{n} edge batches"


def sign_rule(registered: Registered) -> str:
    """`multiplicative: true` promises that no token's credit opposes its response's advantage."""
    if not registered.card.multiplicative:
        return "none declared"
    for batch in (_mixed(), _mixed(seed=1)):
        work = work_of(_model(), _default(registered), batch, external=_model(5))
        product_BT = work.credit_BT * work.adv_B[:, None]
        if bool((product_BT < 0).any()):
            raise _fail("multiplicative is declared, but some tokens' credit has the opposite sign of the advantage")
    return "credit never opposes the advantage"


def placebos(registered: Registered) -> str:
    """Each declared placebo acts: it changes the credit (or the loss, for a method that only distils)."""
    method, batch = _default(registered), _mixed()
    real = work_of(_model(), method, batch, external=_model(5))
    for placebo in registered.card.placebos:
        if placebo == "permuted-gap" and not any(isinstance(r, TeacherLogp) for r in method.signals):
            raise _fail("permuted-gap is declared, but the method asks for no teacher log-probabilities")
        other = work_of(_model(), method, batch, placebo=placebo, external=_model(5))
        if torch.equal(real.credit_BT, other.credit_BT):
            pair = [outcome_of(_moved(), method, w) for w in (real, other)]
            if method.distill is None or pair[0].loss == pair[1].loss:
                raise _fail(f"placebo {placebo} changes nothing")
    return ", ".join(registered.card.placebos) or "none declared"


REDUCTION_BATCHES = {
    "always": MIXED,
    "n_correct in {1, G}": ((1, 0, 0, 0), (1, 1, 1, 1), (0, 0, 1), (1,)),
    "mixed groups": ((1, 0, 0, 1), (1, 0, 0, 0), (1, 1, 1, 0)),
}


def reduction(registered: Registered, root: Path | None) -> str:
    """With the card's `own` settings the method is the named one, bit for bit, on and off policy."""
    claim = registered.card.reduces_to
    if claim is None:
        return "none declared"
    target = get_method(claim.method, root)
    mine = registered.method({**registered.own_defaults("real"), **claim.own})
    other = target.method({**target.own_defaults("real"), **claim.settings})
    batch = synthetic_batch(REDUCTION_BATCHES[claim.only], env_tokens=True, no_answer=(1,))
    for s in (TWICE, SETTINGS):
        pair = []
        for method in (mine, other):
            work = work_of(_model(), method, batch, s, external=_model(5))
            pair.append((work, outcome_of(_moved() if s is TWICE else _model(), method, work, s)))
        if not torch.equal(pair[0][0].credit_BT, pair[1][0].credit_BT):
            off = float((pair[0][0].credit_BT - pair[1][0].credit_BT).abs().max())
            raise _fail(f"credit differs from {claim.method}'s by {off:.1e}")
        if not pair[0][1].equals(pair[1][1]):
            raise _fail(f"loss or gradient differs from {claim.method}'s by {pair[0][1].distance(pair[1][1]):.1e}")
    return f"{claim.method} {claim.settings or ''}".strip()


def matched_view(registered: Registered, root: Path | None) -> str:
    """In the matched view slots 1, 2, 4, 5 are GRPO's bit for bit, and what GRPO leaves silent stays silent."""
    card, found = registered.card, registered.card.variants.get(MATCHED)
    if (found is None) is not bool(card.unmatched):
        raise _fail(f"expected either a variant `{MATCHED}` or `unmatched: why there is none`")
    if found is None:
        return registered.matched_view
    if moved := sorted(TRAINER_KEYS & set(found)):
        raise _fail(f"variants.{MATCHED}: {moved[0]} is the suite's to set, alike for all arms")
    grpo_card = get_method("grpo", root)
    grpo = grpo_card.method(grpo_card.own_defaults("real"))
    for suite_class in ("tiny", "real"):
        mine = registered.method({**registered.own_defaults(suite_class), **found})
        for field in ("surrogate", "aggregate", "refill", "distill"):
            if getattr(mine, field) != getattr(grpo, field):
                raise _fail(f"{field}: {getattr(mine, field)}, GRPO's is {getattr(grpo, field)}")
        # Rewards between 0 and 1 and truncated rows too: both may reach slots 1 and 2.
        graded = _mixed(truncated=(2, 9))
        graded = graded.with_reward(graded.reward_B * torch.linspace(0.4, 1, graded.n_rows, dtype=torch.float64))
        for batch in (_mixed(), graded):
            works = [work_of(_model(), method, batch, external=_model(5)) for method in (mine, grpo)]
            chosen = [method.select(batch) for method in (mine, grpo)]
            pairs = {"select": zip(*chosen, strict=True), "advantage": [(works[0].adv_B, works[1].adv_B)]}
            for slot, values in pairs.items():
                if not all(torch.equal(a, b) for a, b in values):
                    raise _fail(f"{slot} is not GRPO's")
            if bool(works[0].credit_BT[works[1].adv_B == 0].any()):
                raise _fail("credit where GRPO's advantage is 0: that is an advantage of its own")
    return registered.matched_view


def trains(registered: Registered) -> str:
    """Two AdamW steps move the weights and leave them finite."""
    method, model = _default(registered), nudged(_model(), 0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    batch, losses = _mixed(), []
    for _ in range(2):
        _, outcome = try_method(model, method, batch, external=_model(5))
        losses.append(outcome.loss)
        for key, parameter in model.named_parameters():
            parameter.grad = outcome.grads.get(key)
        optimizer.step()
    pairs = zip(model.parameters(), _model().parameters(), strict=True)
    if all(torch.equal(a, b) for a, b in pairs):
        raise _fail("two optimizer steps leave every weight as it was")
    if not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        raise _fail("weights are not finite after two steps")
    return f"losses {losses[0]:.4f}, {losses[1]:.4f}"
