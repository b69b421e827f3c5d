"""Put the page together: payload, packed evidence, style sheets, scripts, one template. Equal inputs, equal bytes."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from creditbench.benchmark import repo_root
from creditbench.items import OUTCOMES
from creditbench.records import write_text
from creditbench.report.html import evidence
from creditbench.report.html.views import CORE_VERSION, Json, page_view
from creditbench.report.tables import Tables, build_tables

HERE = Path(__file__).resolve().parent
VENDOR = ("d3.min.js", "plot.umd.min.js")
STYLES = ("base.css", "table.css", "panels.css")
SCRIPTS = (
    "core.js", "state.js", "table.js", "figures.js", "forest.js", "pairs.js", "curves.js", "cost.js", "placebo.js",
    "papers.js", "fair.js", "heatmap.js", "samples.js", "provenance.js", "main.js",
)  # fmt: skip
MAX_BYTES = 5_000_000
OVERHEAD = 600  # bytes that a packed text needs around itself: its element and the sentence about it


def build_html(
    suite_folder: Path | str,
    out: Path | str,
    *,
    tables: Tables | None = None,
    root: Path | None = None,
    max_bytes: int = MAX_BYTES,
) -> Path:
    """Write the page of `results/<suite>` to `out`, whole or not at all, and return `out`.

    tables: computed from the folder when not given. root: holds `methods/` and `benchmarks/` (cards, prompts).
    max_bytes: texts of samples are left out (the page says which) until the page is smaller than this. Equal records
    give equal bytes. Raises BadInput when the folder is missing.
    """
    folder = Path(suite_folder)
    tables = tables or build_tables(folder)
    return write_text(out, page(tables, folder, root or repo_root(), max_bytes))


def page(tables: Tables, folder: Path, root: Path, max_bytes: int = MAX_BYTES) -> str:
    """The page as text."""
    core = page_view(tables, folder, root)
    blobs: dict[str, str] = {}
    groups = [g for g in tables.loaded.groups if not g.blocked] if tables.loaded else []
    if tables.loaded:
        blobs["curves"] = evidence.packed_json(evidence.curves(tables.loaded))
        blobs["manifests"] = evidence.packed_json(evidence.manifests(tables.loaded))
    for group in groups:
        view = core["groups"][f"{group.track}/{group.benchmark}"]
        view["problems"] = evidence.problem_ids(group)
        matrix = evidence.outcome_matrix(group)
        if matrix is not None:
            blobs[f"matrix:{group.track}/{group.benchmark}"] = evidence.packed(matrix)
    core |= {"outcomes": list(OUTCOMES), "folder": f"{folder.resolve().parent.name}/{folder.name}"}
    styles = "\n".join((HERE / "css" / name).read_text(encoding="utf-8") for name in STYLES)
    scripts = [(HERE / "vendor" / name).read_text(encoding="utf-8") for name in VENDOR] + [_app()]
    left = max_bytes - len(_render(core, blobs, styles, scripts).encode())
    for number, group in enumerate(groups):
        name = f"{group.track}/{group.benchmark}"
        found = evidence.texts(group, max(0, left // (len(groups) - number) - OVERHEAD), root)
        view = core["groups"][name]
        view["rule"], blobs[f"texts:{name}"] = found.rule, found.blob
        left -= len(found.blob) + OVERHEAD
    return _render(core, blobs, styles, scripts)


def _app() -> str:
    """Our scripts as one: they share one function scope, so that nothing leaks into the window."""
    parts = [(HERE / "js" / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return '(function () {\n"use strict";\n' + "\n".join(parts) + "\n})();\n"


def _json(value: Any) -> str:
    """JSON that may stand inside a script element: `<`, `>`, `&` and the two odd line ends are escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _render(core: Json, blobs: dict[str, str], styles: str, scripts: list[str]) -> str:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    template = (HERE / "template.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["points"] = lambda value: "" if value is None else f"{100 * value:.1f}"
    allowed = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    policy = f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    text = environment.from_string(template).render(
        core=core,
        core_json=Markup(_json(core)),
        blobs={name: Markup(blob) for name, blob in sorted(blobs.items())},
        styles=Markup(styles),
        scripts=[Markup(script) for script in scripts],
        policy=policy,
        licence=(HERE / "vendor" / "LICENSE.txt").read_text(encoding="utf-8"),
        version=CORE_VERSION,
    )
    return text if text.endswith("\n") else text + "\n"


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
