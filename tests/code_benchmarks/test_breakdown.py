"""A whole evaluation of our own problems with a scripted model, then its breakdown, ratings and grader matrix."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_kit import ROOT, lcb_row, write_rows

from creditbench import records
from creditbench.benchmark import get_benchmark
from creditbench.data.code.ratings import bucket, fitted_rating, percentile, read_table
from creditbench.errors import BadInput
from creditbench.evaluator import evaluate
from creditbench.evaluator.breakdown import breakdown

ROWS = [
    lcb_row("abc301_a", "2024-08-01T00:00:00", [("1\n", "2\n"), ("3\n", "6\n")]),
    lcb_row("abc355_e", "2025-02-01T00:00:00", [("4\n", "8\n"), ("5\n", "10\n")]),
]
RIGHT = "print(2 * int(input()))"
QUIRK = "import sys\nfor line in sys.stdin:\n    print(2 * int(line))"  # right; the official mock cannot be iterated
FENCED = "```python\n{}\n```"


class Letters:
    """Tokens are characters."""

    def encode_prompt(self, rendered: str, observation: str = "") -> list[int]:
        return [ord(c) for c in rendered + observation]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(i) for i in ids if i)


class Scripted:
    """Says the given programs in order."""

    name, version, batch_rows = "scripted", "1", 64

    def __init__(self, programs: list[str]):
        self.left = list(programs)

    def generate(self, prompts, seeds, params):
        from creditbench.sampling import Generation

        said = [FENCED.format(self.left.pop(0)) for _ in prompts]
        return [Generation((*map(ord, text), 0), (-1.0,) * (len(text) + 1), "stop") for text in said]


def record(tmp_path: Path, benchmark: str, programs: list[str], **options: object) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "tokenizer.json"):
        (model / name).write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    out = tmp_path / "results" / "s" / "evals" / benchmark / "grpo" / "code" / "seed0"
    split = str(options.pop("split", "test"))
    evaluate(
        model, benchmark, split, {"k": 2, "max_new_tokens": 4000}, 0, out, engine=Scripted(programs),
        tokenizer=Letters(), options=options, root=ROOT,
    )  # fmt: skip
    return out


@pytest.fixture
def lcb(tmp_path: Path, root: Path, boxed: None) -> Path:
    write_rows(root / "data/code/rows.jsonl", ROWS)
    return record(tmp_path, "livecodebench", [RIGHT, "print(0)", RIGHT, QUIRK], files=["code/rows.jsonl"])


def test_the_score_without_the_errata(lcb: Path):
    # abc301_a: one of two right; abc355_e, which the card lists as interactive: both.
    rows = {row["group"]: row for row in breakdown(lcb, "errata", root=ROOT)}
    assert list(rows) == ["interactive", "(none)", "all"]
    assert [rows[g]["avg@2"] for g in rows] == [1.0, 0.5, 0.75] and [rows[g]["n_problems"] for g in rows] == [1, 1, 2]
    months = breakdown(lcb, "month", root=ROOT)
    assert [(row["group"], row["pass@2"]) for row in months] == [("2024-08", 1.0), ("2025-02", 1.0), ("all", 1.0)]
    with pytest.raises(BadInput, match="did you mean 'platform'"):
        breakdown(lcb, "platfrom", root=ROOT)
    manifest = records.read_manifest(lcb)
    assert manifest.sandbox in ("bwrap", "landlock") and manifest.eval is not None
    assert (manifest.eval.grader.id, manifest.eval.grader.version) == ("judge-strict", "1")


def test_the_command_prints_groups(lcb: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    from creditbench.cli import main

    monkeypatch.chdir(ROOT)
    assert main(["breakdown", str(lcb), "--by", "errata"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:3] == ["group", "n_problems", "avg@2"] and lines[1][:3] == ["interactive", "1", "1.0000"]
    assert main(["breakdown", str(lcb), "--by", "rating"]) == 2
    assert "unknown field 'rating'" in capsys.readouterr().err


def test_where_strict_and_official_rules_differ(lcb: Path):
    from creditbench.evaluator import grader_matrix

    found, keys = grader_matrix(lcb, ["judge-strict", "judge-lcb_compat"], ROOT)
    pair = next(d for d in found if d.a == "judge-strict@1" and d.b == "judge-lcb_compat@1")
    assert (pair.n, pair.only_a, pair.only_b) == (4, 1, 0)
    assert [keys[i] for i in pair.examples] == [("abc355_e", 1)]
    assert pair.table["correct", "wrong"] == 1 and pair.table["correct", "correct"] == 2


def test_ratings_of_our_own_problems(tmp_path: Path, boxed: None):
    benchmark = get_benchmark("codeforces", ROOT)
    rows = {item.id: item for item in benchmark.load("own", {})}
    chosen = ["900/A", "900/B", "901/D"]  # rated 800, 1000, 1700
    one, two = rows["900/A"].solution, rows["900/B"].solution
    programs = [one, one, two, "print(0)", "print(0)", "print(1)"]
    out = record(tmp_path, "codeforces", programs, split="own", ids=chosen)
    table = tmp_path / "people.csv"
    table.write_text("rating,count\n800,10\n1000,20\n1600,60\n2400,10\n")
    found = breakdown(out, "rating", width=400, ratings=table, root=ROOT)
    assert [(r["group"], r["n_problems"], r["avg@2"]) for r in found] == [
        ("800-1199", 2, 0.75), ("1600-1999", 1, 0.0), ("all", 3, 0.5),
    ]  # fmt: skip
    # by hand: the r at which 1/(1+10^((800-r)/400)) + 1/(1+10^((1000-r)/400)) + 1/(1+10^((1700-r)/400)) is 1.5
    r = found[-1]["fitted_rating"]
    assert sum(1 / (1 + 10 ** ((d - r) / 400)) for d in (800, 1000, 1700)) == pytest.approx(1.5, abs=1e-3)
    assert 1000 < r < 1600 and found[-1]["percentile"] == 30.0


def test_fitted_rating():
    assert fitted_rating([1500], [0.5]) == pytest.approx(1500)
    assert fitted_rating([1500], [10 / 11]) == pytest.approx(1900)  # 400 points are odds of ten to one
    assert fitted_rating([1200, 1800], [0.5, 0.5]) == pytest.approx(1500)  # by symmetry
    assert fitted_rating([1200], [0.0]) is fitted_rating([1200], [1.0]) is fitted_rating([], []) is None


def test_buckets_and_percentiles(tmp_path: Path):
    assert [bucket(r) for r in (800, 1199, 1200, None)] == ["800-1199", "800-1199", "1200-1599", "unrated"]
    assert bucket(1450, 100) == "1400-1499"
    path = tmp_path / "t.csv"
    path.write_text("rating\n1000\n1200\n1200\n2000\n")
    table = read_table(path)
    assert percentile(1200, table) == 50.0 and percentile(999, table) == 0.0 and percentile(3000, table) == 100.0
    bad = {"elo\n1\n": "column rating", "rating\nhigh\n": r"t\.csv:2", "rating,count\n1,0\n": "nobody"}
    for text, message in bad.items():
        path.write_text(text)
        with pytest.raises(BadInput, match=message):
            read_table(path)
