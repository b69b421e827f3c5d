"""The evidence behind the tables, packed for the page: curves, outcomes of every sample, chosen texts, manifests.

Outcomes and lengths are stored for all samples of a group (three bytes each before compression). Texts cannot all fit
into a page that one sends by mail, so a declared rule chooses them: every sample (all arms, seeds, k) of each n-th
problem, and the first sample of the first seed of the problems between; n is the smallest power of two that fits.
Everything is deflated (zlib) and written in base64.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from creditbench.benchmark import EvalProtocol, get_benchmark, private_transcripts
from creditbench.errors import CreditBenchError
from creditbench.items import OUTCOMES, Item
from creditbench.records import read_manifest, read_parquet
from creditbench.records.paths import CURVE, SAMPLES, find_evals, find_runs
from creditbench.report.html.views import Json, rounded
from creditbench.report.tables_load import Group, Loaded

MAX_CELLS = 1_000_000  # samples of one group whose outcomes still enter the page
CLIP = 6000  # characters of one text
CURVE_POINTS = 160
CURVES = (
    "correct", "reward", "response_tokens", "entropy", "approx_kl", "clip_fraction", "grad_norm", "loss",
    "uniform_groups", "outcome.truncated", "outcome.unparsed", "weight.std", "weight.ess", "weight.rank_corr_length",
)  # fmt: skip
DEFLATES = 12  # no text of ours deflates better than this, base64 counted
STRIDES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 0)


def packed(data: bytes) -> str:
    """zlib-deflated bytes in base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")


def packed_json(value: Any) -> str:
    """JSON without spaces, deflated, in base64."""
    return packed(json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode())


def curves(loaded: Loaded) -> Json:
    """track -> arm -> seed -> column -> values; `tokens` is the running sum of generated tokens."""
    out: Json = {}
    for place in find_runs(loaded.folder):
        try:
            table = read_parquet(place.folder / CURVE)
        except CreditBenchError:
            continue  # no usable curve: the tables say so
        if not {"step"} <= set(table.column_names) or table.num_rows == 0:
            continue
        every = max(1, -(-table.num_rows // CURVE_POINTS))
        keep = np.unique(np.append(np.arange(0, table.num_rows, every), table.num_rows - 1))
        columns = {name: _floats(table[name])[keep] for name in CURVES if name in table.column_names}
        columns["step"] = _floats(table["step"])[keep]
        if "generated_tokens" in table.column_names:
            columns["tokens"] = np.nancumsum(_floats(table["generated_tokens"]))[keep]
        short = {name: _short(values) for name, values in columns.items() if np.isfinite(values).any()}
        out.setdefault(place.track, {}).setdefault(place.arm, {})[str(place.seed)] = short
    return out


def _floats(column: Any) -> np.ndarray:
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _short(values: np.ndarray) -> list[float | int | None]:
    return [rounded(float(f"{v:.4g}")) if np.isfinite(v) else None for v in values]


def manifests(loaded: Loaded) -> Json:
    """`run/<arm>/<track>/<seed>` and `eval/<benchmark>/<arm>/<track>/<seed>` -> that manifest as written."""
    out: Json = {}
    for place in find_runs(loaded.folder):
        out[f"run/{place.arm}/{place.track}/{place.seed}"] = _manifest(place)
    for place in find_evals(loaded.folder):
        out[f"eval/{place.benchmark}/{place.arm}/{place.track}/{place.seed}"] = _manifest(place)
    return {name: found for name, found in out.items() if found}


def _manifest(place: Any) -> Json | None:
    try:
        return read_manifest(place.folder).model_dump(mode="json")
    except CreditBenchError:
        return None


def outcome_matrix(group: Group) -> bytes | None:
    """For each arm (sorted), seed and sample in order: one outcome byte; then as many uint16 lengths (little-endian).

    None when the group has more than `MAX_CELLS` samples.
    """
    cells = sum(len(found.seeds) * found.correct_SPK[0].size for found in group.arms.values())
    if cells > MAX_CELLS:
        return None
    codes, lengths = [], []
    for _, found in sorted(group.arms.items()):
        for folder in found.folders:
            table = read_parquet(folder / SAMPLES, columns=["outcome", "n_tokens"])
            index = pc.call_function("index_in", [table["outcome"]], pc.SetLookupOptions(_outcomes()))
            codes.append(index.to_numpy().astype(np.uint8))
            lengths.append(np.minimum(table["n_tokens"].to_numpy(), 65535).astype("<u2"))
    return np.concatenate(codes).tobytes() + np.concatenate(lengths).tobytes()


def _outcomes() -> Any:
    import pyarrow as pa

    return pa.array(OUTCOMES)


@dataclass(frozen=True)
class Texts:
    """Chosen texts of a group, packed, and the sentence that says which they are."""

    blob: str
    rule: str
    stride: int


def texts(group: Group, budget: int, root: Any = None) -> Texts:
    """Choose and pack the texts of one group so that they take at most `budget` characters of the page."""
    facts = group.manifest.eval
    if facts is not None and (private := private_transcripts(facts.benchmark, root)):
        nothing = packed_json({"prompts": [], "samples": {}, "why": f"These texts stay private: {private}"})
        return Texts(nothing, f"The texts of {facts.benchmark} stay private: {private}.", -1)
    prompts, why = _prompts(group, root)
    size = _bytes_per_sample(group)
    for stride in STRIDES:
        n = sum(len(_wanted(group, stride, number == 0)) for _, number, _ in _folders(group))
        if stride and n * size > DEFLATES * budget:
            continue
        chosen = {
            name: _chosen(folder, _wanted(group, stride, number == 0)) for name, number, folder in _folders(group)
        }
        blob = packed_json({"prompts": prompts, "samples": chosen, "why": why})
        if len(blob) <= budget:
            return Texts(blob, _rule(group, stride), stride)
    return Texts(packed_json({"prompts": [], "samples": {}, "why": why}), "No text fits into the page.", -1)


def _bytes_per_sample(group: Group) -> float:
    """Mean size of a sample's texts, from the first evaluation: what is far too large is then never read."""
    folder = next(iter(group.arms.values())).folders[0]
    table = read_parquet(folder / SAMPLES, columns=["completion", "detail"])
    text = pc.call_function("binary_length", [table["completion"]]).to_numpy().clip(max=CLIP).mean()
    detail = pc.call_function("binary_length", [table["detail"]]).to_numpy().clip(max=20 * CLIP).mean()
    return float(text + detail)


def _rule(group: Group, stride: int) -> str:
    if stride == 1:
        return "This page holds the text of every sample."
    first = "the first sample of the first seed of every problem"
    if stride == 0:
        return f"This page holds, for each arm, {first}, and the outcome and length of every sample."
    many = -(-group.n_problems // stride)
    return (
        f"This page holds every sample of {many} of the {group.n_problems} problems (one in {stride}), and of the "
        "others the first sample of each arm's first seed; outcome and length of every sample are always here."
    )


def _folders(group: Group) -> Iterator[tuple[str, int, Any]]:
    """(`arm/seed`, place of the seed among the arm's seeds, folder) of every evaluation."""
    for arm, found in sorted(group.arms.items()):
        for number, (seed, folder) in enumerate(zip(found.seeds, found.folders, strict=True)):
            yield f"{arm}/{seed}", number, folder


def _wanted(group: Group, stride: int, first_seed: bool) -> list[int]:
    """Row numbers (problem x k + sample) of one evaluation whose texts are in the page."""
    rows: list[int] = []
    for p in range(group.n_problems):
        if stride and p % stride == 0:
            rows += range(p * group.k, p * group.k + group.k)
        elif first_seed:
            rows.append(p * group.k)
    return rows


def _chosen(folder: Any, wanted: list[int]) -> Json:
    """One evaluation's chosen samples as columns: `row`, and the texts and facts that the matrix does not hold."""
    names = ["completion", "extracted", "verdict", "reward", "finish_reason", "detail"]
    found = read_parquet(folder / SAMPLES, columns=names).take(wanted).to_pydict()
    turns = [_turns(detail) for detail in found["detail"]]
    return {
        "row": wanted,
        "text": ["" if t else clipped(c or "") for c, t in zip(found["completion"], turns, strict=True)],
        "extracted": [None if x is None else clipped(x) for x in found["extracted"]],
        "verdict": [clipped(v or "") for v in found["verdict"]],
        "reward": rounded(found["reward"]),
        "finish": found["finish_reason"],
        "turns": turns if any(turns) else [],
    }


def _turns(detail: str | None) -> list[list[Any]] | None:
    rows = json.loads(detail).get("turns") if detail and '"turns"' in detail else None
    return [[t["role"], clipped(t["text"]), t["n_tokens"], t["reward"], t["valid"]] for t in rows] if rows else None


def clipped(text: str) -> str:
    """`text`, or its two ends with a mark between when it is longer than `CLIP` characters."""
    if len(text) <= CLIP:
        return text
    cut = len(text) - CLIP
    return (
        f"{text[: 2 * CLIP // 3]}\n[… {cut} characters left out here; samples.parquet has them …]\n{text[-CLIP // 3 :]}"
    )


def _prompts(group: Group, root: Any) -> tuple[list[Json], str]:
    """Prompt and gold answer per problem in order; or none and the reason."""
    from creditbench.evaluator.plan import load_items

    facts = group.manifest.eval
    if facts is None:
        return [], "the manifest names no benchmark"
    try:
        protocol = EvalProtocol.model_validate(facts.protocol)
        benchmark = get_benchmark(facts.benchmark, root)
        items = load_items(benchmark, facts.split, protocol, facts.options)
        digests = _problem_digests(group)
        if [item.digest for item in items] != digests:
            return [], "the benchmark's problems are no longer those that were evaluated"
        return [_prompt(item, benchmark.prompt(item, protocol)) for item in items], ""
    except CreditBenchError as error:
        return [], str(error)
    except Exception as error:  # a benchmark's own code: a page without prompts is better than no page
        return [], f"{type(error).__name__}: {error}"


def _problem_digests(group: Group) -> list[str]:
    found = next(iter(group.arms.values()))
    return read_parquet(found.folders[0] / SAMPLES, columns=["problem_digest"])["problem_digest"].to_pylist()[
        :: found.k
    ]


def _prompt(item: Item, prompt: Any) -> Json:
    turns = [["", prompt]] if isinstance(prompt, str) else [[m["role"], m["content"]] for m in prompt]
    return {"turns": [[role, clipped(text)] for role, text in turns], "answer": clipped(item.answer)}


def problem_ids(group: Group) -> list[str]:
    """Ids of the problems in their order."""
    found = next(iter(group.arms.values()))
    return read_parquet(found.folders[0] / SAMPLES, columns=["problem_id"])["problem_id"].to_pylist()[:: found.k]
