"""Worlds in processes of their own: the contract, and every way in which one can fail."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from creditbench.envs import EnvironmentLost, Pool, Served, serve
from creditbench.errors import BadInput
from creditbench.items import Item
from creditbench.sampling import EnvStart, SamplingParams, rollout
from creditbench.sampling.types import Generation

MISDEEDS = {
    "kill": "killed by signal 9",
    "exit": "exit status 7",
    "hang": "no answer within 1.5 s",
    "raise": "RuntimeError: the cellar is flooded",
    "megabyte": "more than 4096 bytes",
    "bytes": "not UTF-8",
    "number": "without an observation",
}


def test_contract(pool, item):
    env = Served(pool)
    assert env.reset(item, 5) == "at 5" and env.admissible == ("add 1", "add 2")
    step = env.step("add 3")
    assert (step.observation, step.reward, step.done, step.valid) == ("at 8", 0.0, False, True)
    assert env.admissible == ("add 8",) and step.info == {"won": False, "steps": 1}
    assert not env.step("jump").valid
    last = env.step("add 995")
    assert last.done and last.reward == 1.0 and last.info["won"]
    after = env.step("add 1")
    assert after.done and not after.valid and after.reward == 0.0
    assert env.reset(item, 7) == "at 7" and env.step("add 1").observation == "at 8"
    assert pool.call("double", x=21) == 42
    with pytest.raises(BadInput, match="toy: triple: KeyError"):
        pool.call("triple", x=1)


def test_step_cap(spec, item):
    pool = Pool(dataclasses.replace(spec, step_cap=3))
    env = Served(pool)
    env.reset(item, 0)
    assert [env.step("add 0").done for _ in range(3)] == [False, False, True]
    pool.close()


@pytest.mark.parametrize("how", [h for h in MISDEEDS if h not in ("number",)])
def test_one_failure_is_replayed_in_a_fresh_process(pool, item, how):
    """Two other episodes live in the same process and do not notice, nor does it use up their own retry."""
    others = [Served(pool), Served(pool)]
    for n, other in enumerate(others):
        other.reset(item, 10 + n)
        other.step("add 1")
    env = Served(pool)
    env.reset(item, 5)
    env.step("add 2")
    clock = time.monotonic()
    step = env.step(f"once {how}")
    assert time.monotonic() - clock < 12
    assert step.observation == "at 7" and step.info["restarts"] == 1 and MISDEEDS[how] in step.info["restart_reason"]
    assert env.step("add 1").observation == "at 8"
    for n, other in enumerate(others):
        later = other.step("add 5")
        assert later.observation == f"at {16 + n}" and "restarts" not in later.info
    assert len({h.generation for h in pool._hosts}) == 1 and pool._hosts[0].generation == 2


@pytest.mark.parametrize("how", MISDEEDS)
def test_a_second_failure_ends_the_episode_and_no_other(pool, item, how):
    env, other = Served(pool), Served(pool)
    env.reset(item, 5)
    other.reset(item, 6)
    clock = time.monotonic()
    with pytest.raises(EnvironmentLost, match=rf"{MISDEEDS[how]}.*\(again, after: .*{MISDEEDS[how]}"):
        env.step(f"always {how}")
    assert time.monotonic() - clock < 15
    assert other.step("add 1").observation == "at 7"


def test_a_replay_that_differs_is_an_error(pool, item):
    env = Served(pool)
    env.reset(item, 5)
    env.step("drift")
    with pytest.raises(EnvironmentLost, match="the replay differs after action 0"):
        env.step("once kill")


def test_the_hash_seed_is_fixed(spec, tmp_path):
    """Worlds may walk over sets: the same process again must walk the same way."""
    told = tmp_path / "world.py"
    told.write_text("def facts():\n    return {'packages': {}, 'order': ''.join({str(i) for i in range(40)})}\n")
    orders = []
    for environ in ({}, {}, {"PYTHONHASHSEED": "7"}):
        pool = Pool(dataclasses.replace(spec, world=told, environ=environ))
        orders.append(pool.facts()["order"])
        pool.close()
    assert orders[0] == orders[1] != orders[2]


def test_killed_from_outside(pool, item):
    env = Served(pool)
    env.reset(item, 5)
    assert env.step("add 1").observation == "at 6"
    os.kill(pool.facts()["pid"], signal.SIGKILL)
    step = env.step("add 1")
    assert step.observation == "at 7" and step.info["restarts"] == 1


def test_a_world_that_cannot_start_says_why(spec, tmp_path):
    broken = tmp_path / "world.py"
    broken.write_text("import no_such_package_here\n")
    with pytest.raises(BadInput, match="toy: ModuleNotFoundError: No module named 'no_such_package_here'"):
        Pool(dataclasses.replace(spec, world=broken)).facts()
    with pytest.raises(BadInput, match="cannot start"):
        Pool(dataclasses.replace(spec, python=str(tmp_path / "python"))).facts()


def test_episodes_are_closed_and_processes_shared(spec, item):
    pool = Pool(dataclasses.replace(spec, processes=2))
    envs = [Served(pool) for _ in range(6)]
    assert [env.reset(item, n) for n, env in enumerate(envs)] == [f"at {n}" for n in range(6)]
    assert sorted(h.seats for h in pool._hosts) == [3, 3]
    del envs[:]
    assert [h.seats for h in pool._hosts] == [0, 0]
    pool.close()


class Script:
    """An engine that says the same words in every episode; its tokens are characters."""

    name, version, batch_rows = "script", "1", 64

    def __init__(self, scripts):
        self.scripts = scripts

    def session(self, rows, params, capacity=0):
        turn = iter(range(100))

        class Session:
            def extend(_, blocks, seeds):
                n = next(turn)
                said = [None if b is None else self.scripts[i][n] for i, b in enumerate(blocks)]
                return [None if s is None else Generation(tuple(map(ord, s)), (0.0,) * len(s), "stop") for s in said]

        return Session()


class Characters:
    def encode_prompt(self, rendered, observation=""):
        return [ord(c) for c in rendered + observation]

    def encode_observation(self, text, ended=True):
        return [ord(c) for c in text]

    def decode(self, ids):
        return "".join(map(chr, ids))


def test_the_rollout_goes_on_past_broken_worlds(pool, tmp_path):
    """Each kind of failure in one batch: those episodes are errors with their reason, the rest is as without them."""
    hows = list(MISDEEDS)
    scripts = [["add 1", f"always {how}", "add 1"] for how in hows] + [["add 2", "add 3", "add 4"]] * 2
    starts = []
    for n in range(len(scripts)):
        (tmp_path / str(n)).mkdir()
        starts.append(EnvStart(Served(pool), Item(f"i{n}", "", meta={"folder": str(tmp_path / str(n))}), n))
    episodes = rollout(
        Script(scripts), ["go "] * len(scripts), range(len(scripts)), SamplingParams(20), starts,
        tokenizer=Characters(), max_turns=3, step_timeout=0.5,
    )  # fmt: skip
    for how, episode in zip(hows, episodes, strict=False):
        assert episode.completion.finish_reason == "error" and MISDEEDS[how] in episode.completion.info["error"]
        assert len([t for t in episode.completion.turns if t.role == "model"]) == 2
    for n, episode in enumerate(episodes[len(hows) :], start=len(hows)):
        assert episode.completion.finish_reason == "steps"
        seen = [t.text for t in episode.completion.turns if t.role == "env"]
        assert seen == [f"at {n}", f"at {n + 2}", f"at {n + 5}"]


def served(spec, stop):
    place, listening = [], threading.Event()

    def say(text):
        place.append(text)
        listening.set()

    threading.Thread(target=serve, args=(spec, 0, say, stop), daemon=True).start()
    assert listening.wait(10)
    return place[0]


def test_loopback_server(spec, item):
    stop = threading.Event()
    address = served(spec, stop)
    assert address.startswith("127.0.0.1:")
    pool = Pool(dataclasses.replace(spec, address=address))
    env = Served(pool)
    env.reset(item, 5)
    assert env.step("add 1").observation == "at 6"
    assert env.step("once hang").info["restart_reason"] == "no answer within 1.5 s"
    pid = pool.facts()["pid"]
    pool.close()
    until = time.monotonic() + 5
    while time.monotonic() < until and os.path.exists(f"/proc/{pid}"):
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}"), "the worker outlives its client"
    with pytest.raises(BadInput, match="the process is gone"):
        Pool(dataclasses.replace(spec, address=address[:-1] + "x")).facts()
    with pytest.raises(BadInput, match=r"127\.0\.0\.1:PORT/TOKEN"):
        Pool(dataclasses.replace(spec, address="192.0.2.1:80/x")).facts()
    stop.set()


def test_no_orphan_when_the_owner_is_killed(spec, tmp_path):
    """A hung worker dies with the process that started it, even by SIGKILL."""
    code = (
        "import sys, threading, pathlib\n"
        "from creditbench.envs import Pool, Served, WorldSpec\nfrom creditbench.items import Item\n"
        f"pool = Pool(WorldSpec('toy', pathlib.Path({str(spec.world)!r}), sys.executable, step_s=60))\n"
        "print(pool.facts()['pid'], flush=True)\n"
        f"env = Served(pool); env.reset(Item('i', '', meta={{'folder': {str(tmp_path)!r}}}), 0)\n"
        "env.step('always hang')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        pid = int(owner.stdout.readline())
        time.sleep(0.3)
        owner.kill()
    until = time.monotonic() + 5
    while time.monotonic() < until and os.path.exists(f"/proc/{pid}"):
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{pid}")
