"""SHA-256 digests of files, folders, data rows and source code, and the run key built from them."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from creditbench.errors import BadInput
from creditbench.items import Item, canonical_json, digest_of

__all__ = [
    "canonical_json", "digest_file", "digest_folder", "digest_of", "digest_rows", "model_digest", "run_key",
    "source_digest",
]  # fmt: skip


def digest_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes as 64 hex digits. Raises BadInput when there is no such file."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadInput(f"{path}: no such file") from None


def digest_folder(folder: Path | str) -> str:
    """SHA-256 over the sorted (relative name, file digest) pairs below `folder`; hidden files are left out."""
    folder = Path(folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    named = [(p.relative_to(folder).as_posix(), p) for p in files]
    shown = [(name, p) for name, p in named if not any(part.startswith(".") for part in name.split("/"))]
    if not shown:
        raise BadInput(f"{folder}: no files to digest")
    return digest_of([[name, digest_file(path)] for name, path in shown])


def model_digest(folder: Path | str) -> tuple[str, str]:
    """(weights and config digest, tokenizer digest) of a saved model folder; the second is "" without a tokenizer."""
    folder = Path(folder)
    files = sorted(p for p in folder.glob("*") if p.is_file() and not p.name.startswith("."))
    weights = [p for p in files if p.suffix == ".safetensors" or p.name in ("config.json", "adapter_config.json")]
    words = ("token", "vocab", "merges", "chat_template", "special_tokens", "added_tokens")
    tokenizer = [p for p in files if any(word in p.name for word in words)]
    if not any(p.suffix == ".safetensors" for p in weights):
        raise BadInput(f"{folder}: no *.safetensors weights; expected a folder written by save_pretrained")
    digest = digest_of([[p.name, digest_file(p)] for p in weights])
    return digest, digest_of([[p.name, digest_file(p)] for p in tokenizer]) if tokenizer else ""


def digest_rows(items: Iterable[Item]) -> str:
    """SHA-256 over the items' own digests in order: what `data` in a manifest and the guard compare."""
    return digest_of([item.digest for item in items])


@lru_cache(maxsize=512)
def _tree(source: str) -> str:
    """Syntax tree of a module's text without docstrings; kept, as one request asks for the same few files often."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def source_digest(*paths: Path | str) -> str:
    """SHA-256 of Python files' syntax trees without docstrings: comments, layout and docstrings do not count."""
    trees = []
    for path in paths:
        try:
            trees.append([Path(path).name, _tree(Path(path).read_text(encoding="utf-8"))])
        except FileNotFoundError:
            raise BadInput(f"{path}: no such file") from None
        except SyntaxError as error:
            raise BadInput(f"{path}:{error.lineno}: {error.msg}") from None
    return digest_of(sorted(trees))


def run_key(
    config: Mapping[str, Any],
    *,
    data: Mapping[str, str],
    base: str,
    method: str,
    trainer_version: int | str,
    teachers: Mapping[str, str] | None = None,
) -> str:
    """Key of one training run: equal keys mean equal results are expected.

    config: resolved settings (JSON-serialisable); data: name -> row digest; base, teachers: model digests;
    method: `source_digest` of the method. The commit is recorded in the manifest but never keyed.
    """
    return digest_of(
        {
            "config": dict(config),
            "data": dict(data),
            "base": base,
            "teachers": dict(teachers or {}),
            "method": method,
            "trainer_version": str(trainer_version),
        }
    )
