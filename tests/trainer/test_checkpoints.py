"""A run goes on from a checkpoint only when that and its curve and trace are what they were; else it starts again."""

from __future__ import annotations

import shutil

import pytest
import torch

from creditbench.records import read_manifest, read_parquet
from creditbench.suite import load_suite, resolve
from creditbench.trainer.run import train
from tests.trainer.small import results_for

STEPS, KILLED_AFTER = 5, 3
SUITE = f"""\
name: suite
class: tiny
description: Five steps from a random model, a checkpoint after the second and the fourth.
seeds: [0, 1]
arms: [base, grpo]
settings: {{prompts_per_step: 2, group_size: 4, steps: {STEPS}, checkpoint_every: 2}}
"""


class Killed(BaseException):
    """Stands for a loss of power: no handler of the run's own may count on it."""


def killed(step, steps, row):
    if step == KILLED_AFTER:
        raise Killed


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """(results, calm run, work folder of a killed run, that of the other seed's)."""
    results = results_for(tmp_path_factory.mktemp("results"), SUITE)
    specs = [resolve(load_suite(str(results / "suite.yaml")), "grpo", "math", seed) for seed in (0, 1)]
    calm = train(specs[0], results, out=results / "calm")
    works = []
    for spec, name in zip(specs, ("-mine", "-other"), strict=True):
        with pytest.raises(Killed):
            train(spec, results, out=results / "never", scratch=name, report=killed)
        works += (results / ".work").glob(f"*{name}")
    return results, specs[0], calm, *works


def flip(path, share):
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 64
    path.write_bytes(bytes(data))


DAMAGE = {
    "weights": lambda mine, other: flip(mine / "checkpoint.pt", 0.3),
    "moments": lambda mine, other: flip(mine / "checkpoint.pt", 0.7),
    "other content": lambda mine, other: torch.save([1], mine / "checkpoint.pt"),
    "other seed": lambda mine, other: shutil.copytree(other, mine, dirs_exist_ok=True),
    "curve cut": lambda mine, other: (mine / "curve.jsonl").write_text(
        (mine / "curve.jsonl").read_text().splitlines()[0] + "\n"
    ),
    "trace gone": lambda mine, other: (mine / "trace.jsonl").unlink(),
    "trace zeroed": lambda mine, other: (mine / "trace.jsonl").write_bytes(
        bytes(len((mine / "trace.jsonl").read_bytes()))
    ),
    "curve of other bytes": lambda mine, other: (mine / "curve.jsonl").write_bytes(
        b"[1]\n\xff\n" + (mine / "curve.jsonl").read_bytes()
    ),
    "nothing": lambda mine, other: None,
    "lines of later steps": lambda mine, other: (mine / "trace.jsonl").open("ab").write(b'{"step": 3}\n\xff{'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_left_is_used_only_when_it_belongs_together(interrupted, tmp_path, damage):
    results, spec, calm, mine, other = interrupted
    kept = tmp_path / "work"
    shutil.copytree(mine, kept)
    try:
        DAMAGE[damage](mine, other)
        done = []
        out = train(
            spec, results, out=tmp_path / "run", scratch="-mine", report=lambda step, steps, row: done.append(step)
        )
    finally:
        shutil.copytree(kept, mine, dirs_exist_ok=True)
    assert done[0] == (3 if damage in ("nothing", "lines of later steps") else 1)
    assert read_manifest(out).model_digest == read_manifest(calm).model_digest
    assert read_parquet(out / "trace.parquet").equals(read_parquet(calm / "trace.parquet"))
    assert read_parquet(out / "curve.parquet")["step"].to_pylist() == list(range(STEPS))
