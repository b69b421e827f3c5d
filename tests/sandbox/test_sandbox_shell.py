"""The shell box: forks allowed, whole tree watched and ended, workspace kept between commands."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from box_needs import need

from creditbench.errors import Refused
from creditbench.sandbox import ShellBox, ShellLimits, launch, status
from creditbench.sandbox.shell import _children

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def shell():
    need("bwrap")
    with ShellBox(limits=ShellLimits(cpu_s=1, wall_s=3, memory_mb=200, processes=24, output_bytes=1 << 18)) as box:
        yield box


def test_commands_and_workspace(shell: ShellBox) -> None:
    run = shell.run("echo a > note; printf 'x%s' 1 2 | tr x y; cat; exit 3", stdin=b" in")
    assert (run.stdout, run.exit_code, run.reason) == (b"y1y2 in", 3, "exit")
    assert shell.run("cat note; ls /tmp").stdout == b"a\nnote\n"
    assert shell.run(["/usr/bin/env", "true"]).exit_code == 0
    assert shell.run(["/no/such/tool"]).exit_code == 127
    assert b"55" in shell.run("seq 10 | sort -r | awk '{s+=$1} END {print s}'").stdout


@pytest.mark.parametrize(("command", "reason"), [
    ("while :; do :; done", "cpu"),
    ("sleep 60", "wall"),
    ("for i in 1 2 3 4; do (while :; do :; done) & done; wait", "cpu"),
    ("yes", "output"),
    ("awk 'BEGIN { while (1) s = s \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" }'", "memory"),
    # Each tail holds its 60 MB until its input ends, after the time that the box gives.
    ("for i in 1 2 3 4; do (head -c 60000000 /dev/zero; sleep 9) | tail -c 59999999 >&2 & done; wait", "memory"),
])
def test_limits(shell: ShellBox, command: str, reason: str) -> None:
    begin = time.monotonic()
    run = shell.run(command)
    assert run.reason in ((reason, "cpu", "wall") if reason == "memory" else (reason,)), run
    assert time.monotonic() - begin < 50
    assert len(run.stdout) <= (1 << 18) + 65536
    assert _children(shell.box._server_pid()) == []


@pytest.mark.parametrize("command", [
    ":(){ :|:& };:", "(setsid sleep 100 &) ; true", "nohup sleep 100 >/dev/null 2>&1 &",
    "trap '' TERM INT HUP; sleep 100 & true", "kill -9 -1", "kill -9 1; kill -STOP 1; kill -9 $PPID",
])
def test_no_process_survives_its_command(shell: ShellBox, command: str) -> None:
    shell.run(command)
    assert _children(shell.box._server_pid()) == []
    assert shell.run("echo still here").stdout == b"still here\n"


def test_outside_is_out_of_reach(shell: ShellBox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("GOLD")
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/") and folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o005)
    for command in (f"cat {secret}", f"ln -s {secret} l; cat l", "cat /etc/passwd /proc/1/environ", "ls -a /home /proc",
                    "unshare -Ur id", "mount -t tmpfs none /tmp", "su -c id", "cat /dev/sda",
                    "exec 3<>/dev/tcp/127.0.0.1/22 && echo OPEN"):
        run = shell.run(command)
        assert b"GOLD" not in run.stdout and b"root:" not in run.stdout and b"OPEN" not in run.stdout
        assert b"uid=0" not in run.stdout
    for command in (f"echo x > {tmp_path}/new", "echo x > /usr/bin/evil", "touch /new /dev/new", "mknod d b 8 0"):
        assert shell.run(command).exit_code != 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["secret"]
    assert shell.run("head -c 100000000 /dev/zero > big; wc -c < big; rm -f big").stdout.strip() != b"100000000"


def test_needs_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "bwrap_path", lambda: None)
    monkeypatch.setattr(status, "_chosen", {})
    with pytest.raises(Refused, match="bubblewrap"):
        ShellBox()
