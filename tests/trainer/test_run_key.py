"""The run key: what makes two runs the same run, so that a stored one is left alone."""

from __future__ import annotations

import pytest

from creditbench.suite import load_suite, resolve
from creditbench.trainer.run import run_facts
from tests.trainer.small import results_for

SUITE = """\
name: suite
class: tiny
description: Nothing is trained.
seeds: [0]
arms: [base, grpo]
settings: {prompts_per_step: 2, group_size: 8, steps: 1}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return results_for(tmp_path_factory.mktemp("results"), SUITE)


def key(results, train=None, **settings) -> str:
    spec = resolve(load_suite(str(results / "suite.yaml")), "grpo", "math", 0)
    changed = {
        "settings": spec.settings.model_copy(update=settings),
        "train": train(spec.train) if train else spec.train,
    }
    return run_facts(spec.model_copy(update=changed), results)["key"]


def test_another_training_prompt_or_sampling_is_another_run(results):
    """A run that a suite asks again with another prompt must not be answered by the stored one."""
    before = key(results)
    assert key(results) == before == key(results, checkpoint_every=7, presence_penalty=0.0)
    for protocol in ({"system": "S"}, {"thinking": True}, {"prompt": "chat"}):
        other = key(results, lambda ref, p=protocol: ref.model_copy(update={"protocol": p}))
        assert other != before, protocol
    assert len({before, key(results, presence_penalty=0.2), key(results, top_k=20)}) == 3
