"""From a suite to single jobs: precedence of settings, and what enters a digest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from creditbench.errors import BadInput
from creditbench.suite import load_suite, models_of, read_spec, resolve, resolve_eval, resolve_protocol
from tests.suite.toy import METHOD, SUITE, TASK


def fresh() -> None:
    """Forget what was read from files that a test then changes."""
    from creditbench import benchmark, method
    from creditbench.suite import load

    for cache in (benchmark._get_benchmark, method._get_method, load._load):
        cache.cache_clear()


def digest(arm: str = "alpha", track: str = "math", seed: int = 0) -> str:
    fresh()
    return resolve(load_suite("toy"), arm, track, seed).config_digest


def test_precedence(root: Path):
    suite = load_suite("toy")
    alpha = resolve(suite, "alpha", "math", 0).settings
    # lr: suite .001 < card .004; steps: suite 3 < track 5; temperature: track; group_size: suite.
    assert (alpha.lr, alpha.steps, alpha.temperature, alpha.group_size) == (0.004, 5, 0.9, 2)
    # strength: paper .5 < card .6 < override .9; shape: the paper's.
    assert alpha.method == {"strength": 0.9, "shape": "round"}
    text = SUITE.replace("{beta@wide: too dear for a test}", "{}").replace("privileged", "privileged")
    text = text.replace(
        "    base: {random: {hidden: 16}}\n    train",
        "    base: {random: {hidden: 16}}\n    teacher: {random: {hidden: 32}}\n    train",
        1,
    )
    (root / "workflows/suites/toy.yaml").write_text(text)
    fresh()
    beta = resolve(load_suite("toy"), "beta@wide", "math", 0)
    # lr: card .004 < variant .005 < override .006; strength: card .6 < variant .7.
    assert (beta.settings.lr, beta.settings.method["strength"]) == (0.006, 0.7)
    assert beta.teacher is not None and beta.teacher.role == "teacher"


def test_tiny_defaults_do_not_reach_real_suites(root: Path):
    path = root / "workflows/suites/toy.yaml"
    path.write_text(SUITE.replace("class: tiny", "class: real"))
    assert resolve(load_suite("toy"), "alpha", "math", 0).settings.lr == 0.001


def test_placebo_and_variant_are_kept(root: Path):
    spec = resolve(load_suite("toy"), "alpha+permuted", "math", 1)
    assert (spec.method, spec.variant, spec.placebo, spec.seed) == ("alpha", "", "permuted", 1)
    assert spec.teacher is None


def test_refused(root: Path):
    suite = load_suite("toy")
    with pytest.raises(BadInput, match="evaluated, not trained"):
        resolve(suite, "base", "math", 0)
    with pytest.raises(BadInput, match="too dear for a test"):
        resolve(suite, "beta@wide", "math", 0)
    with pytest.raises(BadInput, match=r"unknown track 'maths' \(did you mean 'math'\?\)"):
        resolve(suite, "alpha", "maths", 0)
    with pytest.raises(BadInput, match=r"unknown benchmark 'addtwo' \(did you mean 'addone'\?\)"):
        resolve_eval(suite, "alpha", "math", 0, "addtwo")


def test_digest_changes_with_what_decides_the_result(root: Path):
    before = digest()
    assert digest(seed=1) != before
    assert digest(arm="alpha+permuted") != before
    assert digest(track="more") != before
    suite = root / "workflows/suites/toy.yaml"
    for old, new in (("steps: 5", "steps: 6"), ("strength: 0.9", "strength: 0.8"), ("hidden: 16", "hidden: 8"),
                     ("split: train}", "split: train, options: {n: 3}}"),
                     ("split: train}", "split: train, protocol: {thinking: true}}")):  # fmt: skip
        suite.write_text(SUITE.replace(old, new))
        assert digest() != before, new
    suite.write_text(SUITE)
    for path, text, new in (
        ("methods/alpha/method.py", METHOD, METHOD.replace("Method()", "Method(refill=2)")),
        ("benchmarks/addone/task.py", TASK, TASK.replace("+1", "+ 1")),
    ):
        (root / path).write_text(new)
        assert digest() != before, path
        (root / path).write_text(text)
    assert digest() == before


def test_a_suite_shapes_the_training_prompt_and_nothing_else_of_the_protocol(root: Path):
    suite = root / "workflows/suites/toy.yaml"
    suite.write_text(SUITE.replace("split: train}", "split: train, protocol: {prompt: chat, system: S}}"))
    fresh()
    spec = resolve(load_suite("toy"), "alpha", "math", 0)
    protocol = resolve_protocol(spec.train)
    assert (protocol.prompt, protocol.system, protocol.thinking, protocol.max_new_tokens) == ("chat", "S", False, 4)
    # What a card says of the prompt is part of a run's identity as well.
    card = root / "benchmarks/addone/card.yaml"
    before, text = digest(), card.read_text()
    card.write_text(text.replace("max_new_tokens: 4", "max_new_tokens: 4, thinking: true"))
    assert digest() != before
    card.write_text(text)
    suite.write_text(SUITE.replace("split: train}", "split: train, protocol: {temperature: 0.5}}"))
    fresh()
    with pytest.raises(BadInput, match=r"tracks\.\w+\.train\.protocol: unknown setting 'temperature'"):
        load_suite("toy")


def test_digest_ignores_what_does_not(root: Path):
    before = digest()
    suite = root / "workflows/suites/toy.yaml"
    for old, new in (("description: for tests", "description: other"), ("steps: 3,", "steps: 3, checkpoint_every: 7,"),
                     ("[base, alpha,", "[alpha, base,"), ("seeds: [0, 1]", "seeds: [0, 1, 2]")):  # fmt: skip
        suite.write_text(SUITE.replace(old, new))
        assert digest() == before, new
    suite.write_text(SUITE)
    (root / "methods/alpha/method.py").write_text(METHOD.replace("def build", "# a remark\ndef build") + "\n\n")
    assert digest() == before
    (root / "methods/beta/method.py").write_text(METHOD + "\nX = 1\n")
    assert digest() == before


def test_teacher_is_part_of_the_digest_only_where_it_teaches(root: Path):
    text = SUITE.replace("{beta@wide: too dear for a test}", "{}").replace(
        "    base: {random: {hidden: 16}}\n    train",
        "    base: {random: {hidden: 16}}\n    teacher: {random: {hidden: 32}}\n    train", 1,
    )  # fmt: skip
    path = root / "workflows/suites/toy.yaml"
    path.write_text(text)
    alpha, beta = digest(), digest("beta@wide")
    path.write_text(text.replace("{hidden: 32}", "{hidden: 64}"))
    assert digest() == alpha
    assert digest("beta@wide") != beta


def test_evaluation_digest(root: Path):
    def of(arm: str = "alpha", label: str = "addone", track: str = "math", seed: int = 0) -> str:
        fresh()
        return resolve_eval(load_suite("toy"), arm, track, seed, label).config_digest

    before, run = of(), digest()
    path = root / "workflows/suites/toy.yaml"
    path.write_text(SUITE.replace("protocol: {k: 4}", "protocol: {k: 8}"))
    assert of() != before
    assert digest() == run, "a changed protocol must not train again"
    path.write_text(SUITE.replace("steps: 5", "steps: 6"))
    assert of() != before, "another run is another evaluation"
    assert of("base") == (path.write_text(SUITE), of("base"))[1], "the base does not depend on training settings"
    assert of(seed=1) != before


def test_models_are_shared_between_tracks_of_one_base(root: Path):
    suite = load_suite("toy")
    assert models_of(suite, "math")[0].key == models_of(suite, "more")[0].key


def test_spec_survives_json(root: Path, tmp_path: Path):
    spec = resolve(load_suite("toy"), "alpha", "math", 0)
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec.model_dump(mode="json")))
    assert read_spec(path) == spec
    path.write_text(path.read_text().replace('"seed": 0', '"sed": 0'))
    with pytest.raises(BadInput, match=r"spec\.json"):
        read_spec(path)
    with pytest.raises(BadInput, match="no such file"):
        read_spec(tmp_path / "nothing.json")
