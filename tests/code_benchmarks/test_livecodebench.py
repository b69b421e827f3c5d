"""LiveCodeBench: files and releases by pins, windows, ids, errata, halves, grading under both rules."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
import shutil
import zlib
from pathlib import Path

import pytest
import yaml
from code_kit import ROOT, lcb_row, said, write_rows

from creditbench.benchmark import BenchmarkCard, Window, get_benchmark
from creditbench.data.code import files, halves, store
from creditbench.errors import BadInput, CheckFailed
from creditbench.evaluator.plan import grader_of
from creditbench.evaluator.plan import load_items as evaluated
from creditbench.items import Completion
from creditbench.judge import Test

LCB = get_benchmark("livecodebench", ROOT)
FILES = {"files": ["code/rows.jsonl"]}
DOUBLE = [("1\n", "2\n"), ("2\n", "4\n"), ("5\r\n", "10\r\n"), ("7\n", "14\n"), ("2\n", "4\n")]
ROWS = [
    lcb_row("abc301_a", "2024-08-01T00:00:00", DOUBLE),
    lcb_row("abc355_e", "2025-02-01T00:00:00", DOUBLE),
    lcb_row("2730", "2025-02-01T18:30:00", [("[1]", "2"), ("[2]", "3")], "f", "Find the Peaks"),
    lcb_row("arc9", "2025-02-02T00:00:00", [("1\n", "1\n")] * 2),
]


@pytest.fixture
def rows(root: Path) -> Path:
    return write_rows(root / "data" / "code" / "rows.jsonl", ROWS)


def ids(**options: object) -> list[str]:
    return [item.id for item in LCB.load("test", {**FILES, **options})]


# -- rows ----------------------------------------------------------------------------------------------------------


def test_rows_become_items_whose_tests_lie_apart(rows: Path, root: Path):
    first, _, call, _ = LCB.load("test", FILES)
    assert first.problem == "Problem abc301_a" and first.meta["n_tests"] == 5 and first.meta["n_public"] == 1
    assert call.meta["func_name"] == "f" and call.meta["starter"].startswith("class Solution")
    tests = store.get_tests(first.meta["tests"])
    assert tests[2] == Test("5\n", "10\n")  # carriage returns are gone
    text = json.dumps([[t.input, t.output, t.kind] for t in tests], separators=(",", ":"))
    assert first.meta["tests"] == hashlib.sha256(text.encode()).hexdigest()


def test_conversion_happens_once(rows: Path, monkeypatch: pytest.MonkeyPatch):
    before = [item.digest for item in LCB.load("test", FILES)]

    def refuse(*args: object) -> None:
        raise AssertionError("a payload was decoded again")

    monkeypatch.setattr("creditbench.data.code.store.read_problem", refuse)
    assert [item.digest for item in LCB.load("test", FILES)] == before
    rows.write_text(rows.read_text() + json.dumps(lcb_row("new", "2025-01-01", DOUBLE)) + "\n")
    with pytest.raises(AssertionError, match="decoded again"):
        LCB.load("test", FILES)


def test_a_large_file_is_digested_once(rows: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "LARGE", 10)
    sha = hashlib.sha256(rows.read_bytes()).hexdigest()
    assert store.file_sha(rows) == sha
    monkeypatch.setattr(store, "digest_file", lambda path: "read again")
    assert store.file_sha(rows) == sha
    rows.write_text(rows.read_text() + "\n")
    assert store.file_sha(rows) == "read again"


def test_damaged_tests_are_found_and_missing_ones_made_again(rows: Path):
    sha = LCB.load("test", FILES)[0].meta["tests"]
    path = store.tests_path(sha)
    good = path.read_bytes()
    path.write_bytes(store.gzip.compress(b'[["1","3","stdin"]]'))
    store._tests.cache_clear()
    with pytest.raises(CheckFailed, match="differs from its digest"):
        store.get_tests(sha)
    path.write_bytes(good[:-9])
    with pytest.raises(CheckFailed, match="damaged"):
        store.get_tests(sha)
    path.unlink()
    with pytest.raises(BadInput, match="load the benchmark again"):
        store.get_tests(sha)
    LCB.load("test", FILES)
    assert store.get_tests(sha)[0] == Test("1\n", "2\n")


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/creditbench-lcb-pwned",)


@pytest.mark.parametrize(("payload", "message"), [
    (base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode(), "refused"),
    (base64.b64encode(zlib.compress(pickle.dumps("[]"))).decode(), "the list is empty"),
    ("not base64 !!", "neither JSON nor base64"),
])  # fmt: skip
def test_a_payload_that_is_unsafe_or_empty_names_its_row(root: Path, payload: str, message: str):
    write_rows(root / "data/code/rows.jsonl", [ROWS[0], {**ROWS[1], "private_test_cases": payload}])
    with pytest.raises(BadInput, match=f"row 2: private tests: .*{message}"):
        LCB.load("test", FILES)
    assert not os.path.exists("/tmp/creditbench-lcb-pwned")


def test_copies_are_one_problem_and_contradictions_are_refused(root: Path):
    path = write_rows(root / "data/code/rows.jsonl", [*ROWS, ROWS[0]])
    assert len(ids()) == 4
    write_rows(path, [*ROWS, lcb_row("arc9", "2025-02-02", [("1\n", "2\n")] * 2)])
    with pytest.raises(CheckFailed, match="'arc9' comes twice"):
        ids()


# -- files, releases, pins -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("release", "numbers"), [
    ("release_v1", [1]), ("release_v3", [1, 2, 3]), ("release_v6", [1, 2, 3, 4, 5, 6]), ("v1", [1]), ("v6", [6]),
    ("v4_v6", [4, 5, 6]), ("v2_v3", [2, 3]),
])  # fmt: skip
def test_releases(release: str, numbers: list[int]):
    names = [f"code/livecodebench/test{n if n > 1 else ''}.jsonl" for n in numbers]
    assert files.release_files(LCB.card, release) == names


@pytest.mark.parametrize("release", ["v7", "v0", "release_v4_v5", "v5_v4", "6", "latest"])
def test_unknown_releases(release: str):
    with pytest.raises(BadInput, match="unknown release"):
        files.release_files(LCB.card, release)


def own_copy(root: Path, pins: dict[str, dict]) -> object:
    """The benchmark with two small files of ours in the place of the pinned ones."""
    folder = root / "own" / "benchmarks" / "livecodebench"
    shutil.copytree(LCB.folder, folder)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    card["data"]["files"] = pins
    card["data"]["releases"] = {"default": "release_v2", "problems": {"release_v2": 4, "release_v1": 2}}
    card["splits"] = {"test": {}}
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    BenchmarkCard.model_validate(card)
    return get_benchmark("livecodebench", root / "own")


def test_pins_and_sizes_of_a_release(root: Path):
    paths = [write_rows(root / "data/code" / f"{n}.jsonl", part) for n, part in enumerate((ROWS[:2], ROWS[2:]))]
    shas = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    pins = {
        "code/0.jsonl": {"bytes": paths[0].stat().st_size, "sha256": shas[0]},
        "code/1.jsonl": {"sha256": f"{shas[1][:8]}…{shas[1][-7:]}"},
    }
    own = own_copy(root, pins)
    assert [i.id for i in own.load("test", {})] == [row["question_id"] for row in ROWS]
    assert len(own.load("test", {"release": "v2"})) == 2
    write_rows(paths[1], [*ROWS[2:], lcb_row("more", "2025-03-01", DOUBLE)])
    with pytest.raises(CheckFailed, match="SHA-256"):
        own.load("test", {})
    write_rows(paths[0], ROWS)
    with pytest.raises(CheckFailed, match="bytes, the card says"):
        own.load("test", {})


def test_a_release_with_too_few_problems_is_refused(root: Path):
    write_rows(root / "data/code/0.jsonl", ROWS[:1])
    with pytest.raises(CheckFailed, match="1 problems in release_v1, the card says 2"):
        own_copy(root, {"code/0.jsonl": {}}).load("test", {"release": "release_v1"})


def test_what_is_missing_is_named(root: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(BadInput, match=r"put code/livecodebench/test\.jsonl into"):
        LCB.load("test", {})
    with pytest.raises(BadInput, match=r"put code/rows\.jsonl into"):
        LCB.load("test", FILES)
    with pytest.raises(BadInput, match="did you mean 'release'"):
        LCB.load("test", {"relase": "v6"})
    monkeypatch.delenv("CREDITBENCH_DATA")
    with pytest.raises(BadInput, match="CREDITBENCH_DATA is not set"):
        LCB.load("test", FILES)


def test_the_hub_is_asked_for_the_pinned_commit(root: Path, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def download(hub: str, file: str, **more: object) -> str:
        asked.append((hub, file, more["revision"]))
        raise OSError("no network here")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(BadInput, match=r"test6\.jsonl of livecodebench/code_generation_lite@0fe84c39 could not be"):
        LCB.load("test", {"release": "v6", "source": "hub"})
    assert asked == [
        ("livecodebench/code_generation_lite", "test6.jsonl", "0fe84c3912ea0c4d4a78037083943e8f0c4dd505")
    ]


# -- windows, ids, errata ------------------------------------------------------------------------------------------


def test_windows_state_their_ends(rows: Path, root: Path):
    window = {"start": "2024-08-01", "end": "2025-02-01"}
    assert ids(**window) == ["abc301_a", "abc355_e", "2730"]  # both days whole
    assert ids(**window, ends="midnight") == ["abc301_a", "abc355_e"]  # the contest at 18:30 drops out, as officially
    assert ids(start="2024-08-02") == ["abc355_e", "2730", "arc9"]
    stored = [json.loads(p.read_text()) for p in (root / "results/data/lists").glob("*.json")]
    said = {tuple(sorted(entry["ids"])): entry["ends"] for entry in stored if entry["n"] < 4 and "start" in str(entry)}
    assert said[("2730", "abc301_a", "abc355_e")] == "both days whole"
    assert said[("abc301_a", "abc355_e")].startswith("the end is 00:00")
    rules = LCB.card.protocol.model_copy(update={"window": Window(start="2024-08-01", end="2025-02-01")})
    assert [i.id for i in evaluated(LCB, "test", rules, FILES)] == ["abc301_a", "abc355_e", "2730"]
    with pytest.raises(BadInput, match="expected an ISO date"):
        ids(start="August")
    with pytest.raises(BadInput, match="no problems are left"):
        ids(start="2030-01-01")


def test_the_list_of_ids_is_hashed_and_checked(rows: Path):
    # the canonical JSON of the sorted list, by hand
    sha = hashlib.sha256(b'["2730","abc301_a","abc355_e","arc9"]').hexdigest()
    assert len(ids(ids_sha256=sha)) == 4
    with pytest.raises(CheckFailed, match="its 3 ids hash to"):
        ids(ids_sha256=sha, start="2024-08-02")


def test_errata_are_marked_and_can_be_left_out(rows: Path):
    marked = {item.id: item.meta.get("errata") for item in LCB.load("test", FILES)}
    # by the judge's id, and by the slug of the title
    assert marked == {
        "abc301_a": None, "abc355_e": "interactive", "2730": "several answers are right", "arc9": None,
    }  # fmt: skip
    assert ids(errata="exclude") == ["abc301_a", "arc9"]
    with pytest.raises(BadInput, match="unknown errata 'drop'"):
        ids(errata="drop")
    assert sum(map(len, LCB.card.data["errata"].values())) == 17


# -- halves --------------------------------------------------------------------------------------------------------


def test_halves_share_no_test_and_leave_single_tests_out(rows: Path):
    train, held = (LCB.load(split, FILES) for split in ("train_half", "eval_half"))
    assert [i.id for i in train] == [i.id for i in held] == ["abc301_a", "abc355_e", "2730"]
    for a, b in zip(train, held, strict=True):
        assert a.meta["tests"] == b.meta["tests"] and not set(a.meta["test_ids"]) & set(b.meta["test_ids"])
        both = store.get_tests(a.meta["tests"])
        distinct = {(t.input, t.output) for t in both}
        seen = [(both[i].input, both[i].output) for i in (*a.meta["test_ids"], *b.meta["test_ids"])]
        assert len(seen) == len(set(seen)) == len(distinct)
        assert len(a.meta["test_ids"]) == len(distinct) // 2
        assert a.meta["role"] == "train" and "role" not in b.meta
        assert "not generalisation" in b.meta["claim"] and a.digest != b.digest


def test_halves_depend_on_the_seed_and_are_stored(rows: Path, root: Path):
    tests = range(12)
    choices = {tuple(halves.split_tests(tests, "p", seed)[0]) for seed in range(20)}
    assert len(choices) > 10 and halves.split_tests(tests, "p", 3) == halves.split_tests(tests, "p", 3)
    assert halves.split_tests(tests, "p", 0) != halves.split_tests(tests, "q", 0)
    LCB.load("train_half", FILES)
    path = root / "results/data/halves/livecodebench.seed0.json"
    stored = json.loads(path.read_text())
    entry = stored["problems"]["abc301_a"]
    assert sorted(entry["train"] + entry["eval"]) == [0, 1, 2, 3]  # the fifth test is the second again
    entry["train"], entry["eval"] = entry["eval"], entry["train"]
    path.write_text(json.dumps(stored))
    with pytest.raises(CheckFailed, match="split otherwise now"):
        LCB.load("eval_half", FILES)
    assert LCB.load("eval_half", {**FILES, "half_seed": 1})[0].meta["half_seed"] == 1


# -- grading -------------------------------------------------------------------------------------------------------

GOOD, CALL = "print(2 * int(input()))", "class Solution:\n    def f(self, a): return a[0] + 1"


def test_outcomes(rows: Path, boxed: None):
    double, _, call, _ = LCB.load("test", FILES)
    cases = [
        (double, said(GOOD), "correct", "AC"),
        (call, said(CALL), "correct", "AC"),
        (double, said("print(2)"), "wrong", "WA"),
        (double, said("1/0"), "wrong", "RE"),
        (double, said("print("), "wrong", "CE"),
        (double, Completion("I do not know", 4, "stop"), "unparsed", "NO_CODE"),
        (double, Completion("I was thinking", 4, "length"), "truncated", "NO_CODE"),
        (double, said("print(3)", "length"), "truncated", "WA"),
        (double, said(GOOD, "length"), "correct", "AC"),
    ]
    graded = LCB.grade([c[0] for c in cases], [c[1] for c in cases], LCB.card.protocol)
    assert [(g.outcome, g.verdict) for g in graded] == [c[2:] for c in cases]
    assert graded[2].detail["first_failure"] == 1 and graded[0].detail["tests_run"] == 5


def test_both_extractions_are_recorded_and_the_official_one_decides(rows: Path, boxed: None):
    item = LCB.load("test", FILES)[0]
    explained = Completion(f"```python\n{GOOD}\n```\nIt prints:\n```\n4\n```", 9, "stop")
    graded, same = LCB.grade([item, item], [explained, said(GOOD)], LCB.card.protocol)
    assert (graded.outcome, graded.verdict, graded.detail["lenient"]) == ("wrong", "WA", "AC")
    assert graded.extracted == "4" and same.detail["lenient"] == "AC"


def test_a_half_is_judged_on_its_own_tests(rows: Path, boxed: None):
    train = LCB.load("train_half", FILES)[0]
    held = LCB.load("eval_half", FILES)[0]
    tests = store.get_tests(train.meta["tests"])
    known = {int(tests[i].input): int(tests[i].output) for i in train.meta["test_ids"]}
    memorised = said(f"print({known}.get(int(input()), 0))")
    a, b = (LCB.grade([item], [memorised], LCB.card.protocol)[0] for item in (train, held))
    assert a.reward == 1.0 and b.reward == 0.0 and "lenient" not in a.detail


def test_the_official_rules_are_a_grader_of_their_own(rows: Path, boxed: None):
    item = LCB.load("test", FILES)[0]
    loops = said("import sys\nfor line in sys.stdin: print(2 * int(line))")  # the official mock cannot be iterated
    rules = LCB.card.protocol.model_copy(update={"grader": "judge-lcb_compat"})
    assert LCB.grade([item], [loops], LCB.card.protocol)[0].verdict == "AC"
    assert LCB.grade([item], [loops], rules)[0].verdict == "RE"
    assert grader_of(LCB, rules).id == "judge-lcb_compat"
    wrong = rules.model_copy(update={"grader": "judge-strikt"})
    for ask in (lambda: grader_of(LCB, wrong), lambda: LCB.grade([item], [loops], wrong)):
        with pytest.raises(BadInput, match="did you mean 'judge-strict'"):
            ask()


def test_prompts(rows: Path):
    stdin, _, call, _ = LCB.load("test", FILES)
    plain = LCB.prompt(stdin, LCB.card.protocol)
    assert isinstance(plain, str) and plain.startswith("Problem abc301_a\n") and "standard input" in plain
    assert "def f(self, a)" in LCB.prompt(call, LCB.card.protocol) and "standard input" not in LCB.prompt(
        call, LCB.card.protocol
    )
    chat = LCB.prompt(stdin, LCB.card.protocol.model_copy(update={"prompt": "chat", "system": "Be brief."}))
    assert [m["role"] for m in chat] == ["system", "user"]
    with pytest.raises(BadInput, match="unknown prompt"):
        LCB.prompt(stdin, LCB.card.protocol.model_copy(update={"prompt": "boxed"}))


@pytest.mark.parametrize(("text", "answer"), [
    ("a\n```python\nx = 1\nprint(x)\n```\nb", "x = 1\nprint(x)"), ("```\nA\n```\n```\nB\n```", "B"), ("none", None),
    ("```\n```", None), ("```python\nA", None),
])  # fmt: skip
def test_answer_span_is_the_program(text: str, answer: str | None):
    span = LCB.answer_span(text)
    assert (text[span[1] : span[2]] if span else None) == answer
    assert span is None or text[span[0] :].startswith("```")


# -- real rows -----------------------------------------------------------------------------------------------------


def test_real_rows_with_known_verdicts(local: Path, boxed: None):
    options = {"files": ["code/lcb_rows_pickled.jsonl"]}
    known = {r["task"]: r for r in json.loads((local / "code/lcb_rows_decoded_with_verdicts.json").read_text())}
    items = LCB.load("test", options)
    assert [i.id for i in items] == list(known)
    for item in items:
        plain = known[item.id]["tests"]
        assert [t.input for t in store.get_tests(item.meta["tests"])] == plain["inputs"]
        assert item.meta.get("func_name") == plain["fn_name"] and "### " not in item.problem
    for grader in LCB.module.graders:
        rules = LCB.card.protocol.model_copy(update={"grader": grader})
        for key, outcome in (("accepted", "correct"), ("rejected", "wrong")):
            done = [Completion(known[item.id][f"{key}_completion"], 1, "stop") for item in items]
            assert [g.outcome for g in LCB.grade(items, done, rules)] == [outcome] * 3
