"""`leaderboard.md`: the ranking of every track, the benchmarks behind it, and how to read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from creditbench.benchmark import read_yaml, repo_root
from creditbench.records import write_text
from creditbench.records.paths import split_arm
from creditbench.report.tables import Row, Tables
from creditbench.report.tables_cost import spent
from creditbench.report.tables_load import BASE, REFERENCE, Group
from creditbench.report.tables_reading import p_text, pair_rows, points, reading_aids
from creditbench.stats import FIXED_SET

_COSTS = ("prompt_tokens", "generated_tokens", "trained_tokens", "extra_forwards", "flops")
LEGEND = (
    "Scores are points of 0 to 100 with 95 % intervals. A rank such as 2-4 means that the data allow any of these "
    "places (Holm over all pairs, new problems and new seeds). Differences are on these problems for new training "
    "seeds; p is Holm-corrected within its column. Costs are counted, not timed, per training run. "
    "`base` is not trained: its seeds are evaluation seeds and carry sampling variance only."
)


def leaderboard_markdown(tables: Tables, root: Path | None = None) -> str:
    """The page as text. `root` holds `methods/` (for the privileged-information column)."""
    parts = [f"# Leaderboard of suite `{tables.suite}`", LEGEND]
    tracks = sorted({row["track"] for row in tables.rows["leaderboard"]})
    for track in tracks:
        parts += [f"## Track {track}", _leaderboard(tables, track, root), "**How to read it.** "]
        parts[-1] += " ".join(reading_aids(tables, track))
        total = spent(tables.rows["cost_sums"], track, short_count)
        parts += [total] if total else []
        parts += [f"Not run: `{arm}`: {why}." for arm, why in sorted(tables.not_run.get(track, {}).items())]
        groups = tables.loaded.of_track(track) if tables.loaded else []
        for group in groups:
            parts += [_heading(tables, group), _detail(tables, group)]
            for title, text in (
                ("Against placebos:", _placebos(pair_rows(tables, group, "placebo"))),
                (_EQUAL_LENGTH, _equal_length(tables, group)),
                (_VIEWS, _views(tables, group)),
                ("Where the spread comes from, standard deviations in points:", _spread(tables, group)),
            ):
                parts += [title, text] if text else []
        equal = _equal(tables, track)
        parts += [_EQUAL, equal] if equal else []
    if tables.rows["contamination"]:
        parts += ["## What the models could have seen", _contamination(tables)]
    if tables.rows["verdicts"]:
        parts += ["## Against the papers' numbers", _verdicts(tables)]
    if not tracks:
        parts.append("No table: there is no complete result that passes the guard.")
    for title, lines in (
        ("Blocked", tables.blocked), ("Footnotes", tables.footnotes), ("Left out", tables.left_out),
    ):  # fmt: skip
        if lines:
            parts += [f"## {title}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def write_leaderboard(tables: Tables, suite_folder: Path | str, root: Path | None = None) -> Path:
    """Write `leaderboard.md` whole or not at all."""
    return write_text(Path(suite_folder) / "leaderboard.md", leaderboard_markdown(tables, root))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are left-aligned, the rest right-aligned."""
    marks = ["---" if i < left else "---:" for i in range(len(header))]
    lines = [list(header), marks, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rank_text(row: Row) -> str:
    """`3`, or `2-4` where the data leave several places open."""
    low, high = row["rank_low"], row["rank_high"]
    return str(low) if low == high else f"{low}-{high}"


def score_text(value: float, low: float | None, high: float | None) -> str:
    """Score with its interval, or alone when there is none."""
    return points(value) if low is None or high is None else f"{points(value)} ({points(low)} to {points(high)})"


def difference_text(row: Row | None) -> str:
    """`+1.8 (0.4 to 3.2), p = 0.02`; the difference alone when there is no test; a dash without a pair."""
    if row is None:
        return "-"
    text = points(row["difference"], True)
    if row["ci_low"] is None or row["p_holm"] is None:
        return text
    return f"{text} ({points(row['ci_low'], True)} to {points(row['ci_high'], True)}), {p_text(row['p_holm'])}"


def short_count(value: float | None) -> str:
    """A large number with three digits and a unit: 1.23M."""
    if value is None:
        return "-"
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def privileged(arm: str, root: Path | None = None) -> str:
    """What a method's card says it is told beyond the reward; `-` for the base and for unknown methods."""
    path = (root or repo_root()) / "methods" / split_arm(arm)[0] / "card.yaml"
    return str(read_yaml(path).get("privileged", "-")) if path.is_file() else "-"


def _leaderboard(tables: Tables, track: str, root: Path | None) -> str:
    header = ["Method", "Rank", "Score", "Seeds", "Privileged", "Prompt", "Generated", "Trained"]
    header += ["Extra passes", "FLOPs"]
    rows = [
        [
            f"`{row['method']}`",
            rank_text(row),
            score_text(row["score"], row["ci_low"], row["ci_high"]),
            str(row["n_seeds"]),
            privileged(row["method"], root),
            *(short_count(row[name]) for name in _COSTS),
        ]
        for row in tables.rows["leaderboard"]
        if row["track"] == track
    ]
    return table(header, rows)


def _heading(tables: Tables, group: Group) -> str:
    facts = group.manifest.eval
    assert facts is not None
    metric = tables.headline[f"{group.track}/{group.benchmark}"]
    protocol, window = facts.protocol, facts.protocol.get("window") or {}
    dates = " to ".join(str(window[end] or "") for end in ("start", "end")) if any(window.values()) else ""
    said = [
        f"{group.n_problems} problems x {group.k} samples",
        f"temperature {protocol['temperature']:g}, top-p {protocol['top_p']:g}",
        f"cap {group.cap} tokens",
        f"grader {facts.grader.id} {facts.grader.version}",
        f"engine {facts.engine.name} {facts.engine.version}".rstrip(),
        *([f"dates {dates}"] if dates else []),
    ]
    return f"### {group.benchmark}: {metric}\n\n{', '.join(said)}."


def _detail(tables: Tables, group: Group) -> str:
    metric = tables.headline[f"{group.track}/{group.benchmark}"]
    others = sorted({row["metric"] for row in _of_group(tables, group, "scores")} - {metric})
    to_base, to_grpo = ({r["method_a"]: r for r in pair_rows(tables, group, family)} for family in ("base", "grpo"))
    scores = {name: _means(tables, group, name) for name in group.arms}
    order = sorted(scores, key=lambda name: (-scores[name][metric], name))
    header = ["Method", metric, *others, f"against {BASE}", f"against {REFERENCE}", "Tokens"]
    header += ["Truncated %", "Unparsed %", "Errors %", "Seeds"]
    rows = []
    for name in order:
        arm = group.arms[name]
        rows.append(
            [
                f"`{name}`",
                *(points(scores[name][m]) for m in (metric, *others)),
                difference_text(to_base.get(name)),
                difference_text(to_grpo.get(name)),
                f"{arm.mean_tokens:.1f}",
                *(points(arm.share(outcome)) for outcome in ("truncated", "unparsed", "error")),
                str(len(arm.seeds)),
            ]
        )
    return table(header, rows)


def _means(tables: Tables, group: Group, arm: str) -> dict[str, float]:
    rows = [row for row in _of_group(tables, group, "scores") if row["method"] == arm]
    names = dict.fromkeys(row["metric"] for row in rows)
    values = {name: [row["value"] for row in rows if row["metric"] == name] for name in names}
    return {name: sum(found) / len(found) for name, found in values.items()}


_EQUAL_LENGTH = f"At equal length (per-problem regression on the log length difference), against `{REFERENCE}`:"
_VIEWS = (
    "Two views: each method as published, and with the reference's clip, aggregation, sampling and shaping so that "
    f"only its credit differs (matched). Ranks and p inside each view; differences to `{REFERENCE}`:"
)
_EQUAL = (
    "At equal steps and at equal generated tokens: share of correct training rollouts (mean over the last tenth of a "
    "run's steps), at the most that every run reached. Training problems, not the test:"
)


def _equal_length(tables: Tables, group: Group) -> str:
    rows = [
        row
        for row in _of_group(tables, group, "length")
        if (row["family"], row["estimand"]) == ("grpo", FIXED_SET) and row["at_equal_length"] is not None
    ]
    shown = [
        [
            f"`{row['method_a']}`",
            points(row["difference"], True),
            difference_text(row | {"difference": row["at_equal_length"]}),
            f"{row['length_ratio']:.2f}",
        ]
        for row in sorted(rows, key=lambda row: (-row["at_equal_length"], row["method_a"]))
    ]
    return table(["Method", "As measured", "At equal length", "Length ratio"], shown) if shown else ""


def _views(tables: Tables, group: Group) -> str:
    rows = _of_group(tables, group, "views")
    by_view = {(row["view"], row["method"]): row for row in rows}
    views = list(dict.fromkeys(row["view"] for row in rows))
    methods = sorted({row["method"] for row in rows if row["view"] != views[0]}) if views else []
    header = ["Method", *(f"{view}: {what}" for view in views for what in ("score", "rank", f"against {REFERENCE}"))]
    shown = []
    for method in methods:
        cells = [f"`{method}`"]
        for view in views:
            row = by_view.get((view, method))
            if row is None:
                cells += ["-", "-", "-"]
                continue
            low, high = row["diff_low"], row["diff_high"]
            against = {**row, "difference": row["against_grpo"], "ci_low": low, "ci_high": high}
            text = "-" if row["against_grpo"] is None else difference_text(against)
            cells += [score_text(row["score"], row["ci_low"], row["ci_high"]), rank_text(row), text]
        shown.append(cells)
    return table(header, shown) if shown else ""


def _spread(tables: Tables, group: Group) -> str:
    rows = _of_group(tables, group, "variance")
    names = ("seed_sd", "problem_sd", "interaction_sd", "sampling_sd")
    shown = [[f"`{r['method']}`", *("-" if r[n] is None else points(r[n]) for n in names)] for r in rows]
    return table(["Method", "Seed", "Problem", "Seed x problem", "One sample"], shown) if shown else ""


def _equal(tables: Tables, track: str) -> str:
    rows = [row for row in tables.rows["equal"] if row["track"] == track]
    by = {(row["equal"], row["method"]): row for row in rows}
    limits = {row["equal"]: row["at"] for row in rows}
    header = ["Method", *(f"{short_count(at)} {kind}" for kind, at in limits.items())]
    shown = []
    for method in sorted({row["method"] for row in rows}):
        found = [by.get((kind, method)) for kind in limits]
        text = ["-" if r is None else score_text(r["training_accuracy"], r["ci_low"], r["ci_high"]) for r in found]
        shown.append([f"`{method}`", *text])
    return table(header, shown) if shown else ""


def _contamination(tables: Tables) -> str:
    header = ["Track", "Training set", "Benchmark", "Dropped / with 8-gram / of", "Same text", "Model, released"]
    header += ["Problems dated", "Before / after release", "Note"]
    shown = []
    for row in tables.rows["contamination"]:
        grams = "-" if row.get("n_train") is None else f"{row['dropped']} / {row['with_8gram']} / {row['n_train']}"
        dated = row.get("first") is not None
        shown.append(
            [
                *(f"{row[name]}" for name in ("track", "training_set", "benchmark")),
                grams,
                "-" if row["same_text"] is None else str(row["same_text"]),
                ", ".join(str(row[n]) for n in ("model", "model_released") if row.get(n)) or "-",
                f"{row['first']} to {row['last']}" if dated else "-",
                f"{row['n_before']} / {row['n_after']} ({row['window']})" if dated else "-",
                row["note"],
            ]
        )
    return table(header, shown, left=3)


def _of_group(tables: Tables, group: Group, name: str) -> list[Row]:
    return [r for r in tables.rows[name] if (r["track"], r["benchmark"]) == (group.track, group.benchmark)]


def _placebos(rows: Sequence[Row]) -> str:
    shown = [[f"`{r['method_a']}`", f"`{r['method_b']}`", difference_text(r), points(r["mde"] or 0)] for r in rows]
    return table(["Method", "Placebo", "Method minus placebo", "Detectable"], shown, left=2) if shown else ""


def _verdicts(tables: Tables) -> str:
    header = ["Paper", "Table", "Benchmark", "Metric", "Method", "Verdict", "Gain", "Reported", "Ours", "Why"]
    rows = [
        [
            *(row[name] for name in ("paper", "table", "benchmark", "metric")),
            f"`{row['method']}`",
            row["verdict"],
            row["gain_verdict"] or "-",
            points(row["reported"]),
            points(row["ours"]),
            row["why"],
        ]
        for row in tables.rows["verdicts"]
    ]
    return table(header, rows, left=7)
