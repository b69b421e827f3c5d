"""Suite files: what is accepted, and that every mistake is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from creditbench.errors import BadInput
from creditbench.suite import load_suite, parse_arm, resolve_protocol, suite_names
from tests.suite.toy import SUITE


def test_good_file(root: Path):
    suite = load_suite("toy")
    assert (suite.name, suite.class_, suite.seeds) == ("toy", "tiny", [0, 1])
    assert [ref.label for ref in suite.tracks["more"].eval] == ["addone", "held-back"]
    assert suite_names() == ["toy"]
    assert load_suite("workflows/suites/toy.yaml") == suite


def test_suite_is_frozen(root: Path):
    with pytest.raises(ValueError, match="frozen"):
        load_suite("toy").name = "other"


def test_protocol_overrides_the_card(root: Path):
    ref = load_suite("toy").tracks["math"].eval[0]
    assert (resolve_protocol(ref).k, resolve_protocol(ref).max_new_tokens) == (4, 4)


MISTAKES = [
    ("seeds: [0, 1]", "seeds: [0, one]", ["toy.yaml", "seeds.1", "'one'"]),
    ("seeds: [0, 1]", "seeds: [0, -1]", ["seeds.1", "greater than or equal to 0"]),
    ("seeds: [0, 1]", "seeds: [0, true]", ["seeds.1", "integer"]),
    ("seeds: [0, 1]", "seeds: [1, 1]", ["seeds", "listed twice"]),
    ("overrides:", "overides:", ["unknown key 'overides'", "did you mean 'overrides'"]),
    ("class: tiny", "class: small", ["class", "'small'"]),
    ("name: toy", "name: toi", ["field name", "'toy'"]),
    ("[base, alpha,", "[base, alfa,", ["arms", "unknown method 'alfa'", "did you mean 'alpha'"]),
    ("[base, alpha,", "[base, alpha@wild,", ["unknown variant of alpha 'wild'", "did you mean 'wide'"]),
    ("[base, alpha,", "[base, beta+premuted,", ["unknown placebo of beta", "did you mean 'permuted'"]),
    ("[base, alpha,", "[base+permuted, alpha,", ["base", "no variants"]),
    ("[base, alpha,", "[base, 3,", ["arms.1", "string"]),
    ("{steps: 3,", "{step: 3,", ["settings", "unknown setting 'step'", "did you mean 'steps'"]),
    ("{steps: 3,", "{steps: 0,", ["steps"]),
    ("alpha: {strength: 0.9}", "alpha: {strenght: 0.9}", ["overrides of alpha", "did you mean 'strength'"]),
    ("alpha: {strength: 0.9}", "gamma: {strength: 0.9}", ["overrides", "unknown arm 'gamma'"]),
    ("{steps: 3,", "{strength: 3,", ["settings", "unknown setting 'strength'"]),
    ("benchmark: addone, split: train", "benchmark: adone, split: train", ["tracks.math.train", "'addone'"]),
    ("benchmark: addone, split: train", "benchmark: addone, split: trian", ["split of addone", "'train'"]),
    ("protocol: {k: 4}", "protocol: {kk: 4}", ["tracks.math.eval.addone.protocol", "unknown key 'kk'"]),
    ("protocol: {k: 4}", "protocol: {k: 0}", ["field k"]),
    ("base: {random: {hidden: 16}}", "base: {random: {}, path: x}", ["exactly one of recipe, hub, path, random"]),
    ("base: {random: {hidden: 16}}", "base: {hub: a/b}", ["hub and revision go together"]),
    ("base: {random: {hidden: 16}}", "base: {recipe: addone}", ["recipe 'addone'", "no `base`"]),
    ("{beta@wide: too dear for a test}", "{}", ["'beta@wide'", "external model", "no `teacher`"]),
    ("{beta@wide: too dear for a test}", "{beta: x}", ["skip_arms", "unknown arm 'beta'"]),
    ("name: held-back", "protocol: {}", ["'addone' appears twice"]),
    ("split: dev}", "split: test}", ["dev", "test problems"]),
]


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES, ids=[f"{i}-{m[1][:24]}" for i, m in enumerate(MISTAKES)])
def test_mistakes_are_named(root: Path, old: str, new: str, said: list[str]):
    text = SUITE.replace(old, new, 1)
    assert text != SUITE
    (root / "workflows/suites/toy.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        load_suite("toy")
    message = str(caught.value)
    assert "\n" not in message
    for part in said:
        assert part in message, message


def test_unknown_suite_names_the_nearest(root: Path):
    with pytest.raises(BadInput, match=r"unknown suite 'toi' \(did you mean 'toy'\?\)"):
        load_suite("toi")


def test_missing_and_broken_files(root: Path):
    with pytest.raises(BadInput, match=r"nowhere\.yaml: no such file"):
        load_suite("nowhere.yaml")
    (root / "broken.yaml").write_text("name: [")
    with pytest.raises(BadInput, match=r"broken\.yaml: not valid YAML"):
        load_suite("broken.yaml")
    (root / "list.yaml").write_text("- a")
    with pytest.raises(BadInput, match="expected a mapping"):
        load_suite("list.yaml")


@pytest.mark.parametrize("name", ["Alpha", "alpha@", "alpha+", "alpha++permuted", "../alpha", "alpha wide", ""])
def test_arm_names_of_wrong_form(root: Path, name: str):
    with pytest.raises(BadInput):
        parse_arm(name)


def test_arm_parts(root: Path):
    assert parse_arm("alpha@wide+permuted")[1:] == ("alpha", "wide", "permuted")
    assert parse_arm("base")[1:] == ("base", "", "")


def test_an_unknown_key_is_told_before_the_field_that_it_left_missing(root: Path):
    from creditbench.benchmark import EvalProtocol, validated

    with pytest.raises(BadInput, match=r"unknown key 'max_new_token' \(did you mean 'max_new_tokens'\?\)"):
        validated(EvalProtocol, {"k": 0, "max_new_token": 5}, "protocol")
    with pytest.raises(BadInput, match="field max_new_tokens: Field required"):
        validated(EvalProtocol, {}, "protocol")
