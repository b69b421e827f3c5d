"""The comparability guard: results enter one table only when they answer the same question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from creditbench.errors import BadInput, CheckFailed, nearest
from creditbench.items import canonical_json, digest_of
from creditbench.records.manifest import Manifest

MAX_ERROR_SHARE = 0.01


def guarded_fields(manifest: Manifest) -> dict[str, Any]:
    """What must be equal between two results of one benchmark and track: field name -> value."""
    facts = manifest.eval
    if facts is None:
        raise BadInput(f"manifest of kind {manifest.kind!r}: field eval: expected an evaluation's facts")
    protocol = facts.protocol
    data = manifest.data.get(facts.benchmark)
    return {
        "benchmark": facts.benchmark,
        "split": facts.split,
        "k": protocol.get("k"),
        "cap": protocol.get("max_new_tokens"),
        "turns": protocol.get("max_turns"),
        "temperature": protocol.get("temperature"),
        "top_p": protocol.get("top_p"),
        "top_k": protocol.get("top_k"),
        "window": protocol.get("window"),
        "grader": facts.grader.id,
        "grader_version": facts.grader.version,
        "engine": facts.engine.name,
        "engine_version": facts.engine.version,
        "base": manifest.base_digest,
        "tokenizer": manifest.tokenizer_digest,
        "prompt": [protocol.get("prompt"), protocol.get("system"), protocol.get("thinking"), facts.prompts_digest],
        "data": data.digest if data else "",
        "n_problems": facts.n_problems,
    }


GUARDED = (
    "benchmark", "split", "k", "cap", "turns", "temperature", "top_p", "top_k", "window", "grader", "grader_version",
    "engine", "engine_version", "base", "tokenizer", "prompt", "data", "n_problems",
)  # fmt: skip


_PER_SEED = {"seed", "config_digest", "suite", "suite_class"}
_BOOKKEEPING = {"checkpoint_every", "log_every", "store_rollouts"}


def arm_digest(run: Manifest) -> str:
    """Digest of what must be equal between the seeds of one arm: config without seed and bookkeeping, method, inputs.

    "" for records that are no training run: the seeds of the base arm are evaluation seeds.
    """
    if run.kind != "run":
        return ""
    config = {name: value for name, value in run.config.items() if name not in _PER_SEED}
    if isinstance(settings := config.get("settings"), Mapping):
        config["settings"] = {name: value for name, value in settings.items() if name not in _BOOKKEEPING}
    data = {name: ref.digest for name, ref in run.data.items()}
    return digest_of([config, run.method_digest, run.base_digest, run.trainer_version, data])


def one_arm(manifests: Sequence[Manifest]) -> None:
    """Check that the results of one arm come from one way of training. Raises CheckFailed naming two seeds."""
    for other in manifests[1:]:
        if other.arm_digest != manifests[0].arm_digest:
            raise CheckFailed(
                f"table blocked: field 'training' differs: {label(manifests[0])} and {label(other)} were trained with "
                "different settings, method code or data; retrain the older one"
            )


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= 40 else text[:12] + "..."


def label(manifest: Manifest) -> str:
    """How messages call one result."""
    benchmark = manifest.eval.benchmark if manifest.eval else manifest.kind
    return f"{benchmark}/{manifest.arm}/{manifest.track}/seed{manifest.seed}"


def blocked(manifest: Manifest) -> str | None:
    """Why this result alone may not enter a table (errors above 1 %, samples missing), or None."""
    facts = manifest.eval
    if facts is None:
        return f"{label(manifest)}: not an evaluation"
    if facts.n_graded != facts.n_requested:
        return f"{label(manifest)}: {facts.n_graded} samples graded, {facts.n_requested} requested"
    if facts.error_share > MAX_ERROR_SHARE:
        share = f"{facts.error_share:.1%} of the samples ended in an error of ours (limit {MAX_ERROR_SHARE:.0%})"
        return f"{label(manifest)}: {share}"
    return None


def comparable(manifests: Sequence[Manifest], allow: Iterable[str] = ()) -> list[str]:
    """Check that the results may stand in one table; return the footnotes that `allow` made necessary.

    manifests: evaluation manifests of one (track, benchmark); `allow`: guarded fields that may differ.
    Raises CheckFailed naming the first field that differs (or the result that is blocked), BadInput for an unknown
    name in `allow`.
    """
    allowed = list(dict.fromkeys(allow))
    for name in allowed:
        if name not in GUARDED:
            raise BadInput(f"--allow {name!r}: unknown field{nearest(name, GUARDED)}")
    for manifest in manifests:
        reason = blocked(manifest)
        if reason:
            raise CheckFailed(f"table blocked: {reason}")
    return _footnotes(manifests, allowed)


def _footnotes(manifests: Sequence[Manifest], allowed: Sequence[str]) -> list[str]:
    if not manifests:
        return []
    fields: list[Mapping[str, Any]] = [guarded_fields(manifest) for manifest in manifests]
    notes = []
    for name in GUARDED:
        values = {canonical_json(f[name]): i for i, f in reversed(list(enumerate(fields)))}
        if len(values) == 1:
            continue
        (first, i), (second, j) = sorted(((v, i) for v, i in values.items()), key=lambda pair: pair[1])[:2]
        if name not in allowed:
            raise CheckFailed(
                f"table blocked: field {name!r} differs: {_shown(first)} in {label(manifests[i])}, "
                f"{_shown(second)} in {label(manifests[j])} (--allow {name} prints it as a footnote instead)"
            )
        shown = ", ".join(_shown(v) for v in sorted(values))
        notes.append(f"results with different {name} stand in one table (--allow {name}): {shown}")
    return notes
