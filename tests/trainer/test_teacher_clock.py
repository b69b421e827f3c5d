"""Teachers' weights move with optimizer steps: not with micro-batches, not with rollout batches."""

from itertools import pairwise

import pytest
import torch

from creditbench.trainer.loop import train_step
from tests.trainer.bandit import S, open_run


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()


def played(method: str, steps: int, teacher: str = "self", **own):
    """The student after each optimizer step (first: the initial model) and the teacher after each rollout batch.

    Every rollout batch makes four optimizer steps (two optimizer batches, twice) of two micro-batches each.
    """
    changed = {"prompts_per_step": 4, "updates_per_rollout": 2, "epochs_per_rollout": 2, "micro_rows": 4}
    s = S.model_copy(update={**changed, "steps": steps})
    setup, state = open_run(method, 0, s, **own)
    students, teachers = [weights(state.model)], []
    state.optimizer.register_step_post_hook(lambda *_: students.append(weights(state.model)))
    for _ in range(steps):
        train_step(setup, state)
        with state.pool.model(teacher) as net:
            teachers.append(weights(net))
    assert len(students) == 4 * steps + 1 and state.optimizer_step == 4 * steps
    assert all(not torch.equal(a, b) for a, b in pairwise(students))
    return students, teachers


@pytest.mark.parametrize("refresh", [3, 10])
def test_casts_copy_is_the_student_of_every_nth_optimizer_step(refresh):
    students, teachers = played("cast", 4, refresh=refresh)
    for step, teacher in enumerate(teachers, 1):
        assert torch.equal(teacher, students[4 * step // refresh * refresh]), step


def test_sdpos_average_moves_once_per_optimizer_step():
    students, teachers = played("sdpo", 2, ema_rate=0.25)
    mean = students[0]
    for n, student in enumerate(students[1:], 1):
        mean = 0.75 * mean + 0.25 * student
        if n % 4 == 0:
            assert torch.allclose(teachers[n // 4 - 1], mean, rtol=1e-5, atol=1e-7)


def test_opsds_teacher_never_moves():
    students, teachers = played("opsd", 2)
    assert all(torch.equal(teacher, students[0]) for teacher in teachers)
