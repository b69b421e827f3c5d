"""Loss and gradient of the neighbours and of the core methods' variants against a second implementation."""

from functools import partial

import numpy as np
import pytest
import torch

from creditbench.method import get_method
from creditbench.trainer.collect import optimizer_batches
from creditbench.trainer.teachers import TeacherPool
from tests.methods import second
from tests.methods.kit import SETTINGS, build, model, nudged, outcome_of, synthetic_batch, work_of

KINDS = ("k1", "k2", "k3")
# SC-GRPO's table 2 at the first step of a run: coefficients of KL(teacher || student) and KL(student || teacher).
TABLE2 = {
    "forward": {"forward": 0.1, "reverse": 0.0}, "forward_ramp": {"forward": 0.03, "reverse": 0.0},
    "reverse": {"forward": 0.0, "reverse": 0.1}, "reverse_ramp": {"forward": 0.0, "reverse": 0.03},
    "both_ramp": {"forward": 0.07, "reverse": 0.03},
}  # fmt: skip


def variant_of(name: str, variant: str) -> dict:
    return get_method(name).card.variants[variant]


NEIGHBOURS = {name: (name, {}, getattr(second, name)) for name in (
    "dr_grpo", "rloo", "gspo", "cispo", "reinforce_pp", "top_entropy", "rlsd", "rlrt", "grail", "sdpg", "sdpo",
    "oracle_credit", "grpo_distill",
)}  # fmt: skip
VARIANTS = {
    "reinforce_pp baseline": ("reinforce_pp", {"baseline": True}, partial(second.reinforce_pp, baseline=True)),
    "sdpg, large terms": ("sdpg", {"beta": 0.7, "alpha": 0.4}, partial(second.sdpg, beta=0.7, alpha=0.4)),
    **{f"grpo {k}": ("grpo", {"kl": k, "beta": 0.04}, partial(second.grpo_penalty, kind=k)) for k in KINDS},
    "opd jsd .3": ("opd", {"form": "full", "beta": 0.3}, partial(second.opd_full, beta=0.3)),
    "opd at .9": (
        "opd", {"form": "full", "divergence_temperature": 0.9}, partial(second.opd_full, beta=1.0, temperature=0.9)
    ),
    "opsd jsd": ("opsd", {"beta": 0.5}, partial(second.opsd, beta=0.5, tau=0.05)),
    "opsd reverse": ("opsd", {"beta": 1.0}, partial(second.opsd, beta=1.0, tau=0.05)),
    "opsd per sequence": (
        "opsd", {"aggregate": "sequence-mean"}, partial(second.opsd, beta=0.0, tau=0.05, mean=second.sequence_mean)
    ),
    "opsd sampled": ("opsd", {"form": "sampled"}, second.opsd_sampled),
    **{f"grpo_distill {row}": ("grpo_distill", variant_of("grpo_distill", row), partial(second.grpo_sibling, **shares))
       for row, shares in TABLE2.items()},
    "cast narrow, no reversal": (
        "cast", {"pos_low": 0.95, "pos_high": 1.05, "flip_correct": False, "flip_wrong": False, "neg_high": 1.05},
        partial(second.cast_without_reversal, low=0.95, high=1.05),
    ),
    "cast mixed only, no reversal": (
        "cast",
        {"pos_low": 0.8, "pos_high": 1.2, "neg_low": 0.8, "uniform_groups": False, "flip_correct": False,
         "flip_wrong": False},
        partial(second.cast_without_reversal, low=0.8, high=1.2, mixed_only=True),
    ),
    "oar_p set a": ("oar_p", {"quantile": 0.25, "beta": 1.0},
                    partial(second.oar_p, outcome="answer_mean", quantile=0.25, beta=1.0)),
    "oar_p last": ("oar_p", {"outcome": "last"}, partial(second.oar_p, outcome="last", quantile=0.4, beta=2.0)),
    "oar_p joint": (
        "oar_p", {"outcome": "answer_joint"}, partial(second.oar_p, outcome="answer_joint", quantile=0.4, beta=2.0)
    ),
}  # fmt: skip
CASES = {**NEIGHBOURS, **VARIANTS}
TEACHER = {"rlrt": "self", "sdpo": "self", "grpo_distill": "self"}


def random_batch(seed: int):
    """Two optimizer batches, groups of 1 to 5 of every kind; one row truncated, one with no answer; environments."""
    draw = np.random.default_rng(seed)
    marks = [[1, 0, 1], [0, 0], [1, 1], [1, 0, 0, 0], [1], [0, 1, 1, 0, 1]]
    order = draw.permutation(len(marks))
    lengths = [[int(draw.integers(1, 17)) for _ in marks[i]] for i in order]
    batch = synthetic_batch(
        [marks[i] for i in order], lengths=lengths, truncated=[int(draw.integers(17))], seed=seed, updates=2,
        micro_rows=3, env_tokens=seed % 2 == 1, no_answer=[int(draw.integers(17))],
    )  # fmt: skip
    if seed == 2:  # a partial reward beside correctness, as agents have
        return batch.with_reward(batch.reward_B * 0.5 + torch.linspace(0, 0.4, 17, dtype=torch.float64))
    return batch


# Every case with one of the three batches; the other two are slow tests.
CHOSEN = [
    pytest.param(case, seed, marks=() if seed == i % 3 else pytest.mark.slow)
    for i, case in enumerate(CASES)
    for seed in range(3)
]


@pytest.mark.parametrize(("case", "seed"), CHOSEN)
def test_loss_and_gradient_agree_with_the_second_implementation(case: str, seed: int):
    name, own, reference = CASES[case]
    # Truncated rows carry loss for odd seeds and none for even ones.
    s = SETTINGS.model_copy(update={"epochs_per_rollout": 2, "micro_rows": 3, "mask_truncated": seed % 2 == 0})
    batch, method = random_batch(seed), build(name, **own)
    initial, old, now, lagged = model(), nudged(model(), 0.02), nudged(model(), 0.035, seed=seed), model(7)
    pool = TeacherPool(nudged(initial, 0.0), method.teachers, model(5))
    for teacher, kind in method.teachers.items():
        if kind.weights in ("copy", "ema"):
            pool._copies[teacher].load_state_dict(lagged.state_dict())
    pool.student = old
    work = work_of(old, method, batch, s, pool=pool, external=model(5))
    pool.student = now  # a live teacher of slot 6 has the weights of the update
    silent = frozenset(torch.nonzero(batch.truncated_B).flatten().tolist()) if s.mask_truncated else frozenset()
    world = second.World(
        batch, old, nudged(now, 0.0), initial, lagged, model(5),
        hints=work.signals.hints.get(TEACHER.get(name, ""), ()), silent=silent,
    )  # fmt: skip
    seen = 0.0
    for micros in optimizer_batches(work.batch):
        got = outcome_of(now, method, work, s, micros=micros)
        world.now.zero_grad(set_to_none=True)
        loss = reference(world, sorted(r for micro in micros for r in micro))
        loss.backward()
        assert got.loss == pytest.approx(float(loss.detach()), rel=1e-8, abs=1e-11)
        seen = max(seen, abs(got.loss))
        scale = sum(float(g.norm()) ** 2 for g in got.grads.values()) ** 0.5
        for key, p in world.now.named_parameters():
            expected = torch.zeros_like(p) if p.grad is None else p.grad
            assert torch.allclose(got.grads[key], expected, rtol=1e-6, atol=1e-9 * scale + 1e-12), key
    assert seen > 1e-6
