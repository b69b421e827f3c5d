"""OPSD against 2601.18734 v3: forward KL, clip per vocabulary entry, frozen initial teacher, privileged context."""

import math
from types import SimpleNamespace

import pytest
import torch

from creditbench.conformance.synthetic import ANSWER, SOLUTION, ids_of
from creditbench.divergences import clipped_forward_kl, clipped_jsd
from creditbench.items import Hint
from creditbench.trainer.collect import Source
from creditbench.trainer.teachers import TeacherPool
from tests.methods.kit import SETTINGS, build, model, naive_logits, nudged, outcome_of, render, synthetic_batch, work_of


def both(student, teacher, batch, b, temperature=1.0):
    """Teacher and student probabilities [T,V] of one row, each from its own prompt."""
    response = batch.response_BT[b, : int(batch.length_B[b])].tolist()
    item = batch.items[b]
    with torch.no_grad():
        t = naive_logits(teacher, (SOLUTION, *ids_of(item.solution), *ids_of(item.problem)), response) / temperature
    s = naive_logits(student, batch.prompts[b], response) / temperature
    return torch.log_softmax(t, -1), torch.log_softmax(s, -1)


def test_clip_acts_per_vocabulary_entry_before_the_sum():
    """Teacher (.90, .09, .01), student (.1, .8, .1): entries 1.9775, -.1966, -.0230 and tau = .05."""
    t = torch.tensor([[0.90, 0.09, 0.01]], dtype=torch.float64).log()
    s = torch.tensor([[0.10, 0.80, 0.10]], dtype=torch.float64).log()
    entries = [0.90 * math.log(9.0), 0.09 * math.log(0.09 / 0.8), 0.01 * math.log(0.1)]
    expected = sum(min(e, 0.05) for e in entries)
    assert expected == pytest.approx(0.05 - 0.1966 - 0.0230, abs=1e-4)
    for value in (clipped_forward_kl(s, t, 0.05), clipped_jsd(s, t, 0.0, 0.05)):
        assert float(value) == pytest.approx(expected, rel=1e-12)
    per_token = min(sum(entries), 0.05)
    assert per_token == 0.05 and expected < 0  # a clip of the token's sum would give .05


def test_clipped_entries_have_no_gradient():
    """d/dz_j sum_{v unclipped} T_v log(T_v / S_v) = sum_{v unclipped} T_v (S_j - [v = j])."""
    generator = torch.Generator().manual_seed(2)
    t = 3 * torch.randn(4, 9, generator=generator, dtype=torch.float64)
    s = torch.randn(4, 9, generator=generator, dtype=torch.float64).requires_grad_()
    clipped_forward_kl(s, t, 0.05).sum().backward()
    p, q = t.softmax(-1), s.detach().softmax(-1)
    kept = p * (p / q).log() < 0.05
    assert bool((~kept).any()) and bool(kept.any())
    expected = (p * kept).sum(-1, keepdim=True) * q - p * kept
    assert torch.allclose(s.grad, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("tau", [0.05, None])
def test_loss_and_gradient_by_the_book(tau):
    """mean_n sum_v min(T log(T/S), tau), both logits divided by the sampling temperature 1.1, teacher frozen."""
    batch = synthetic_batch([[1, 0], [0, 0]], truncated=[1])
    method, initial, now = build("opsd", tau=tau), model(), nudged(model(), 0.03)
    assert method.distill.temperature == 1.1
    pool = TeacherPool(nudged(initial, 0.0), method.teachers)
    pool.after_step(1)
    work = work_of(now, method, batch, pool=pool)
    got = outcome_of(now, method, work)
    net, total, n = nudged(now, 0.0), 0.0, 0
    for b in range(4):
        log_t, log_s = both(net, initial, batch, b, 1.1)
        entries = log_t.exp() * (log_t - log_s)
        total = total + (entries.clamp(max=tau) if tau else entries).sum()
        n += len(entries)
    (total / n).backward()
    assert got.loss == pytest.approx(float((total / n).detach()), rel=1e-10)
    for name, p in net.named_parameters():
        assert torch.allclose(p.grad, got.grads[name], rtol=1e-7, atol=1e-11), name


def test_teacher_stays_the_initial_model():
    method, student = build("opsd"), nudged(model(), 0.0)
    pool = TeacherPool(student, method.teachers)
    with torch.no_grad():
        for p in student.parameters():
            p.add_(0.1)
    for step in range(1, 31):
        pool.after_step(step)
    with pool.model("self") as teacher:
        for kept, first in zip(teacher.parameters(), model().parameters(), strict=True):
            assert torch.equal(kept, first)


def test_privileged_text_reaches_the_teacher_and_never_the_student():
    batch = synthetic_batch([[1, 0], [0, 0]])
    method = build("opsd")
    work = work_of(model(), method, batch)
    for b, prompt in enumerate(work.teachers["self"].prompts):
        solution = ids_of(batch.items[b].solution)
        assert prompt[: 1 + len(solution)] == (SOLUTION, *solution)
        assert work.batch.prompts[b] == render(batch.items[b])
        assert SOLUTION not in work.batch.prompts[b]
    # Student states are those of the plain prompt: only the teacher's side moves with the solution.
    other = synthetic_batch([[1, 0], [0, 0]])
    import dataclasses

    items = tuple(dataclasses.replace(i, solution="7 7 7 7") for i in other.items)
    moved = work_of(model(), method, dataclasses.replace(other, items=items))
    assert moved.batch.prompts == work.batch.prompts
    assert outcome_of(model(), method, moved).loss != outcome_of(model(), method, work).loss


def test_the_teacher_reads_with_thinking_on_and_the_student_answers_without():
    """Section 4.2: a chat template opens the teacher's turn in its thinking mode; contexts of others say nothing."""
    batch = synthetic_batch([[1, 0]])
    said = {}

    class Tokenizer:
        def encode_prompt(self, rendered, observation="", **mode):
            said[rendered] = mode
            return [1]

    benchmark = SimpleNamespace(prompt=lambda item, protocol, hint: hint and hint.kind)
    source = Source(benchmark, batch.items, None, Tokenizer(), track="t", seed=0)
    for group in batch.groups():
        hints = build("opsd").teachers["self"].context(group)
        for hint in (None, Hint("answer"), *hints):
            source.prompt_ids(batch.items[0], hint)
    assert said == {None: {}, "answer": {}, "solution": {"thinking": True}}


def test_items_without_a_solution_do_not_train():
    import dataclasses

    batch = synthetic_batch([[1, 0], [0, 0]])
    items = tuple(dataclasses.replace(i, solution="") if b < 2 else i for b, i in enumerate(batch.items))
    batch = dataclasses.replace(batch, items=items)
    method = build("opsd")
    whole = outcome_of(model(), method, work_of(model(), method, batch))
    half = outcome_of(model(), method, work_of(model(), method, batch.rows([2, 3])))
    assert whole.loss == pytest.approx(half.loss, rel=1e-12) and whole.distance(half) < 1e-9


def test_sampled_form_is_equation_9():
    """A_n = sg[log p_T - log p_S] on the sampled token, - mean_n A_n log p_S; items without a solution drop out."""
    import dataclasses

    batch = synthetic_batch([[1, 0], [0, 0]])
    items = tuple(dataclasses.replace(i, solution="") if b < 2 else i for b, i in enumerate(batch.items))
    batch = dataclasses.replace(batch, items=items)
    method, initial, now = build("opsd", form="sampled"), model(), nudged(model(), 0.03)
    assert method.distill is None and method.teachers["self"].weights == "initial"
    pool = TeacherPool(nudged(initial, 0.0), method.teachers)
    pool.student = now
    got = outcome_of(now, method, work_of(now, method, batch, pool=pool))
    net, total, n = nudged(now, 0.0), 0.0, 0
    for b in (2, 3):
        log_t, log_s = both(net, initial, batch, b)
        at = batch.response_BT[b, : int(batch.length_B[b])][:, None]
        picked = log_s.gather(1, at)
        total = total - ((log_t.gather(1, at) - picked).detach() * picked).sum()
        n += len(at)
    (total / n).backward()
    for name, p in net.named_parameters():
        assert torch.allclose(p.grad, got.grads[name], rtol=1e-7, atol=1e-11), name


@pytest.mark.parametrize("form", ["full", "sampled"])
def test_context_may_be_the_answer(form):
    """SC-GRPO's and CAST's baseline on sets without worked solutions: the teacher reads the final answer."""
    batch = synthetic_batch([[1, 0]])
    work = work_of(model(), build("opsd", context="answer", form=form), batch)
    for b, prompt in enumerate(work.teachers["self"].prompts):
        assert prompt == (ANSWER, *ids_of(batch.items[b].answer), *batch.prompts[b])


def test_correctness_plays_no_part():
    batch = synthetic_batch([[1, 0, 1]])
    a = outcome_of(model(), build("opsd"), work_of(model(), build("opsd"), batch))
    b = outcome_of(model(), build("opsd"), work_of(model(), build("opsd"), synthetic_batch([[0, 0, 0]])))
    assert a.equals(b)


def test_tiles_do_not_change_loss_or_gradient():
    batch = synthetic_batch([[1, 0], [0, 0]])
    method = build("opsd")
    whole = outcome_of(model(), method, work_of(model(), method, batch))
    small = SETTINGS.model_copy(update={"logits_tile": 3})
    tiled = outcome_of(model(), method, work_of(model(), method, batch, small), small)
    assert whole.distance(tiled) < 1e-9
