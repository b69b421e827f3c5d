# ruff: noqa: E501  (tables: one case a line)
"""Extraction and comparison, as tables of cases decided by hand."""

from __future__ import annotations

import json

import pytest

from creditbench.judge import compare, extract_lenient, extract_official

F = "```"


@pytest.mark.parametrize(("response", "official", "lenient"), [
    (f"{F}python\nA\n{F}", "A", "A"),
    (f"text\n{F}\nA\nB\n{F}\nmore", "A\nB", "A\nB"),
    ("no fence", "", ""),
    (f"{F}python\nA", "", "A"),
    (f"{F}python\nA\n{F}\nthen\n{F}python\nB\n{F}", "B", "B"),
    (f"{F}python\nA\n{F}\nwhy:\n{F}\nexplained\n{F}", "explained", "A"),
    (f"{F}python\nA\n{F}\n{F}", "", "A"),
    (f"{F}python\nA\n{F}\noutput:\n{F}text\n3\n{F}", "3", "A"),
    (f"<think>{F}python\nX\n{F}</think>\n{F}python\nA\n{F}", "A", "A"),
    (f"{F}cpp\nint x;\n{F}", "int x;", ""),
    (f"{F}python\n{F}", "", ""),
    (f"a {F}inline{F} b\nA\n{F}", "A", ""),
    ("", "", ""),
])
def test_extraction(response: str, official: str, lenient: str) -> None:
    assert extract_official(response) == official
    assert extract_lenient(response) == lenient


@pytest.mark.parametrize(("out", "expected", "same"), [
    ("1", "1", True), ("1\n", "1", True), (" 1 ", "1", True), ("1\r\n2", "1\n2", True), ("01", "1", True),
    ("1.50", "1.5", True), ("1e2", "100", True), ("-0", "0", True), ("1 2", "1  2", True), ("a b", "a  b", False),
    ("1 2", "12", False), ("1\n2", "1 2", False), ("yes", "YES", False), ("nan", "nan", True), ("NaN", "nan", False),
    ("sNaN", "1", False), ("inf", "Infinity", True), ("", "", True), ("", "0", False), ("1e999999999", "1", False),
    ("50000000000000001", "50000000000000000", False), ("0.1", "0.10000000000000001", False), ("１", "1", True),
    ("1_0", "10", True), ("\x00", "1", False), ("x" * 100000, "x", False),
])
def test_same_text(out: str, expected: str, same: bool) -> None:
    assert compare.same_text(out, expected) is same


@pytest.mark.parametrize(("tree", "expected", "strict", "compat"), [
    (1, 1, True, True), (1, 1.0, True, True), (True, 1, False, True), (1, True, False, True), (None, None, True, True),
    (0, False, False, True), (["l", 1, 2], [1, 2], True, True), (["t", 1, 2], [1, 2], True, True),
    (["l", ["t", 1]], [[1]], True, False), (["l", 1], [1, 2], False, False), ("a", "a", True, True), ("1", 1, False, False),
    (["d", ["a", 1]], {"a": 1}, True, True), (["d", [1, 2]], {"1": 2}, True, False), (["o", "E"], 1, False, False),
    (["i", hex(10**30)], 10**30, True, True), (["q", "0x6", "0x2"], 3, True, True), (["q", "0x1", "0x3"], 0.3333, False, False),
    (["i", "zz"], 1, False, False), ([], [], False, False), (["x"], 1, False, False), ({"a": 1}, {"a": 1}, False, False),
    (["l"], [], True, True), (["t"], [], True, True), (["q", "0x1", "0x0"], 1, False, False), (["d", 3], {}, False, False),
    (float("nan"), float("nan"), False, False), (["d", [["l"], 1]], {}, False, False),
])
def test_same_value(tree, expected, strict: bool, compat: bool) -> None:
    assert compare.same_value({"v": tree}, expected, "strict") is strict
    assert compare.same_value({"v": tree}, expected, "lcb_compat") is compat


def test_nothing_raises_on_depth() -> None:
    deep = json.loads("[" * 900 + "]" * 900)
    assert not compare.same_value({"v": deep}, [], "strict")
    assert compare.parse_frame(b'{"v": ' + b"[" * 300000) == {"err": "malformed result"}
    assert compare.parse_frame(b"3") == {"err": "malformed result"}
    assert not compare.same_value({}, 1, "strict")


@pytest.mark.parametrize(("out", "expected", "same"), [
    ("1 2", "1\n2\n", True), ("yes\nNo", "YES\nNO", True), ("3.0", "3", True), ("a  b", "a b", True), ("a B", "a b", False),
    ("1", "1 2", False), ("", "", True), ("0.30000001", "0.3", False), ("yess", "YES", False),
])
def test_same_tokens(out: str, expected: str, same: bool) -> None:
    assert compare.same_tokens(out, expected) is same
