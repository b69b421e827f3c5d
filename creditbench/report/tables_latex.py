"""The tables as LaTeX (booktabs): `leaderboard.tex` and `pairwise.tex`, each a bare tabular to be \\input."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from creditbench.records import write_text
from creditbench.report.tables import Row, Tables
from creditbench.report.tables_load import REFERENCE
from creditbench.report.tables_reading import points
from creditbench.stats import FIXED_SET

_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def escape(text: str) -> str:
    """Text with LaTeX's special characters made harmless."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def tabular(header: Sequence[str], rows: Iterable[Sequence[str]], columns: str) -> str:
    """A booktabs tabular; cells are LaTeX already."""
    body = [" & ".join(row) + r" \\" for row in rows]
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(header) + r" \\", r"\midrule"]
    return "\n".join([*lines, *body, r"\bottomrule", r"\end{tabular}", ""])


def leaderboard_latex(tables: Tables) -> str:
    """Track, method, rank range, score with interval, seeds."""
    rows = [
        [
            escape(row["track"]),
            rf"\texttt{{{escape(row['method'])}}}",
            _range(row["rank_low"], row["rank_high"]),
            points(row["score"]),
            _interval(row),
            str(row["n_seeds"]),
        ]
        for row in tables.rows["leaderboard"]
    ]
    return tabular(["Track", "Method", "Rank", "Score", r"95\,\% interval", "Seeds"], rows, "llrrrr")


def pairwise_latex(tables: Tables) -> str:
    """Differences to the reference arm on every benchmark, headline metric, fixed problem set."""
    rows = [
        [
            escape(row["track"]),
            escape(row["benchmark"]),
            rf"\texttt{{{escape(row['method_a'])}}}",
            f"${points(row['difference'], True)}$",
            _interval(row, sign=True),
            "--" if row["p_holm"] is None else "$<$0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}",
            "--" if row["mde"] is None else points(row["mde"]),
        ]
        for row in tables.rows["pairwise"]
        if (row["family"], row["estimand"]) == ("grpo", FIXED_SET)
        and row["metric"] == tables.headline[f"{row['track']}/{row['benchmark']}"]
    ]
    header = ["Track", "Benchmark", "Method", rf"$\Delta$ to \texttt{{{escape(REFERENCE)}}}", r"95\,\% interval"]
    return tabular([*header, "$p$ (Holm)", "Detectable"], rows, "lllrrrr")


def write_latex(tables: Tables, suite_folder: Path | str) -> list[Path]:
    """Write `tables/leaderboard.tex` and `tables/pairwise.tex`, each whole or not at all."""
    folder = Path(suite_folder) / "tables"
    return [write_text(folder / f"{name}.tex", text) for name, text in latex(tables).items()]


def latex(tables: Tables) -> dict[str, str]:
    """Name -> text of every LaTeX table."""
    return {"leaderboard": leaderboard_latex(tables), "pairwise": pairwise_latex(tables)}


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}--{high}"


def _interval(row: Row, sign: bool = False) -> str:
    if row["ci_low"] is None:
        return "--"
    return f"$[{points(row['ci_low'], sign)}, {points(row['ci_high'], sign)}]$"
