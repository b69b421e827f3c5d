"""Reading aids: what a table shows, what ties, what it cannot tell, the largest confound. Computed, never written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from creditbench.records.paths import split_arm
from creditbench.report.tables import Row, Tables
from creditbench.report.tables_load import BASE, REFERENCE, Group
from creditbench.stats import FIXED_SET, MIN_SEEDS, length_matched

ALPHA = 0.05
ORACLE, MASK, RANDOM_REWARD = "oracle_credit", "random_mask", "random_reward"
LENGTH_RATIO, SHARE_GAP, ERROR_SHARE = 1.25, 0.05, 0.005  # below these a confound is not worth a sentence


def reading_aids(tables: Tables, track: str) -> list[str]:
    """Sentences in plain English about one track, most important first; empty when the track has no table."""
    rows = [row for row in tables.rows["leaderboard"] if row["track"] == track]
    groups = tables.loaded.of_track(track) if tables.loaded else []
    if not rows or not groups:
        return []
    said = [_ranks(rows)]
    for group in groups:
        prefix = f"On {group.benchmark}: " if len(groups) > 1 else ""
        parts = [_against(tables, group, BASE), _against(tables, group, REFERENCE), *_placebos(tables, group)]
        parts += [*_controls(tables, group), _cannot_tell(tables, group), _confound(group), _chance(group)]
        said += [_sentence(prefix + part) for part in parts if part]
    return [text for text in (*said, _seeds(rows)) if text]


def points(value: float, sign: bool = False) -> str:
    """A share of 0..1 in points of 0..100 with one decimal."""
    return f"{100 * value + 0.0:{'+' if sign else ''}.1f}"


def p_text(p: float | None) -> str:
    """A p-value as people write it."""
    if p is None:
        return "no test"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def listed(names: Iterable[str]) -> str:
    """`a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}" if quoted else "none"


def pair_rows(
    tables: Tables, group: Group, family: str, estimand: str = FIXED_SET, metric: str | None = None
) -> list[Row]:
    """Rows of `pairwise.csv` of one group and family, for the headline metric unless another is named."""
    wanted = metric or tables.headline[f"{group.track}/{group.benchmark}"]
    return [
        row
        for row in tables.rows["pairwise"]
        if (row["track"], row["benchmark"]) == (group.track, group.benchmark)
        and (row["family"], row["estimand"], row["metric"]) == (family, estimand, wanted)
    ]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _significant(row: Row) -> bool:
    return row["p_holm"] is not None and row["p_holm"] < ALPHA


def _ranks(rows: Sequence[Row]) -> str:
    top = [row["method"] for row in rows if row["rank_low"] == 1]
    if len(rows) == 1:
        return f"Only {listed(top)} has results; there is nothing to rank."
    if not any(row["n_seeds"] >= MIN_SEEDS and split_arm(row["method"])[0] != BASE for row in rows):
        return (
            f"No arm has {MIN_SEEDS} training seeds, so nothing is tested: the order of the {len(rows)} rows describes "
            "these runs and ranks nothing."
        )
    if len(top) == len(rows):
        return f"No arm is significantly better than any other: all {len(rows)} tie for first place."
    if any(row["rank_high"] == 1 for row in rows):
        return f"{listed(top)} is significantly better than every other arm (Holm over all pairs, new problems)."
    others = len(rows) - len(top)
    beaten = f"the other {others} are" if others > 1 else "the other one is"
    if len(top) == 1:
        return (
            f"No arm is significantly better than {listed(top)}, and each other arm is behind at least one arm, "
            f"but {listed(top)} is not shown to beat every one of them (Holm over all pairs, new problems)."
        )
    return (
        f"{listed(top)} tie for first place: no arm is significantly better than they are, "
        f"while {beaten} behind at least one arm (Holm over all pairs, new problems)."
    )


def _against(tables: Tables, group: Group, other: str) -> str:
    rows = pair_rows(tables, group, "base" if other == BASE else "grpo")
    tested = [row for row in rows if row["p_holm"] is not None]
    if not tested:
        return ""
    what = "the untrained base" if other == BASE else f"`{other}`"
    better = [row for row in tested if _significant(row) and row["difference"] > 0]
    worse = [row for row in tested if _significant(row) and row["difference"] < 0]
    open_ = [row for row in tested if not _significant(row)]
    if not better and not worse:
        if len(tested) == 1:
            return f"{listed([tested[0]['method_a']])} is not shown to differ from {what}"
        return f"none of the {len(tested)} tested arms differs significantly from {what}"
    parts = []
    for found, word in ((better, "above"), (worse, "below")):
        if found:
            shown = ", ".join(f"`{row['method_a']}` {points(row['difference'], True)}" for row in _by_size(found))
            arms = f"{len(found)} of {len(tested)} tested arms {'is' if len(found) == 1 else 'are'}"
            parts.append(f"{arms} significantly {word} {what} ({shown} points)")
    if open_:
        parts.append(f"not shown to differ: {listed(row['method_a'] for row in open_)}")
    ranked = [row for row in tables.rows["leaderboard"] if row["track"] == group.track]
    first = {row["method"] for row in ranked if row["rank_low"] == 1}
    if (better and other in first) or any(row["method_a"] in first for row in worse):
        parts.append("that is on these problems; first place, above, asks for new problems too")
    return "; ".join(parts)


def _by_size(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (-abs(row["difference"]), row["method_a"]))


def _placebos(tables: Tables, group: Group) -> list[str]:
    said = []
    for row in pair_rows(tables, group, "placebo"):
        if row["p_holm"] is None:
            continue
        size = f"{points(row['difference'], True)} points, {p_text(row['p_holm'])}"
        if _significant(row) and row["difference"] > 0:
            said.append(f"`{row['method_a']}` beats its placebo `{row['method_b']}` ({size})")
        else:
            said.append(
                f"`{row['method_a']}` is not shown to beat its placebo `{row['method_b']}` ({size}): "
                "a gain it has over other arms need not come from credit assignment"
            )
    return said


def _controls(tables: Tables, group: Group) -> list[str]:
    """What the sensitivity arms say about the track: one planned test each, p not corrected."""
    said = []
    for row in pair_rows(tables, group, "all"):
        if {row["method_a"], row["method_b"]} == {ORACLE, MASK} and row["p"] is not None:
            gain = row["difference"] if row["method_a"] == ORACLE else -row["difference"]
            size = f"{points(gain, True)} points, {p_text(row['p'])}"
            if gain > 0 and row["p"] < ALPHA:
                said.append(
                    f"exact credit beats a random mask of equal size ({size}): the track can tell credit rules apart"
                )
            else:
                said.append(
                    f"exact credit is not shown to beat a random mask of equal size ({size}): "
                    "this track cannot separate credit rules"
                )
    for row in pair_rows(tables, group, "base"):
        if split_arm(row["method_a"])[1] == RANDOM_REWARD and row["p"] is not None:
            size = f"{points(row['difference'], True)} points, {p_text(row['p'])}"
            if row["difference"] > 0 and row["p"] < ALPHA:
                said.append(
                    f"`{row['method_a']}` rises above the base without a true reward ({size}): "
                    "gains on this track need not come from the reward"
                )
            else:
                said.append(f"`{row['method_a']}` does not rise above the base ({size}), as it should not")
    return said


def _cannot_tell(tables: Tables, group: Group) -> str:
    if len(group.arms) < 2:
        return ""  # nothing stands beside it, however many seeds it has; the first sentence says so
    for family, what in (("grpo", f"`{REFERENCE}`"), ("base", "the base")):
        sizes = sorted(row["mde"] for row in pair_rows(tables, group, family) if row["mde"] is not None)
        if sizes:
            middle = sizes[len(sizes) // 2]
            return (
                f"a true difference to {what} below about {points(middle)} points would be missed more than one time "
                "in five by these seeds, so `not significant` is not `equal`"
            )
    return f"fewer than {MIN_SEEDS} seeds per arm: the numbers describe these runs and decide nothing"


def _confound(group: Group) -> str:
    """The largest difference to the reference arm that is not accuracy, and what is left at equal length."""
    reference = group.arms.get(REFERENCE) or group.arms.get(BASE)
    if reference is None or len(group.arms) < 2:
        return ""
    found: list[tuple[float, str, str]] = []
    for name, scores in sorted(group.arms.items()):
        if name == reference.arm or name == BASE:
            continue
        ratio = max(scores.mean_tokens, 1e-9) / max(reference.mean_tokens, 1e-9)
        shown = f"`{name}` writes {ratio:.2f} times as many tokens as `{reference.arm}`"
        found.append((abs(math.log(ratio)) / math.log(LENGTH_RATIO), name, shown + _at_equal_length(group, name)))
        for outcome, limit in (("truncated", SHARE_GAP), ("unparsed", SHARE_GAP), ("error", ERROR_SHARE)):
            gap = scores.share(outcome) - reference.share(outcome)
            shown = f"`{name}` has {points(gap, True)} points of {outcome} samples against `{reference.arm}`"
            found.append((abs(gap) / limit, name, shown))
    if not found:
        return ""
    size, _, text = max(found, key=lambda item: (item[0], item[1]))
    if size < 1:
        return (
            f"no large confound: against `{reference.arm}` lengths, truncation, unparsed answers and errors are close"
        )
    return f"largest confound: {text}"


def _at_equal_length(group: Group, name: str) -> str:
    if REFERENCE not in group.arms:
        return ""
    a, b = group.arms[name], group.arms[REFERENCE]
    found = length_matched(a.correct_SPK, a.tokens_SPK, b.correct_SPK, b.tokens_SPK, estimand=FIXED_SET)
    if found.matched.ci_low is None or found.matched.ci_high is None:
        return ""
    low, high = points(found.matched.ci_low, True), points(found.matched.ci_high, True)
    return (
        f"; at equal length its difference is {points(found.matched.difference, True)} points ({low} to {high}) "
        f"instead of {points(found.raw, True)}"
    )


def _chance(group: Group) -> str:
    chance = group.manifest.eval.chance if group.manifest.eval else None
    if chance is None:
        return ""
    near = [name for name, a in sorted(group.arms.items()) if a.correct_SPK.mean() < 2 * chance]
    text = f"a blind guess scores {100 * chance:.3g}"
    return f"{text}; {listed(near)} {'scores' if len(near) == 1 else 'score'} less than twice that" if near else text


def _seeds(rows: Sequence[Row]) -> str:
    most = max(row["n_seeds"] for row in rows)
    few = [row for row in rows if row["n_seeds"] < most and split_arm(row["method"])[0] != BASE]
    if not few:
        return ""
    shown = ", ".join(f"`{row['method']}` {row['n_seeds']}" for row in sorted(few, key=lambda row: row["method"]))
    below = [row for row in few if row["n_seeds"] < MIN_SEEDS]
    end = f"; below {MIN_SEEDS} seeds a row is descriptive only" if below else ""
    return f"Fewer seeds than the {most} of the others: {shown}{end}."
