"""check-method passes every registered method and names what is wrong with a broken one; new-method starts one."""

import shutil
import textwrap
from pathlib import Path

import pytest

from creditbench.conformance import check_method, new_method
from creditbench.errors import BadInput
from creditbench.method import get_method, method_names

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", method_names(ROOT))
def test_every_registered_method_conforms(name):
    """Shapes, detachment, padding, order, accumulation, edge groups, sign rule, placebos, reduction, training."""
    found = check_method(name, ROOT)
    assert len(found) == 15
    assert [f"{c.name}: {c.detail}" for c in found if not c.ok] == []


def test_core_methods_neighbours_and_controls_are_registered():
    core = {"grpo", "dapo", "opd", "opsd", "cast", "sc_grpo", "oar_p", "oar_g"}
    near = {"dr_grpo", "gspo", "rloo", "reinforce_pp", "cispo", "top_entropy", "rlsd", "rlrt", "grail", "sdpg", "sdpo"}
    names = set(method_names(ROOT))
    assert names >= core | near | {"oracle_credit", "random_mask"}
    # Each is its folder of two files and nothing else: what needs more shows a hole in the contract.
    for name in names:
        assert {p.name for p in (ROOT / "methods" / name).iterdir() if p.is_file()} == {"card.yaml", "method.py"}, name


@pytest.fixture
def tree(tmp_path):
    """A small tree with the template and GRPO, so that broken methods never touch the real one."""
    (tmp_path / "benchmarks").mkdir()
    for name in ("_template", "grpo"):
        shutil.copytree(ROOT / "methods" / name, tmp_path / "methods" / name, ignore=shutil.ignore_patterns("__pyca*"))
    return tmp_path


def test_new_method_passes_and_carries_its_name(tree):
    written = new_method("mine", tree)
    assert [p.name for p in written] == ["card.yaml", "method.py"]
    assert method_names(tree) == ["grpo", "mine"]
    found = check_method("mine", tree)
    assert [f"{c.name}: {c.detail}" for c in found if not c.ok] == []
    assert "new_method" not in "".join(p.read_text() for p in written)
    assert get_method("mine", tree).card.id == "mine-0000.00000"


@pytest.mark.parametrize("name", ["grpo", "_x", "Mine", "a-b", "1st", "base", "new_method", ""])
def test_new_method_refuses_bad_names(tree, name):
    with pytest.raises(BadInput, match="method name"):
        new_method(name, tree)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  matched: {} ", "  other: {} ", "expected either a variant `matched` or `unmatched"),
        ("  matched: {} ", "  matched: {clip_high: 0.28} ", "surrogate: "),
        ("  matched: {} ", "  matched: {std: population} ", "advantage is not GRPO's"),
        ("  matched: {} ", "  matched: {mask_truncated: true} ", "mask_truncated is the suite's to set"),
    ],
)
def test_a_matched_view_that_is_not_one_is_named(tree, old, new, said):
    new_method("mine", tree)
    card = tree / "methods" / "mine" / "card.yaml"
    assert old in card.read_text()
    card.write_text(card.read_text().replace(old, new))
    assert [c.detail for c in check_method("mine", tree) if not c.ok and said in c.detail]


def surprisal(tree: Path, signals: str) -> None:
    """A method that weighs tokens by their surprisal: the policy's own log-probabilities and nothing else."""
    path = new_method("surprisal", tree)[1]
    text = path.read_text().replace("entropy_BT = signals.entropy_BT", "entropy_BT = -signals.logp_old_BT")
    path.write_text(text.replace("(Entropy(),)", signals).replace("import Entropy", "import SampledLogp"))


def test_log_probabilities_that_nobody_asked_for_are_refused_not_zero(tree):
    """With zeros every weight would be one number per response: GRPO scaled, under another name, without a word."""
    surprisal(tree, "()")
    failed = {c.name: c.detail for c in check_method("surprisal", tree) if not c.ok}
    assert "ask for it in build(): signals=(SampledLogp(),)" in failed["slots give the right shapes and types"]


def test_log_probabilities_asked_for_are_the_policy_s(tree):
    surprisal(tree, "(SampledLogp(),)")
    found = check_method("surprisal", tree)
    assert [f"{c.name}: {c.detail}" for c in found if not c.ok] == []


def test_words_left_from_the_template_are_named(tree):
    for name, left in (("mine", "; still the template's: title, paper, summary, implemented"), ("yours", "")):
        card = new_method(name, tree)[0]
        if not left:
            text = card.read_text().replace("title: New method", "title: Mine").replace("Title of the paper", "On mine")
            text = text.replace("One full sentence that says", "This says").replace("- entropy-weighted", "- my")
            card.write_text(text)
        (said,) = (c.detail for c in check_method(name, tree) if c.name == "card is complete")
        assert said.partition("]")[2] == left


BREAKS = {
    "credit and signals are detached": ("entropy_BT = signals.entropy_BT", "entropy_BT = _leak(signals.entropy_BT)"),
    "padding changes nothing": ("masked_mean(entropy_BT, batch.mask_BT)", "entropy_BT.mean(-1)"),
    "row order changes nothing": (
        "return adv_B[:, None] * weight_BT * batch.mask_BT",
        "return adv_B[:, None] * weight_BT * batch.mask_BT * (1 + adv_B.new_tensor(range(len(adv_B))))[:, None]",
    ),
    "slots give the right shapes and types": ("return adv_B[:, None] * weight_BT * batch.mask_BT", "return adv_B"),
    "declared sign rule holds": (".clamp(min=0)", " * (1 - 2 * (entropy_BT > mean_B[:, None]).double())"),
    "declared reduction is bit-equal in float64": ("strength: float):", "strength: float):\n    strength += 1e-3"),
    "outputs are finite in edge groups": (".clamp(min=1e-12)", " - mean_of_short(batch)"),
    "method.py has at most 150 lines": ("def build(s)", "\n" * 150 + "def build(s)"),
    "every variant and default builds": ("strength=s.strength", "strength=s.strength / (1 - s.strength)"),
}
HELPERS = """
    import torch

    def _leak(x):
        return x * torch.ones((), dtype=x.dtype, requires_grad=True)

    def mean_of_short(batch):
        return torch.where(batch.length_B == 1, float("nan"), 0.0)
"""


@pytest.mark.parametrize("check", BREAKS)
def test_each_check_catches_its_fault(tree, check):
    old, new = BREAKS[check]
    name = f"broken_{list(BREAKS).index(check)}"
    path = new_method(name, tree)[1]
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new).replace("from functools import partial", "from functools import partial\n"
                    + textwrap.dedent(HELPERS), 1))  # fmt: skip
    failed = {c.name for c in check_method(name, tree) if not c.ok}
    assert check in failed


CARD_BREAKS = {
    "summary": ("summary: One full sentence that says which tokens get more credit, and why", "summary: Short #"),
    "where": ('where: "assumed: example value", doc', 'where: "", doc'),
    "placebos": ("cost: S1", "cost: S2"),
}


@pytest.mark.parametrize("field", CARD_BREAKS)
def test_an_incomplete_card_is_named(tree, field):
    name = f"card_{field}"
    path = new_method(name, tree)[0]
    old, new = CARD_BREAKS[field]
    text = path.read_text()
    assert text.count(old) == 1
    text = text.replace(old, new)
    if field == "placebos":
        text = text.replace("placebos: [permuted, response-mean]", "placebos: []")
    path.write_text(text)
    first = check_method(name, tree)[0]
    assert not first.ok and field in first.detail


def test_a_number_written_as_text_is_refused(tree):
    """PyYAML reads 1.0e9 as text; the method would fail far from the cause."""
    path = new_method("texty", tree)[0]
    path.write_text(path.read_text().replace("own: {strength: 0.0}", "own: {strength: 1.0e9}"))
    failed = [c for c in check_method("texty", tree) if not c.ok]
    assert len(failed) == 1 and "'1.0e9', expected a number" in failed[0].detail


def test_unknown_method_names_the_nearest():
    with pytest.raises(BadInput, match="sc_grpo"):
        check_method("scgrpo", ROOT)
