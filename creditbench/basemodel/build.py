"""Make the model a spec names into `results/models/<key>`: pretrained here, from the hub, from a folder, or random."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from creditbench.basemodel.measure import measure
from creditbench.basemodel.pretrain import pretrain, qwen3
from creditbench.basemodel.random_model import random_model
from creditbench.basemodel.recipe import read_card, recipe_of
from creditbench.benchmark import get_benchmark
from creditbench.errors import BadInput
from creditbench.records import atomic_folder, model_digest, new_manifest, now, recovered, write_json, write_manifest
from creditbench.records.paths import models_dir
from creditbench.sampling import open_engine
from creditbench.suite import ModelSpec
from creditbench.tokenizer import load_tokenizer, save_tiny, tiny_tokenizer

Progress = Callable[[str, int, int], None]


def build_model(spec: ModelSpec, results: Path | str, progress: Progress | None = None) -> Path:
    """Build the model of `spec` unless it is there, and return its folder (appears whole, manifest last).

    Raises BadInput for a recipe that no benchmark has, a folder without weights, or an unreachable hub.
    """
    folder = models_dir(results, spec.key)
    if recovered(folder) is not None:
        return folder
    torch.set_num_threads(1)
    started, clock = now(), time.perf_counter()
    with atomic_folder(folder) as private:
        facts = _fill(spec, private, progress)
        write_json(private / "facts.json", {**facts, "seconds": round(time.perf_counter() - clock, 1)})
        digest, tokenizer = model_digest(private)
        files = [p.relative_to(private).as_posix() for p in sorted(private.rglob("*")) if p.is_file()]
        manifest = new_manifest(
            "base",
            config={"spec": spec.model_dump(mode="json")},
            started=started,
            key=spec.key,
            model_digest=digest,
            base_digest=digest,
            tokenizer_digest=tokenizer,
            determinism="D3" if spec.ref.recipe else "D0",
            threads=torch.get_num_threads(),
            notes=tuple(f"{name}: {value}" for name, value in sorted(facts.items())),
        )
        write_manifest(private, manifest, files)
    return folder


def _fill(spec: ModelSpec, folder: Path, progress: Progress | None) -> dict[str, Any]:
    ref = spec.ref
    if ref.recipe is not None:
        return _pretrained(ref.recipe, spec.role, folder, progress)
    if ref.random is not None:
        return random_model(folder, **ref.random)
    if ref.path is not None:
        return _copied(Path(ref.path), folder)
    return _fetched(str(ref.hub), str(ref.revision), folder)


def _pretrained(recipe_name: str, role: str, folder: Path, progress: Progress | None) -> dict[str, Any]:
    """Pretrain on the benchmark's corpus and measure on dev: accuracy, pass@k, hinted accuracy, chance."""
    benchmark = get_benchmark(recipe_name)
    card = read_card(benchmark)
    recipe, tokenizer = recipe_of(card, role), tiny_tokenizer()
    model = qwen3(recipe.shape, tokenizer.vocab_size, tokenizer.pad_id, tokenizer.eos_id, recipe.seed)
    assert benchmark.corpus is not None

    def shown(state: dict[str, Any]) -> None:
        if progress is not None:
            progress(f"pretrain {recipe_name} {role} ({state['phase']})", state["step"], state["steps"])

    loss = pretrain(model, recipe, benchmark.corpus, tokenizer, shown)
    model.save_pretrained(folder)
    save_tiny(folder)
    engine = open_engine("raw", model)
    facts = measure(engine, tokenizer, benchmark, card.dev_problems, card.dev_samples)
    facts["loss"] = loss
    facts["parameters"] = float(sum(p.numel() for p in model.parameters()))
    facts["chance"] = float(benchmark.card.chance or 0.0)
    return {name: round(value, 4) for name, value in facts.items()}


def _copied(source: Path, folder: Path) -> dict[str, Any]:
    """Copy a folder that `save_pretrained` wrote."""
    if not (source / "config.json").is_file():
        raise BadInput(f"{source}: no config.json; expected a folder written by save_pretrained")
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name != "manifest.json":
            shutil.copy(path, folder / path.name)
    return {"source": source.name}


def _fetched(hub: str, revision: str, folder: Path) -> dict[str, Any]:
    """Download a model by commit; `unresolved` is looked up once and the commit found is recorded."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        if revision == "unresolved":
            from huggingface_hub import HfApi

            revision = str(HfApi().model_info(hub).sha)
        model = AutoModelForCausalLM.from_pretrained(hub, revision=revision)
        tokenizer = AutoTokenizer.from_pretrained(hub, revision=revision)
    except Exception as error:
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise BadInput(
            f"model {hub} at {revision}: cannot be fetched ({why})"
        ) from None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    load_tokenizer(folder)
    return {"hub": hub, "revision": revision}
