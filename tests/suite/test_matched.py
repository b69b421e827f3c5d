"""The matched view: every method declares one or says why not; in it only credit may differ from GRPO."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from creditbench.cli.inspect import _methods
from creditbench.errors import BadInput
from creditbench.method import get_method, method_names
from creditbench.suite import load_suite, parse_arm, resolve, suite_names

ROOT = Path(__file__).resolve().parents[2]
MATCHED = [name for name in method_names(ROOT) if "matched" in get_method(name, ROOT).card.variants]


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_every_method_has_a_matched_view_or_says_why_not():
    rows = {row["name"]: row["matched"] for row in _methods()}
    # Weighted and sign-changing methods have one; sampling, baseline and distillation methods have no credit to match.
    assert {n for n, text in rows.items() if text == f"{n}@matched"} == {
        "grpo", "cast", "sc_grpo", "oar_p", "oar_g", "rlsd", "rlrt", "grail", "top_entropy", "oracle_credit",
        "random_mask",
    }  # fmt: skip
    others = {n: text for n, text in rows.items() if text != f"{n}@matched"}
    assert {"dapo", "opd", "opsd", "sdpo", "sdpg"} <= set(others)
    assert all(text.startswith("none: ") and len(text.split()) > 5 for text in others.values())


@pytest.mark.parametrize("name", MATCHED)
@pytest.mark.parametrize("suite_class", ["tiny", "real"])
def test_matched_arms_resolve_to_grpos_loss_and_settings(name: str, suite_class: str, tmp_path: Path):
    """GRPO: every group, z-score, token ratio with 0.2 on both sides, mean per response, no penalty."""
    track = {
        "base": {"recipe": "tiny_math"}, "train": {"benchmark": "tiny_math", "split": "train"},
        "eval": [{"benchmark": "tiny_math", "split": "test"}], "settings": {"steps": 3, "mask_truncated": False},
    }  # fmt: skip
    arms = list(dict.fromkeys(["base", "grpo", f"{name}@matched"]))
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump({
        "name": "demo", "class": suite_class, "description": "d", "seeds": [0], "arms": arms, "tracks": {"math": track},
    }))  # fmt: skip
    suite = load_suite(path)
    ours, grpo = (resolve(suite, arm, "math", 0).settings for arm in (f"{name}@matched", "grpo"))
    assert ours.model_dump(exclude={"method"}) == grpo.model_dump(exclude={"method"})
    method = get_method(name).method(ours.method)
    surrogate = method.surrogate
    assert (surrogate.level, surrogate.low, surrogate.high, surrogate.kind) == ("token", 0.2, 0.2, "clip")
    assert (surrogate.kl, surrogate.dual, method.aggregate, method.refill) == ("none", None, "sequence-mean", 0)
    assert method.distill is None


def test_as_published_cast_masks_truncated_rows_and_matched_does_not_of_itself(tmp_path: Path):
    suite = yaml.safe_load((ROOT / "workflows/suites/tiny.yaml").read_text())
    suite["name"], suite["arms"] = "demo", ["base", "grpo", "cast", "cast@matched"]
    suite["tracks"] = {"math": suite["tracks"]["math"]}
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump(suite))
    loaded = load_suite(path)
    assert resolve(loaded, "cast", "math", 0).settings.mask_truncated is True
    assert resolve(loaded, "cast@matched", "math", 0).settings.mask_truncated is False
    suite["settings"]["mask_truncated"] = True
    path.write_text(yaml.safe_dump({**suite, "name": "demo"}))
    other = tmp_path / "masked.yaml"
    other.write_text(yaml.safe_dump({**suite, "name": "masked"}))
    assert resolve(load_suite(other), "cast@matched", "math", 0).settings.mask_truncated is True
    # A suite that gives its GRPO another loss must give it to the matched arms too.
    unequal = tmp_path / "unequal.yaml"
    unequal.write_text(yaml.safe_dump({**suite, "name": "unequal", "overrides": {"grpo": {"clip_high": 0.28}}}))
    with pytest.raises(BadInput, match="'cast@matched': surrogate differs from that of 'grpo'"):
        load_suite(unequal)


def test_a_method_without_one_refuses_with_its_reason():
    with pytest.raises(BadInput, match="opsd has no matched view: distillation only"):
        parse_arm("opsd@matched")


def test_every_shipped_suite_still_loads():
    for name in suite_names():
        load_suite(name)
