"""The paper suites and `standard`: they load without data, every arm resolves, the numbers are the papers'.

Expected values are read off the papers' set-ups (tables of hyper-parameters), not off the suite files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from creditbench.data import source
from creditbench.plan import estimate, lines
from creditbench.suite import BASE, Suite, load_suite, make_request, resolve, resolve_protocol

ROOT = Path(__file__).resolve().parents[2]
REPORTED = {
    "dapo-table1": "dapo-2503.14476:table1",
    "opsd-table2": "opsd-2601.18734:table2",
    "opsd-table3": "opsd-2601.18734:table3",
    "opsd-table4": "opsd-2601.18734:table4",
    "cast-table3": "cast-2606.00172:table3",
    "cast-table7": "cast-2606.00172:table7",
    "scgrpo-table1": "sc-grpo-2606.18810:table1",
    "scgrpo-table2": "sc-grpo-2606.18810:table2",
    "scgrpo-table3": "sc-grpo-2606.18810:table3",
    "opd": "sc-grpo-2606.18810:figure4",
    "oar": "",
    "standard": "",
}


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be read or downloaded to load, resolve or price a suite."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("data was asked for")

    monkeypatch.chdir(ROOT)
    monkeypatch.delenv(source.VARIABLE, raising=False)
    monkeypatch.setattr("creditbench.data.load.read_rows", refuse)
    monkeypatch.setattr("creditbench.data.source.download", refuse)


def settings(name: str, arm: str, track: str) -> dict[str, Any]:
    found = resolve(load_suite(name), arm, track, load_suite(name).seeds[0]).settings
    return {**found.model_dump(exclude={"method"}), **found.method}


def holds(found: dict[str, Any], **expected: Any) -> None:
    assert {key: found[key] for key in expected} == expected


def protocol(suite: Suite, track: str, label: str) -> dict[str, Any]:
    return resolve_protocol(next(ref for ref in suite.tracks[track].eval if ref.label == label)).model_dump()


@pytest.mark.parametrize("name", REPORTED)
def test_every_arm_of_every_track_and_seed_resolves(name: str):
    suite = load_suite(name)
    assert suite.class_ == "real" and len(suite.seeds) >= 3 and BASE in suite.arms and suite.assumed
    for track, found in suite.tracks.items():
        assert found.base.hub and found.base.revision == "unresolved"
        arms = [arm for arm in suite.arms if arm != BASE and arm not in found.skip_arms]
        digests = {resolve(suite, arm, track, seed).config_digest for arm in arms for seed in suite.seeds}
        # A placebo, a variant or a seed that changed nothing would make two runs one.
        assert len(digests) == len(arms) * len(suite.seeds)


@pytest.mark.parametrize("name", REPORTED)
def test_every_suite_has_a_price(name: str):
    request = make_request({"suite": name})
    budget = estimate(request)
    assert min(budget["train_tokens"], budget["eval_tokens"], budget["hours"], budget["disk_gib"]) > 0
    assert budget["unit"] == "GPU-hours" and budget["detectable"] > 0
    assert budget["runs"] == sum(row["runs"] for row in budget["arms"])
    assert any("GPU-hours" in line for line in lines(budget))


@pytest.mark.parametrize("name", [name for name, table in REPORTED.items() if table])
def test_reported_tables_exist_and_speak_of_our_benchmarks(name: str):
    from creditbench.reported import load_reported

    suite, frame = load_suite(name), load_reported(ROOT / "results" / "reported")
    assert REPORTED[name] in suite.verdicts.reported
    ours = {(str(t.base.hub).split("/")[1], ref.benchmark) for t in suite.tracks.values() for ref in t.eval}
    for listed in suite.verdicts.reported:
        paper, _, table = listed.partition(":")
        rows = frame[(frame["paper"] == paper) & (frame["table"] == table)]
        assert ours & set(zip(rows["model"], rows["benchmark"], strict=True)), listed


# Reported rows that no arm answers, and nothing else: each suite's description or `assumed` says why.
WITHOUT_ARM = {
    "dapo-table1": {"r1_zero"},
    "opsd-table2": {"sft"},
    "opsd-table3": set(),
    "opsd-table4": set(),
    "cast-table3": set(),
    "cast-table7": {"opsd", "rlsd", "rlrt", "grpo_and_opsd"},  # table 3 stands beside it for GRPO and the base
    "scgrpo-table1": {"opsd / demonstrations MiniMax-M2.7", "opsd / demonstrations DeepSeekv4-Pro"},
    "scgrpo-table2": set(),
    "scgrpo-table3": set(),
}


@pytest.mark.parametrize("name", WITHOUT_ARM)
def test_every_reported_row_finds_its_arm(name: str):
    from creditbench.report.tables_verdicts import row_name
    from creditbench.reported import load_reported

    suite, frame = load_suite(name), load_reported(ROOT / "results" / "reported")
    tables = {tuple(listed.split(":")) for listed in suite.verdicts.reported}
    rows = {row_name(r) for r in frame.to_dict("records") if (r["paper"], r["table"]) in tables}
    assert set(suite.verdicts.rows) <= rows
    plain = {row for row in rows if row in suite.arms and row not in suite.verdicts.rows}
    assert rows - set(suite.verdicts.rows) - plain == WITHOUT_ARM[name]
    # Every arm but those a table does not hold (GRPO and the base, for comparison) is judged by some row.
    judged = {*suite.verdicts.rows.values(), *plain}
    assert set(suite.arms) - judged <= {"grpo", "base"}


def test_no_verdict_is_planned_where_there_is_no_paper_to_judge_against():
    assert load_suite("oar").verdicts.reported == load_suite("standard").verdicts.reported == []


def test_dapo_table1():
    # Section 4.1: 512 prompts, 16 responses, 16 updates, 16384 + 4096 tokens, AdamW 1e-6, clip 0.2 / 0.28, no KL.
    dapo = settings("dapo-table1", "dapo", "math")
    holds(dapo, prompts_per_step=512, group_size=16, updates_per_rollout=16, max_new_tokens=20480, lr=1e-6)
    holds(dapo, clip_low=0.2, clip_high=0.28, aggregate="token-mean", dynamic_sampling=True, wrong_reward=-1.0)
    assert dapo["overlong_cache"] * dapo["max_new_tokens"] == 4096
    assert dapo["warmup_steps"] == 20 * 16  # 20 rollout steps of 16 optimizer steps
    holds(settings("dapo-table1", "grpo", "math"), clip_low=0.2, clip_high=0.2, aggregate="sequence-mean")
    # Each rung of the table adds one thing to the rung below.
    rungs = [settings("dapo-table1", f"dapo@rung_{name}", "math") for name in ("filter", "clip", "soft", "token")]
    wholly = {"clip_high", "overlong_cache", "aggregate", "dynamic_sampling", "mask_truncated"}
    seen = [{key: rung[key] for key in wholly} for rung in [*rungs, dapo]]
    naive = {"dynamic_sampling": False, "overlong_cache": 0.0, "clip_high": 0.2, "aggregate": "sequence-mean"}
    assert seen[0] == {**naive, "mask_truncated": True}
    assert seen[1] == {**seen[0], "clip_high": 0.28}
    assert seen[2] == {**seen[1], "overlong_cache": 0.2, "mask_truncated": False}  # the penalty replaces the filter
    assert seen[3] == {**seen[2], "aggregate": "token-mean"}
    assert seen[4] == {**seen[3], "dynamic_sampling": True}
    used = protocol(load_suite("dapo-table1"), "math", "aime24")
    holds(used, k=32, temperature=1.0, top_p=0.7, max_new_tokens=20480)
    assert load_suite("dapo-table1").tracks["math"].base.hub == "Qwen/Qwen2.5-32B"


@pytest.mark.parametrize("track", ["qwen3-1.7b", "qwen3-4b", "qwen3-8b"])
def test_opsd_table2(track: str):
    # Tables 6 to 8 of version 3.
    opsd, grpo = settings("opsd-table2", "opsd", track), settings("opsd-table2", "grpo", track)
    holds(opsd, lr=5e-6, steps=100, prompts_per_step=32, group_size=1, max_new_tokens=1024, temperature=1.1)
    holds(opsd, lora_r=64, lora_alpha=128, beta=0.0, tau=0.05, teacher="initial", top_p=0.95, top_k=20)
    holds(grpo, lr=5e-6, steps=500, group_size=8, max_new_tokens=16000, temperature=1.2, beta=0.0, lora_r=64)
    assert grpo["prompts_per_step"] * grpo["group_size"] == 32
    suite = load_suite("opsd-table2")
    for label in ("aime24", "aime25", "hmmt25"):
        used = protocol(suite, track, label)
        holds(used, k=12, temperature=1.0, top_p=0.95, top_k=0, max_new_tokens=38912, thinking=True)
    assert suite.tracks[track].train.benchmark == "openthoughts_math"


@pytest.mark.parametrize(
    ("name", "track"),
    [
        ("cast-table3", "qwen3-1.7b"),
        ("cast-table3", "qwen3-4b"),
        ("cast-table3", "qwen3-8b"),
        ("cast-table7", "qwen3-4b"),
    ],
)
def test_cast(name: str, track: str):
    # Table 8: 300 steps, 2 x 8 groups of 8, LoRA 64/128, T 0.7, top-p 0.95, top-k 20, 3072 tokens, 1e-6 to 1e-7.
    cast = settings(name, "cast", track)
    holds(cast, steps=300, prompts_per_step=16, group_size=8, lora_r=64, lora_alpha=128, lr=1e-6, max_new_tokens=3072)
    holds(cast, temperature=0.7, top_p=0.95, top_k=20, presence_penalty=0.2)
    holds(cast, clip_low=0.2, clip_high=0.28, weight_decay=0.0, grad_clip=1.0)
    holds(cast, pos_low=0.8, pos_high=1.05, neg_low=0.95, neg_high=1.2, final_clip=1.2, lam=1.0, refresh=10)
    holds(cast, warmup_steps=15, mask_truncated=True)  # 5 % of 300
    assert cast["lr"] * cast["min_lr_ratio"] == pytest.approx(1e-7)
    holds(settings(name, "grpo", track), steps=300, clip_low=0.2, clip_high=0.28, temperature=0.7, lora_r=64)
    # Table 10.
    suite = load_suite(name)
    for label in ("aime24", "aime25", "aime26", "math500", "hmmt25"):
        used = protocol(suite, track, label)
        holds(used, k=16, temperature=0.7, top_p=0.8, top_k=20, max_new_tokens=32768, thinking=False)


def test_cast_baselines_and_ablations():
    holds(settings("cast-table3", "rlsd", "qwen3-4b"), lam=0.5, decay_steps=50, eps_w=0.2, refresh=10)
    holds(settings("cast-table3", "rlrt", "qwen3-4b"), lam=0.5, eps_w=1.0)
    # GRPO+OPSD: GRPO's settings, alpha 0.2 to 0 over 50 steps, the reference read by a fixed teacher.
    mixed, grpo = settings("cast-table3", "grpo_distill", "qwen3-4b"), settings("cast-table3", "grpo", "qwen3-4b")
    holds(mixed, coef_from=0.2, coef_to=0.0, ramp_steps=50, context="answer", teacher="initial", tau=0.05)
    holds(mixed, divergence="forward", **{k: grpo[k] for k in ("clip_low", "clip_high", "aggregate", "lr", "steps")})
    whole = settings("cast-table7", "cast", "qwen3-4b")
    changed = {
        "mixed_only": {"uniform_groups": False},
        "ground_truth": {"context": "answer-header"},
        "symmetric_wide": {"pos_high": 1.2, "neg_low": 0.8},
        "symmetric_narrow": {"pos_low": 0.95, "neg_high": 1.05},
        "no_reversal": {"flip_correct": False, "flip_wrong": False},
    }
    for variant, differs in changed.items():
        mine = settings("cast-table7", f"cast@{variant}", "qwen3-4b")
        assert {key: value for key, value in mine.items() if value != whole[key]} == differs


def test_scgrpo_table1():
    # Section 6: lr 1e-6, 8 rollouts, 8 prompts per update; math 500 steps at 8192 tokens, WebShop 300 steps.
    for arm in ("sc_grpo", "grpo", "dapo", "reinforce_pp"):
        found = settings("scgrpo-table1", arm, "math")
        holds(found, lr=1e-6, group_size=8, prompts_per_step=8, steps=500, max_new_tokens=8192, updates_per_rollout=1)
    holds(settings("scgrpo-table1", "sc_grpo", "math"), c_min=1e-4, quantile=0.75, alpha=0.1, weighted="partial+none")
    shop = settings("scgrpo-table1", "sc_grpo", "webshop")
    holds(shop, lr=1e-6, group_size=8, prompts_per_step=8, steps=300)
    assert shop["max_turns"] * shop["max_new_tokens"] <= 8192
    apps = settings("scgrpo-table1", "sc_grpo", "appworld")
    holds(apps, lr=1e-6, group_size=8, prompts_per_step=8, steps=110)
    assert apps["max_turns"] * apps["max_new_tokens"] == 12288
    opsd = settings("scgrpo-table1", "opsd", "math")
    holds(opsd, lr=1e-6, lora_r=64, lora_alpha=128, grad_clip=1.0, beta=0.0, tau=0.05, temperature=1.0, top_p=0.95)
    assert opsd["prompts_per_step"] * opsd["group_size"] == 16
    holds(opsd, context="answer")  # "for math the teacher only gets the final answer"
    suite = load_suite("scgrpo-table1")
    assert suite.tracks["math"].train.options["n"] == 4000 and suite.tracks["webshop"].train.options["n"] == 2400
    for label in ("aime24", "aime25"):
        holds(protocol(suite, "math", label), k=8, max_new_tokens=8192, thinking=False)
    assert {track.base.hub for track in suite.tracks.values()} == {"Qwen/Qwen3-8B"}
    columns = {ref.label for track in suite.tracks.values() for ref in track.eval}
    assert columns == {"aime24", "aime25", "livecodebench", "appworld", "webshop"}


def test_opsd_table4():
    """Table 4: 2,048 tokens on Qwen3-4B, the vocabulary against the sampled token, all else as in the main table."""
    main = settings("opsd-table2", "opsd", "qwen3-4b")
    full, sampled = (settings("opsd-table4", arm, "qwen3-4b") for arm in ("opsd", "opsd@sampled"))
    assert {key: value for key, value in full.items() if value != main[key]} == {"max_new_tokens": 2048}
    assert {key: value for key, value in sampled.items() if value != full[key]} == {"form": "sampled"}
    suite = load_suite("opsd-table4")
    assert {ref.label for ref in suite.tracks["qwen3-4b"].eval} == {"aime25", "hmmt25"}


def test_scgrpo_table2():
    """Coefficients of the added losses: 0.1, or 0.03 to 0.1; GRPO's loss beside them is the table's own GRPO."""
    grpo = settings("scgrpo-table2", "grpo", "code")
    rows = {
        "forward": ("forward", 0.1), "forward_ramp": ("forward", 0.03), "reverse": ("reverse", 0.1),
        "reverse_ramp": ("reverse", 0.03), "both_ramp": ("both", 0.03),
    }  # fmt: skip
    for variant, (divergence, start) in rows.items():
        found = settings("scgrpo-table2", f"grpo_distill@{variant}", "code")
        holds(found, divergence=divergence, coef_from=start, coef_to=0.1, context="sibling", teacher="live", tau=None)
        holds(found, **{k: grpo[k] for k in ("clip_low", "clip_high", "aggregate", "lr", "steps", "std")})


def test_opsd_table3():
    # Section 4, table 3: same set-up as table 2's OPSD, three divergences, 50 and 100 steps.
    for arm, beta, steps in (
        ("opsd", 0.0, 100), ("opsd@step50", 0.0, 50), ("opsd@reverse_kl", 1.0, 100),
        ("opsd@reverse_kl_step50", 1.0, 50), ("opsd@jsd", 0.5, 100), ("opsd@jsd_step50", 0.5, 50),
    ):  # fmt: skip
        found = settings("opsd-table3", arm, "qwen3-1.7b")
        holds(found, beta=beta, steps=steps, tau=0.05, lr=5e-6, lora_r=64, max_new_tokens=1024, temperature=1.1)
        assert found["prompts_per_step"] * found["group_size"] == 32
    holds(protocol(load_suite("opsd-table3"), "qwen3-1.7b", "aime25"), k=12, max_new_tokens=38912, thinking=True)


@pytest.mark.parametrize("name", [name for name in REPORTED if name != "dapo-table1"])
def test_training_prompts_are_the_papers(name: str):
    """OPSD 4.2 and CAST 5: boxed answers through the chat template, thinking off for the student.

    OPSD's own teacher reads with thinking on; CAST and SC-GRPO state non-thinking mode for all they train. A prompt
    that a paper does not print is the evaluation's.
    """
    suite = load_suite(name)
    for name_of, track in suite.tracks.items():
        found = resolve_protocol(track.train)
        assert found.prompt == "chat" and found.thinking is False, name_of
        assert {resolve_protocol(ref).prompt for ref in track.eval} == {"chat"}, name_of
    if "opsd" in suite.arms and name != "standard":
        opsd = settings(name, "opsd", next(iter(suite.tracks)))
        holds(opsd, teacher_thinking=True if name.startswith("opsd") else None)


@pytest.mark.parametrize("name", ["scgrpo-table1", "scgrpo-table2", "scgrpo-table3"])
def test_scgrpo_on_livecodebench(name: str):
    """Section 6: 131 problems of v6, half of each problem's tests to train and half to score, 320 steps."""
    suite = load_suite(name)
    track = suite.tracks["code"]
    assert (track.train.split, track.eval[0].split) == ("train_half", "eval_half")
    window = {"release": "release_v6", "start": "2025-02-01", "end": "2025-05-31"}
    assert track.train.options == track.eval[0].options == {**window, "n": 131, "seed": 0}
    found = settings(name, "sc_grpo", "code")
    holds(found, steps=320, max_new_tokens=8192, lr=1e-6, group_size=8, prompts_per_step=8, quantile=0.75, alpha=0.1)
    holds(protocol(suite, "code", "livecodebench"), k=8, max_new_tokens=8192, thinking=False)
    if name == "scgrpo-table3":
        changed = {"partial_only": {"weighted": "partial"}, "fixed_c": {"fixed_c": 1e-4}, "p50": {"quantile": 0.5}}
        changed["any_partial"] = {"weighted": "any-partial"}
        changed |= {"all_correct": {"weighted": "all-correct"}, "every_group": {"weighted": "every"}}
        for variant, differs in {**changed, "alpha02": {"alpha": 0.2}}.items():
            mine = settings(name, f"sc_grpo@{variant}", "code")
            assert {key: value for key, value in mine.items() if value != found[key]} == differs


def test_opd():
    blog, pair = settings("opd", "opd", "blog"), settings("opd", "opd", "pair-base")
    holds(blog, steps=150, group_size=4, prompts_per_step=512, form="sampled", coef=1.0)
    holds(pair, steps=60, max_new_tokens=7168)
    suite = load_suite("opd")
    assert pair["steps"] * pair["prompts_per_step"] == suite.tracks["pair-base"].train.options["n"] == 3600
    holds(protocol(suite, "pair-r1", "aime25"), k=8, max_new_tokens=31744, thinking=True)
    assert suite.tracks["pair-base"].teacher is not None and suite.tracks["blog"].teacher is not None


def test_oar_runs_both_gates_and_both_bases():
    holds(settings("oar", "oar_g", "qwen2.5-7b"), quantile=0.40, beta=2.0, clip_low=0.2, clip_high=0.2, keep_mass=True)
    holds(settings("oar", "oar_p@a", "qwen2.5-math-7b"), quantile=0.25, beta=1.0, floor=0.1)
    bases = {track.base.hub for track in load_suite("oar").tracks.values()}
    assert bases == {"Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-Math-7B"}


def test_standard_has_every_method_with_its_placebos_and_no_leak():
    from creditbench.method import get_method, method_names

    suite = load_suite("standard")
    assert len(suite.seeds) >= 5
    for name in method_names():
        if name in ("oracle_credit", "random_mask"):
            continue  # errors are known by construction on tiny math only
        placebos = get_method(name).card.placebos
        assert {name, *(f"{name}+{placebo}" for placebo in placebos)} <= set(suite.arms)
    math = suite.tracks["math"]
    checked = set(math.train.options["against"])
    pooled = {"aime24", "aime25", "aime26", "hmmt25"}  # all inside `competition`
    assert "competition" in checked and {ref.benchmark for ref in math.eval} <= checked | pooled
    assert math.dev is not None and set(math.dev.options["against"]) == checked
    code = suite.tracks["code"]
    assert code.dev is not None and set(code.train.options["against"]) == {ref.benchmark for ref in code.eval}
    assert code.dev.options["against"] == code.train.options["against"] and code.dev.split != code.train.split
    # Agents train on WebShop and AppWorld and are scored on these and on ALFWorld.
    named = {track.train.benchmark: {ref.benchmark for ref in track.eval} for track in suite.tracks.values()}
    assert named["webshop"] == {"webshop"} and named["appworld"] == {"appworld"} and named["alfworld"] == {"alfworld"}
    arms = [a for a in suite.arms if a != BASE]
    assert len({resolve(suite, a, "math", 0).settings.lr for a in arms}) == 1


def test_price_of_a_pass_per_token_grows_with_length():
    rows = {row["arm"]: row for row in estimate(make_request({"suite": "oar", "seeds": "0"}))["arms"]}
    # 3072 tokens: half a response more per token at 2N, beside 8N for sampling and updating it.
    assert rows["oar_p"]["step_cost"] == pytest.approx(1 + 3072 / 2 * 2 / 8)
    assert rows["grpo"]["step_cost"] == 1.0


def test_price_knows_a_suites_override_and_does_not_depend_on_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    whole = estimate(make_request({"suite": "dapo-table1"}))
    cost = {row["arm"]: row["step_cost"] for row in whole["arms"]}
    assert cost["dapo@rung_clip"] == cost["dapo@rung_token"] == cost["grpo"] < cost["dapo"]
    monkeypatch.setenv(source.VARIABLE, str(tmp_path))
    request = make_request({"suite": "dapo-table1"})
    assert "math" in request.skipped and not request.runs
    budget = estimate(request)
    assert budget["hours"] == whole["hours"] and "dapo_math_17k" in budget["skipped_tracks"]["math"]
    assert any(line.startswith("priced, but cannot run here: math") for line in lines(budget))
