"""The page as a file: its numbers against the records, its safety, its size, its bytes."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import shutil
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from creditbench.report.html import build_html
from creditbench.report.html.build import HERE
from creditbench.report.html.evidence import clipped
from creditbench.report.html.views import rounded
from creditbench.report.tables import write_tables
from tests.html.conftest import TOY_ARMS
from tests.html.synthetic import HOSTILE, make_root, make_suite

OUTCOMES = ["correct", "wrong", "truncated", "unparsed", "error"]


class Reader(HTMLParser):
    """Collects tags, and the content and attributes of script elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[tuple[dict, str]] = []
        self._open: dict | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._open = dict(attrs) if tag == "script" else None
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data):
        if self._open is not None:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)

    def handle_endtag(self, tag):
        self._open = None


@pytest.fixture(scope="module")
def text(page) -> str:
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reader(text) -> Reader:
    return Reader(text)


def core_of(reader: Reader) -> dict:
    return next(json.loads(body) for attrs, body in reader.scripts if attrs.get("id") == "core")


def blob_of(reader: Reader, name: str) -> bytes:
    packed = next(body for attrs, body in reader.scripts if attrs.get("data-blob") == name)
    return zlib.decompress(base64.b64decode(packed))


def samples(suite: Path, arm: str, seed: int, track: str = "math"):
    bench = {"math": "toy_math", "agent": "toy_shop"}[track]
    return pq.read_table(suite / f"evals/{bench}/{arm}/{track}/seed{seed}/samples.parquet").to_pandas()


def test_scores_in_the_page_are_the_share_of_correct_samples(reader, suite):
    group = core_of(reader)["groups"]["math/toy_math"]
    for arm in TOY_ARMS:
        for i, seed in enumerate((0, 1, 2)):
            share = float((samples(suite, arm, seed)["outcome"] == "correct").mean())
            assert group["scores"]["avg@4"][arm][i] == pytest.approx(share, abs=1e-5)
        counts = sum(
            (samples(suite, arm, s)["outcome"] == "correct").to_numpy().reshape(20, 4).sum(1) for s in range(3)
        )
        assert group["solved"][arm] == counts.tolist()
        assert group["of"][arm] == 12


def test_ranks_and_differences_are_those_of_the_csv_tables(reader, suite, tables, tmp_path):
    write_tables(tables, tmp_path)
    group = core_of(reader)["groups"]["math/toy_math"]
    with (tmp_path / "tables" / "leaderboard.csv").open(newline="") as file:
        for row in (r for r in csv.DictReader(file) if r["track"] == "math"):
            shown = next(r for r in group["ranks"]["avg@4"]["superpopulation"] if r["arm"] == row["method"])
            assert shown["rank"] == [int(row["rank_low"]), int(row["rank_high"])]
            wanted = [float(row[name]) for name in ("score", "ci_low", "ci_high")]
            assert [shown[name] for name in ("score", "lo", "hi")] == pytest.approx(wanted, abs=1e-7)
    with (tmp_path / "tables" / "pairwise.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["track"], r["metric"], r["family"]) == ("math", "avg@4", "grpo")]
    for estimand in ("fixed_set", "superpopulation"):
        shown = {r[0]: r[2] for r in group["pairs"]["avg@4"]["grpo"][estimand]}
        wanted = {r["method_a"]: float(r["difference"]) for r in rows if r["estimand"] == estimand}
        assert shown == pytest.approx(wanted, abs=1e-7)
        assert len(wanted) == len(TOY_ARMS) - 2


def test_the_page_rounds_once():
    """30.749757 points: rounded to five digits first, the page said 30.8 where table and CSV said 30.7."""
    (value,) = rounded([0.30749757])
    assert f"{100 * value:.1f}" == "30.7"


def test_every_outcome_and_length_is_in_the_page(reader, suite):
    raw = blob_of(reader, "matrix:math/toy_math")
    cells = len(TOY_ARMS) * 3 * 80
    codes, lengths = np.frombuffer(raw[:cells], np.uint8), np.frombuffer(raw[cells:], "<u2")
    assert len(lengths) == cells
    at = 0
    for arm in sorted(TOY_ARMS):
        for seed in (0, 1, 2):
            table = samples(suite, arm, seed)
            assert [OUTCOMES[c] for c in codes[at : at + 80]] == table["outcome"].tolist()
            assert lengths[at : at + 80].tolist() == table["n_tokens"].tolist()
            at += 80


def test_texts_prompts_and_turns_are_those_of_the_records(reader, suite):
    texts = json.loads(blob_of(reader, "texts:math/toy_math"))
    table = samples(suite, "opd", 2)
    found = texts["samples"]["opd/2"]
    assert found["row"] == list(range(80)) and found["text"] == table["completion"].tolist()
    assert found["extracted"] == [None if x is None or x != x else x for x in table["extracted"]]
    assert found["reward"] == table["reward"].tolist()
    assert texts["prompts"][9] == {"turns": [["", "Add 9 and 9. <b>Be brief</b>"]], "answer": "18"}
    agent = json.loads(blob_of(reader, "texts:agent/toy_shop"))
    assert agent["prompts"][0]["turns"][0] == ["system", "You shop."]
    turns = agent["samples"]["grpo/0"]["turns"][5]
    assert [t[0] for t in turns] == ["model", "env", "model"] and turns[2][3] == 1


def test_hostile_texts_stay_data(reader, text):
    executable = [attrs for attrs, _ in reader.scripts if not attrs.get("type")]
    assert len(executable) == 3  # d3, plot, ours
    assert not any(tag in ("img", "iframe", "object", "embed", "link", "base") for tag, _ in reader.tags)
    assert not any(name.startswith("on") for _, attrs in reader.tags for name in attrs)
    assert "window.__pwned" not in text  # texts are packed; what is plain JSON holds no completion
    assert "<b>grpo</b>" not in text  # from verdicts.csv
    assert core_of(reader)["verdicts"][1]["method"] == "<b>grpo</b>"
    texts = json.loads(blob_of(reader, "texts:math/toy_math"))
    assert texts["samples"]["base/0"]["text"][0] == HOSTILE


def test_only_the_hashed_scripts_may_run_and_nothing_is_fetched(reader):
    policy = next(a["content"] for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';") and "unsafe-eval" not in policy
    allowed = re.findall(r"'sha256-([^']+)'", policy.split("script-src")[1].split(";")[0])
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    bodies = [body for attrs, body in reader.scripts if not attrs.get("type")]
    assert allowed == [base64.b64encode(hashlib.sha256(b.encode()).digest()).decode() for b in bodies]
    assert not [a for _, a in reader.tags if "src" in a or a.get("href", "#").startswith(("http", "//"))]


def test_our_scripts_never_parse_text_as_markup_or_code():
    ours = "\n".join(p.read_text() for p in sorted((HERE / "js").glob("*.js")))
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc"):
        assert word not in ours


def test_vendored_libraries_are_the_published_files():
    """SHA-256 of `dist/` in the npm packages d3 7.9.2 and @observablehq/plot 0.6.17."""
    published = {
        "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
        "plot.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
    }
    for name, digest in published.items():
        assert hashlib.sha256((HERE / "vendor" / name).read_bytes()).hexdigest() == digest


def test_equal_records_give_equal_bytes_wherever_they_lie(page, suite, root, tmp_path):
    copy = tmp_path / suite.parent.name / suite.name
    shutil.copytree(suite, copy)
    again = build_html(copy, tmp_path / "again.html", root=root)
    assert again.read_bytes() == page.read_bytes()


def test_the_page_gives_up_texts_before_it_grows_too_large(suite, tables, root, tmp_path):
    whole = build_html(suite, tmp_path / "whole.html", tables=tables, root=root)
    packed = [
        b for a, b in Reader(whole.read_text(encoding="utf-8")).scripts if a.get("data-blob", "").startswith("texts")
    ]
    limit = whole.stat().st_size - sum(map(len, packed)) // 2
    small = build_html(suite, tmp_path / "small.html", tables=tables, root=root, max_bytes=limit)
    assert small.stat().st_size <= limit
    reader = Reader(small.read_text(encoding="utf-8"))
    group = core_of(reader)["groups"]["math/toy_math"]
    assert "every sample of" in group["rule"] and "one in" in group["rule"]
    texts = json.loads(blob_of(reader, "texts:math/toy_math"))["samples"]
    stride = int(re.search(r"one in (\d+)", group["rule"])[1])
    first, later = set(texts["cast/0"]["row"]), set(texts["cast/1"]["row"])
    full = {p * 4 + s for p in range(0, 20, stride) for s in range(4)}
    assert later == full and first == full | {p * 4 for p in range(20)}
    assert len(blob_of(reader, "matrix:math/toy_math")) == 3 * len(TOY_ARMS) * 3 * 80


def test_long_texts_keep_both_ends():
    cut = clipped("a" * 5000 + "b" * 5000)
    assert cut.startswith("a" * 4000) and cut.endswith("b" * 2000) and "4000 characters left out" in cut
    assert clipped("x" * 6000) == "x" * 6000


def test_a_benchmark_that_changed_gives_no_prompts_but_a_reason(suite, tables, tmp_path):
    other = make_root(tmp_path / "other")
    task = other / "benchmarks" / "toy_math" / "task.py"
    task.write_text(task.read_text().replace("Add {i}", "Sum {i}"))
    page = build_html(suite, tmp_path / "p.html", tables=tables, root=other)
    texts = json.loads(blob_of(Reader(page.read_text(encoding="utf-8")), "texts:math/toy_math"))
    assert texts["prompts"] == [] and "no longer those" in texts["why"]
    assert texts["samples"]["base/0"]["text"][0] == HOSTILE


def test_two_seeds_and_no_runs_still_make_a_page(tmp_path, root):
    folder = make_suite(tmp_path / "r", root, arms=("base", "grpo"), seeds=(0, 1), n_problems=6, k=2, tracks=("math",))
    shutil.rmtree(folder / "runs")
    reader = Reader(build_html(folder, tmp_path / "p.html", root=root).read_text(encoding="utf-8"))
    row = core_of(reader)["groups"]["math/toy_math"]["ranks"]["avg@2"]["superpopulation"][0]
    assert row["rank"] == [1, 2] and row["lo"] is None
    empty = tmp_path / "r" / "nothing"
    empty.mkdir()
    assert core_of(Reader(build_html(empty, tmp_path / "e.html", root=root).read_text()))["tracks"] == []


def _theme(css: str, selector: str) -> dict[str, str]:
    block = css.split(selector, 1)[1].split("}", 1)[0]
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]+);", block))


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """WCAG 2.2 contrast ratio of two hex colours."""
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("selector", [":root {", '[data-theme="dark"] {', ':root:not([data-theme="light"]) {'])
def test_colours_have_enough_contrast(selector):
    """WCAG 2.2: 4.5 for text (1.4.3), 3 for lines, points and outcome marks (1.4.11)."""
    assert contrast("#000", "#fff") == pytest.approx(21)
    theme = _theme((HERE / "css" / "base.css").read_text(), selector)
    for ground in ("card", "bg", "soft"):
        for ink in ("ink", "muted", "accent", "up", "down"):
            assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)
    marks = [name for name in theme if re.fullmatch(r"c\d|o-\w+|base|flat", name)]
    assert len(marks) == 16
    for mark in marks:
        assert contrast(theme[mark], theme["card"]) >= 3, mark
    assert contrast(theme["card"], theme["ink"]) >= 4.5 and contrast(theme["card"], theme["good"]) >= 4.5
