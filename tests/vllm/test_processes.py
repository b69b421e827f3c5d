"""A server ends with whoever started it, however that ends, and nobody else can reach it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from creditbench.errors import CheckFailed
from tests.vllm.conftest import LONGEST
from tests.vllm.processes import gone, listening, loopback, marked

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
ROOT = Path(__file__).resolve().parents[2]
OWNER = f"""
import sys, time
from pathlib import Path
from creditbench.sampling.vllm_server import VLLMServer
server = VLLMServer(Path(sys.argv[1]), max_model_len={LONGEST}, batch_rows=8, dtype="float32", start_seconds=800)
print(server._place, flush=True)
time.sleep(600)
"""


@pytest.fixture
def mark(monkeypatch, needs_server):
    """A text in the environment of all that a test starts; whatever a failing test leaves is ended."""
    name = f"CREDITBENCH_MARK_{uuid.uuid4().hex}"
    monkeypatch.setenv(name, "1")
    yield name
    for pid in marked(name):
        os.kill(pid, signal.SIGKILL)


def test_a_server_that_does_not_come_up_in_time_leaves_nothing(mark, saved_policy):
    from creditbench.sampling.vllm_server import VLLMServer

    with pytest.raises(CheckFailed, match="the server did not start within 1 seconds"):
        VLLMServer(saved_policy, max_model_len=LONGEST, start_seconds=1.0)
    assert marked(mark) == set()


def test_an_interrupted_start_leaves_nothing(mark, saved_policy, monkeypatch):
    """A test's time limit, or Ctrl-C, strikes while the server is coming up."""
    from creditbench.sampling.vllm_server import VLLMServer

    def interrupt(self, seconds):
        assert marked(mark)
        raise KeyboardInterrupt

    monkeypatch.setattr(VLLMServer, "_await_start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        VLLMServer(saved_policy, max_model_len=LONGEST)
    assert marked(mark) == set()


def test_it_listens_on_nothing_but_loopback_and_ends_with_a_killed_owner(mark, saved_policy):
    """kill -9 of the owner, which can clean up nothing: the server and its engine follow."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(saved_policy)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        said = owner.stdout.readline().strip()
        assert said, "the server did not come up"
        place = Path(said)
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert stat.S_ISSOCK((place / "http").stat().st_mode)
        pids = marked(mark)
        assert len(pids) >= 3, "the owner, the server, its engine"
        assert all(map(loopback, listening(pids)))
        owner.send_signal(signal.SIGKILL)
        owner.wait(10)
        assert gone(mark, 60)
    finally:
        owner.kill()
        owner.wait()


def test_the_reader_of_listening_sockets_sees_them():
    import socket

    with socket.socket() as here, socket.socket() as everywhere:
        here.bind(("127.0.0.1", 0))
        here.listen()
        assert listening({os.getpid()}) >= {"127.0.0.1"}
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        time.sleep(0.01)
        seen = listening({os.getpid()})
        assert "0.0.0.0" in seen and not loopback("0.0.0.0") and loopback("127.0.0.1")
        assert loopback("::ffff:127.0.0.1") and not loopback("::")
