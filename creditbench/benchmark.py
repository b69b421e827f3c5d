"""The contract a benchmark (or training set) fulfils, and the registry that discovers `benchmarks/`.

A benchmark is a folder with `card.yaml` (data) and `task.py` (functions):

    load(split, options) -> list[Item]                      frozen items; options are the suite's (seed, n, ...)
    render(item, protocol, hint=None) -> str | list[dict]   plain text, or chat messages for the tokenizer's template
    grade(items, completions, protocol) -> list[Graded]     same order and length; one typed outcome each
    environment() -> Environment                            agents only
    answer_span(text) -> (conclude, start, end) | None      characters where the response concludes and where its own
                                                            final answer starts and ends (OAR, GRAIL)
    corpus(phase, n, rng) -> list[list[Segment]]            tracks whose base model is trained here
    missing(options) -> str | None                          what has to be placed on this machine first and is not here;
                                                            for data that no hub id or file list of the card names
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from creditbench.errors import BadInput, nearest, unknown
from creditbench.items import Completion, Graded, Hint, Item

Segment = tuple[Literal["env", "model"], str]
Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Step:
    """What an environment answers to one action; `valid` is False for an action it does not know."""

    observation: str
    reward: float = 0.0
    done: bool = False
    valid: bool = True
    info: Mapping[str, Any] | None = None


class Environment(Protocol):
    """A multi-turn task. Replays exactly from (item, seed, actions).

    Optional attributes: `admissible`, the actions it accepts now, and `deadline_s`, within which it promises to answer
    or raise (it bounds its own steps; see `creditbench.envs`).
    """

    def reset(self, item: Item, seed: int) -> str:
        """Start an episode and return the first observation ("" when the prompt already says it all)."""
        ...

    def step(self, action: str) -> Step:
        """Take one action."""
        ...


class Window(BaseModel):
    """Dates (ISO, both ends inclusive) of the items that count."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    start: str | None = None
    end: str | None = None


class EvalProtocol(BaseModel):
    """How a benchmark is run. Every field enters the result key; the guard compares them field by field."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    k: int = Field(8, ge=1)
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0, description="0 keeps the whole vocabulary")
    max_new_tokens: int = Field(..., ge=1, description="cap per turn")
    max_turns: int = Field(1, ge=1)
    prompt: str = "plain"
    system: str = ""
    thinking: bool = False
    grader: str = "default"
    window: Window = Window()


class GraderId(BaseModel):
    """Which rule grades, and its version: both are part of every result's key."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    version: str


class BenchmarkCard(BaseModel):
    """`card.yaml` of a benchmark. `data` holds source facts (hub id, revision, licence, release date, ...)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    title: str
    version: str
    kind: Literal["single-turn", "agent"] = "single-turn"
    role: Literal["benchmark", "training-set", "both"] = "benchmark"
    grader: GraderId
    graders: list[str] | None = Field(
        None, description="graders that can read its responses; null: its task's own `graders`, else every math grader"
    )
    protocol: EvalProtocol
    splits: dict[str, dict[str, Any]] = Field(default_factory=dict, description="split -> n, digest, options")
    chance: float | None = Field(None, description="score of a blind guess, 0..1")
    data: dict[str, Any] = Field(default_factory=dict)
    base: dict[str, Any] | None = Field(None, description="recipe of the base and teacher trained on corpus()")
    notes: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class Benchmark:
    """A registered benchmark: its card and its functions."""

    name: str
    folder: Path
    card: BenchmarkCard
    load: Callable[[str, Mapping[str, Any]], list[Item]]
    render: Callable[..., str | Messages]
    grade: Callable[[Sequence[Item], Sequence[Completion], EvalProtocol], list[Graded]]
    environment: Callable[[], Environment] | None = None
    answer_span: Callable[[str], tuple[int, int, int] | None] | None = None
    corpus: Callable[..., list[list[Segment]]] | None = None
    module: ModuleType | None = None

    def prompt(self, item: Item, protocol: EvalProtocol, hint: Hint | None = None) -> str | Messages:
        """Render `item` for a student (`hint` None) or for a teacher that sees `hint`."""
        return self.render(item, protocol, None if hint is None or hint.kind == "problem" else hint)


def repo_root() -> Path:
    """The folder that holds `methods/` and `benchmarks/`: the current folder's nearest such parent, else ours."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "methods").is_dir() and (folder / "benchmarks").is_dir():
            return folder
    return Path(__file__).resolve().parents[1]


def private_transcripts(name: str, root: Path | None = None) -> str:
    """Why completions of benchmark `name` must not be published, "" when they may (`data.transcripts: private`).

    An unknown benchmark has no such rule here: its records come from elsewhere.
    """
    home = root or repo_root()
    if name not in benchmark_names(home):
        return ""
    data = get_benchmark(name, home).card.data
    return str(data.get("licence") or "its terms") if data.get("transcripts") == "private" else ""


def read_yaml(path: Path) -> Any:
    """Parse a YAML file; a missing or malformed one is a `BadInput` that names it."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def validated(model: type[BaseModel], data: Any, where: str) -> Any:
    """Validate `data` by a pydantic model; one problem becomes one `BadInput` line, an unknown key before all others.

    A misspelt key is reported as such, not as the field that is missing because of it.
    """
    if not isinstance(data, Mapping):
        raise BadInput(f"{where}: expected a mapping of fields, got {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = error.errors()
        first = next((problem for problem in found if problem["type"] == "extra_forbidden"), found[0])
        field = ".".join(str(part) for part in first["loc"]) or "(top level)"
        if first["type"] == "extra_forbidden":
            names = _fields_at(model, first["loc"][:-1])
            raise BadInput(f"{where}: unknown key {field!r}{nearest(str(first['loc'][-1]), names)}") from None
        got = first.get("input")
        shown = "" if first["type"] == "missing" else f", got {got!r}"[:120]
        raise BadInput(f"{where}: field {field}: {first['msg']}{shown}") from None


def _fields_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """Names of the fields of the sub-model that `path` leads to (best effort; the top level's otherwise)."""
    current: Any = model
    for part in path:
        field = getattr(current, "model_fields", {}).get(str(part))
        candidates = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if models:
            current = models[0]
    return list(getattr(current, "model_fields", {}))


def load_module(path: Path, name: str) -> ModuleType:
    """Import one file of a plug-in folder under a private module name; its folder is importable beside it."""
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=None)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        raise BadInput(f"{path}: {type(error).__name__} on import: {error}") from error
    return module


def plugin_names(folder: Path, file: str) -> list[str]:
    """Names of the sub-folders of `folder` that hold `file`; a leading underscore hides a folder."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if (p / file).is_file() and not p.name.startswith("_"))


def benchmark_names(root: Path | None = None) -> list[str]:
    """Names of all registered benchmarks and training sets."""
    return plugin_names((root or repo_root()) / "benchmarks", "card.yaml")


def get_benchmark(name: str, root: Path | None = None) -> Benchmark:
    """Load benchmark `name`. Raises BadInput for an unknown name, a malformed card or a missing function."""
    return _get_benchmark(name, (root or repo_root()).resolve())


@lru_cache(maxsize=64)
def _get_benchmark(name: str, root: Path) -> Benchmark:
    folder = root / "benchmarks" / name
    if not re.fullmatch(r"[a-z0-9_]+", name) or not (folder / "card.yaml").is_file():
        raise unknown("benchmark", name, benchmark_names(root))
    card = validated(BenchmarkCard, read_yaml(folder / "card.yaml"), str(folder / "card.yaml"))
    module = load_module(folder / "task.py", f"creditbench_benchmarks_{name}")
    missing = [f for f in ("load", "render", "grade") if not callable(getattr(module, f, None))]
    if missing:
        raise BadInput(f"{folder / 'task.py'}: function {missing[0]!r} is missing")
    if card.kind == "agent" and not callable(getattr(module, "environment", None)):
        raise BadInput(f"{folder / 'task.py'}: an agent benchmark needs a function 'environment'")
    optional = {f: getattr(module, f, None) for f in ("environment", "answer_span", "corpus")}
    return Benchmark(name, folder, card, module.load, module.render, module.grade, module=module, **optional)
