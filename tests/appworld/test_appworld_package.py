"""AppWorld's real package in its own environment and box (marker agents); its tasks are not here."""

from __future__ import annotations

import dataclasses
import os
import socket
from pathlib import Path

import pytest

from creditbench.benchmark import get_benchmark, repo_root
from creditbench.envs import EnvironmentLost, Pool, Served, open_pool
from creditbench.envs.box import box_words
from creditbench.evaluator.episodes import scenario_completion
from creditbench.items import Item

pytestmark = pytest.mark.agents
PROBE = """
import os, socket
def attempt(work):
    try:
        return str(work())
    except Exception as error:
        return type(error).__name__
def facts():
    return {
        "packages": {}, "secret": attempt(lambda: open(SECRET).read()), "home": attempt(lambda: os.listdir("/root")),
        "net": attempt(lambda: socket.create_connection(("127.0.0.1", PORT), timeout=2)),
        "write": attempt(lambda: open(HERE + "/new", "w")), "tmp": attempt(lambda: open("/tmp/x", "w").write("abc")),
        "pids": len([p for p in os.listdir("/proc") if p.isdigit()]), "env": sorted(os.environ),
    }
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """AppWorld's folder with nothing but an empty folder of tasks: enough for the handshake."""
    base, before = tmp_path_factory.mktemp("data"), os.environ.get("CREDITBENCH_DATA")
    (base / "appworld" / "data" / "tasks").mkdir(parents=True)
    os.environ["CREDITBENCH_DATA"] = str(base)
    yield base
    os.environ.pop("CREDITBENCH_DATA")
    if before is not None:
        os.environ["CREDITBENCH_DATA"] = before


@pytest.fixture(scope="module")
def pool(data):
    spec = open_pool("appworld").spec
    pool = Pool(dataclasses.replace(spec, **get_benchmark("appworld", repo_root()).module.world_changes()))
    yield pool
    pool.close()


def test_handshake(pool):
    facts = pool.facts()
    assert facts["packages"] == {"appworld": "0.1.3.post1"} and facts["sessions"] == 1
    assert facts["unpacked"] and facts["data"]


def test_a_task_that_is_not_there_is_an_error_of_ours(pool):
    with pytest.raises(EnvironmentLost, match=r"appworld: .*\(again, after: "):
        Served(pool).reset(Item("x_1", "x_1", meta={"task": "x_1", "scenario": "x"}), 0)


def test_scores_agree_with_the_package(pool):
    """One sample of 4 scenarios x 3 tasks; the package rounds per cent to one decimal."""
    marks = [(f"{s}_{n}", bool((i * 7 + n) % 5)) for i, s in enumerate(("a1", "b2", "c3", "d4")) for n in (1, 2, 3)]
    theirs = pool.call("official_scores", successes=dict(marks))
    scenarios = [name.rpartition("_")[0] for name, _ in marks]
    ours = scenario_completion(scenarios, [0] * 12, [ok for _, ok in marks])
    assert theirs["scenario_goal_completion"] == round(100 * ours, 1)
    assert theirs["task_goal_completion"] == round(100 * sum(ok for _, ok in marks) / 12, 1)
    assert 0 < ours < 1


def test_the_box(data, tmp_path):
    """No file of the host but libraries, no network, nothing written outside memory."""
    shown, hidden = tmp_path / "shown", tmp_path / "hidden"
    shown.mkdir()
    hidden.mkdir()
    (hidden / "secret").write_text("planted")
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = f"SECRET, PORT, HERE = {str(hidden / 'secret')!r}, {server.getsockname()[1]}, {str(shown)!r}\n"
        (shown / "world.py").write_text(head + PROBE)
        base = open_pool("appworld").spec
        words = box_words("appworld", readable=[shown])
        pool = Pool(dataclasses.replace(base, name="probe", world=shown / "world.py", wrap=words))
        facts = pool.facts()
        pool.close()
    assert facts["secret"] == "FileNotFoundError" and "planted" not in str(facts)
    assert facts["net"] in ("ConnectionRefusedError", "OSError") and facts["write"] == "OSError" and facts["tmp"] == "3"
    assert facts["pids"] <= 4 and not Path(shown / "new").exists()
    assert not any("CREDITBENCH" in name for name in facts["env"])
