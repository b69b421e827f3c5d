"""The command line: exit codes, one clear line per error, nothing written on bad input, light start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from creditbench import errors
from creditbench.cli import main

COMMANDS = ["list", "doctor", "plan", "base", "train", "evaluate", "grade", "aggregate", "report", "compare"]
COMMANDS += ["replay", "verify", "new-method", "check-method", "breakdown"]


def files(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if "__pycache__" not in p.parts and p.is_file()}


def test_every_command_is_there_and_has_help(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command} " in shown, command
        assert main([command, "--help"]) == 0
        assert "Usage:" in capsys.readouterr().out


def test_no_words_show_the_help(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_help_loads_nothing_heavy():
    code = "import sys; from creditbench.cli import main; main(['--help']); print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {"torch", "transformers", "numpy", "pyarrow", "scipy", "datasets", "trl", "snakemake"}


AT_SERVER = ["evaluate", "toy", "base", "math", "addone", "--server", "http://h/v1", "--served", "m", "--out", "here"]
MISTAKES = [
    (["lst"], "No such command 'lst'. Did you mean 'list'?"),
    (["list", "method"], "unknown kind 'method' (did you mean 'methods'?)"),
    (["list", "--jsn"], "No such option: --jsn"),
    (["plan", "tooy"], "unknown suite 'tooy' (did you mean 'toy'?)"),
    (["plan", "missing.yaml"], "missing.yaml: no such file"),
    (["plan", "toy", "--methods", "alfa"], "unknown method 'alfa' (did you mean 'alpha'?)"),
    (["plan", "toy", "--seeds", "x"], "'x' is not a seed"),
    (["train", "toy", "alfa", "math"], "unknown method 'alfa'"),
    (["train", "toy", "alpha", "maths"], "unknown track 'maths' (did you mean 'math'?)"),
    (["train", "toy", "base", "math"], "evaluated, not trained"),
    (["train", "toy", "beta@wide", "math"], "too dear for a test"),
    (["train", "toy", "alpha", "math", "--seed", "one"], "--seed"),
    (["train", "toy", "alpha", "math", "--seed", "-1"], "--seed"),
    (["base", "toy", "--track", "maths"], "unknown track 'maths'"),
    (["base", "toy", "--key", "abc"], "unknown model key 'abc'"),
    (["evaluate", "toy", "alpha", "math", "addtwo"], "unknown benchmark 'addtwo' (did you mean 'addone'?)"),
    (["evaluate", "toy", "alpha", "math", "addone"], "creditbench train toy alpha math --seed 0"),
    (["evaluate", "toy", "base", "math", "addone"], "creditbench base toy"),
    (["evaluate", "toy", "base", "math", "addone", "--server", "http://h/v1"], "--server: expected --served"),
    ([*AT_SERVER, "--extra", "x"], "--extra: expected a JSON object, got 'x'"),
    ([*AT_SERVER, "--out", "o"], "creditbench base toy"),
    (["aggregate", "toy"], "no evaluations here yet"),
    (["verify", "--data", "toy"], "expected SUITE TRACK"),
    (["verify", "nowhere"], "no record here"),
    (["replay", "nowhere"], "nowhere"),
    (["compare", "nowhere", "there"], "no such file"),
    (["check-method", "alfa"], "unknown method 'alfa' (did you mean 'alpha'?)"),
    (["new-method", "Bad Name"], "'Bad Name'"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_bad_input_is_one_line_exit_2_and_writes_nothing(root: Path, capsys, words: list[str], said: str):
    before = files(root)
    assert main(words) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("creditbench: "), captured.err
    assert said in lines[0]
    assert captured.out == ""
    assert files(root) == before


@pytest.mark.parametrize(("error", "code"), [(errors.CheckFailed, 1), (errors.BadInput, 2), (errors.Refused, 3)])
def test_exit_codes(root: Path, capsys, monkeypatch: pytest.MonkeyPatch, error: type[Exception], code: int):
    def fails(*_: object) -> None:
        raise error("first line\nsecond line")

    monkeypatch.setattr("creditbench.plan.estimate", fails)
    assert main(["plan", "toy"]) == code
    assert capsys.readouterr().err == "creditbench: first line second line\n"


def test_interruption_is_told(root: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("creditbench.plan.estimate", interrupted)
    assert main(["plan", "toy"]) == 130
    assert "goes on" in capsys.readouterr().err


def test_real_process_has_no_traceback(root: Path):
    repo = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "creditbench", "plan", "tooy"],
        capture_output=True, text=True, env={"PYTHONPATH": str(repo), "PATH": "/usr/bin:/bin"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "creditbench: unknown suite 'tooy' (did you mean 'toy'?)\n"


def test_list_as_json(root: Path, capsys):
    assert main(["list", "methods", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["cost"], row["privileged"]) for row in rows] == [
        ("alpha", "S0", "outcome"), ("beta", "S5", "external model"),
    ]  # fmt: skip
    assert rows[0]["variants"] == ["wide"] and rows[0]["placebos"] == ["permuted"]
    assert main(["list", "benchmarks", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "addone"
    assert main(["list", "suites", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["tracks"] == ["math", "more"]


@pytest.mark.parametrize("kind", ["methods", "suites", "benchmarks"])
def test_list_stays_readable_in_a_terminal(root: Path, capsys, kind: str):
    """One method's list of variants is wider than any terminal; names must still stand in one column."""
    assert main(["list", kind, "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert main(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["name", *names]
    if kind == "methods":
        assert "    variants: wide" in lines and "    placebos: permuted" in lines


def test_list_arms_says_where_they_do_not_run(root: Path, capsys):
    assert main(["list", "arms", "--suite", "toy", "--json"]) == 0
    rows = {row["arm"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["beta@wide"]["not_run"] == {"math": "too dear for a test", "more": "no teacher here"}
    assert (rows["base"]["step_cost"], rows["alpha"]["step_cost"]) == (0.0, 1.0)
    assert main(["list", "arms", "--suite", "toy"]) == 0
    assert "beta@wide" in capsys.readouterr().out


def test_verify_data_counts_rows_and_shared_problems(root: Path, capsys):
    assert main(["verify", "--data", "toy", "math", "--out", "found.json"]) == 0
    found = json.loads((root / "found.json").read_text())
    assert [(row["role"], row["n"]) for row in found["splits"]] == [("train", 4), ("dev", 4), ("test", 4)]
    assert found["overlap"] == {"train_test": 0, "dev_test": 0}
    task = root / "benchmarks/addone/task.py"
    task.write_text(task.read_text().replace('"test": 200', '"test": 2'))
    from creditbench import benchmark

    benchmark._get_benchmark.cache_clear()
    assert main(["verify", "--data", "toy", "math", "--json"]) == 0
    # train 0..3 and test 2..5 share the problems 2+1 and 3+1
    assert json.loads(capsys.readouterr().out.split("\n", 4)[-1])["overlap"]["train_test"] == 2
    benchmark._get_benchmark.cache_clear()


@pytest.mark.parametrize(
    ("mode", "reason", "said"),
    [
        ("bwrap", "", ("ok", "bwrap")),
        ("landlock", "bubblewrap not found", ("ok", "landlock: bubblewrap not found")),
        ("refused", "user namespaces are off", ("absent", "refused: user namespaces are off")),
    ],
)
def test_doctor_believes_the_box_and_not_the_program(monkeypatch, mode, reason, said):
    """bwrap is installed here or not; what counts is whether a box holds."""
    from creditbench import doctor, sandbox

    monkeypatch.setattr(sandbox, "available", lambda: sandbox.SandboxStatus(mode, reason))
    for installed in ("/usr/bin/bwrap", None):
        monkeypatch.setattr("shutil.which", lambda name, at=installed: at)
        assert doctor._sandbox() == ("sandbox", *said)


def test_doctor_names_what_is_needed(root: Path, capsys):
    code = main(["doctor", "--json"])
    found = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    assert code == (1 if any(row["state"] == "missing" for row in found.values()) else 0)
    assert found["torch"]["state"] == "ok" and found["python"]["state"] == "ok"
    assert {"cores", "accelerators", "sandbox", "slurm", "slurm accounting", "hub", "local data"} <= set(found)
