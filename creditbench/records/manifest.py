"""`manifest.json`: who made a record, from what, with what. It is written last: where it is, the record is whole."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import creditbench
from creditbench.errors import BadInput, CheckFailed, CreditBenchError
from creditbench.items import digest_of
from creditbench.records.atomic import complete, read_json, write_json, write_text
from creditbench.records.digests import digest_file
from creditbench.records.paths import KEPT, MANIFEST, ROLLOUTS

LIBRARIES = (
    "torch", "transformers", "accelerate", "tokenizers", "datasets", "safetensors", "numpy", "pandas", "pyarrow",
    "scipy", "statsmodels", "peft", "trl", "vllm", "math-verify", "lm-eval", "snakemake",
)  # fmt: skip
LOCK_NAMES = ("requirements/lock.txt", "requirements.lock", "requirements-lock.txt", "requirements.txt", "uv.lock")
_SHA = r"^[0-9a-f]{64}$"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Code(_Part):
    """State of the code: package version, git commit ("" outside a git tree), whether the tree had local edits."""

    version: str
    commit: str = ""
    dirty: bool = False


class DataRef(_Part):
    """One data set: where it came from (hub commit, or the seed of a generated one), its row digest, its size."""

    revision: str = ""
    digest: str = Field(pattern=_SHA)
    n: int = Field(ge=0)


class Hardware(_Part):
    """The machine, without its name."""

    machine: str = ""
    system: str = ""
    cpu: str = ""
    cores: int = 0
    memory_gib: int = 0
    accelerators: tuple[str, ...] = ()


class Engine(_Part):
    """Sampling engine and the version of what it runs on."""

    name: str = "raw"
    version: str = ""


class GraderRef(_Part):
    """The rule that graded, and its version."""

    id: str
    version: str


class EvalFacts(_Part):
    """What an evaluation asked for and what it got: the fields that the comparability guard reads."""

    benchmark: str
    label: str = Field("", description="the benchmark's name in folders and tables, when it has another one there")
    benchmark_version: str = ""
    split: str
    options: dict[str, Any] = Field(default_factory=dict, description="what `load` was given (n, window ...)")
    protocol: dict[str, Any] = Field(description="every field of the benchmark's `EvalProtocol`")
    grader: GraderRef
    engine: Engine
    batch: int = Field(ge=1, description="samples per batch: the boundary at which an evaluation resumes")
    prompts_digest: str = Field(pattern=_SHA, description="over the rendered prompts of all problems")
    chance: float | None = None
    n_problems: int = Field(ge=0)
    n_requested: int = Field(ge=0, description="problems x k")
    n_graded: int = Field(ge=0)
    outcomes: dict[str, int] = Field(default_factory=dict)
    identical_rate: float = Field(
        default=0.0, ge=0, le=1, description="share of samples equal to an earlier one of their problem"
    )

    @property
    def error_share(self) -> float:
        """Share of samples that ended in an error of ours."""
        return self.outcomes.get("error", 0) / self.n_graded if self.n_graded else 0.0


class Manifest(_Part):
    """Provenance of one record folder. `digest` covers every other field, `files` every file beside the manifest."""

    schema_version: Literal[1] = 1
    kind: Literal["base", "run", "eval", "data", "table"]
    key: str = ""
    suite: str = ""
    arm: str = ""
    track: str = ""
    seed: int | None = Field(None, ge=0)
    code: Code
    lock_digest: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    config_digest: str = Field(pattern=_SHA)
    data: dict[str, DataRef] = Field(default_factory=dict)
    model_digest: str = Field("", description="weights and config of the model made (run, base) or evaluated (eval)")
    base_digest: str = Field("", description="weights and config of the base model everything started from")
    tokenizer_digest: str = ""
    method_digest: str = ""
    arm_digest: str = Field("", description="what makes an arm's seeds one arm: `guard.arm_digest` of its run")
    trainer_version: str = ""
    hardware: Hardware = Hardware()
    versions: dict[str, str] = Field(default_factory=dict)
    threads: int = Field(1, ge=1)
    determinism: Literal["D0", "D1", "D2", "D3"] = "D0"
    seeds: dict[str, int] = Field(default_factory=dict)
    started: str = ""
    ended: str = ""
    sandbox: str = Field("none", description="mode of the box that untrusted code ran in; `none` when none was needed")
    parents: dict[str, str] = Field(default_factory=dict, description="name -> SHA-256 of the parent's manifest.json")
    files: dict[str, str] = Field(default_factory=dict, description="relative name -> SHA-256 of its bytes")
    eval: EvalFacts | None = None
    notes: tuple[str, ...] = ()
    digest: str = Field(pattern=_SHA)


def now() -> str:
    """The current time in UTC, ISO 8601 to the second."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0).isoformat()


def code_state(root: Path | None = None) -> Code:
    """Version, commit and dirty flag of the code in `root` (the package's own tree by default)."""
    folder = root or Path(__file__).resolve().parents[2]
    commit = _git(folder, "rev-parse", "HEAD")
    dirty = bool(commit) and bool(_git(folder, "status", "--porcelain"))
    return Code(version=creditbench.__version__, commit=commit, dirty=dirty)


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def lock_digest(root: Path | None = None) -> str:
    """SHA-256 of the dependency lock file of `root`; "" when there is none."""
    folder = root or Path(__file__).resolve().parents[2]
    found = [folder / name for name in LOCK_NAMES if (folder / name).is_file()]
    return digest_file(found[0]) if found else ""


def hardware() -> Hardware:
    """The machine this process runs on. Accelerators are named only when torch is already loaded."""
    cpu = platform.processor() or platform.machine()
    with_name = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = [line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")]
    torch = sys.modules.get("torch")
    accelerators: tuple[str, ...] = ()
    if torch is not None and torch.cuda.is_available():
        accelerators = tuple(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return Hardware(
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        cpu=with_name[0].split(":", 1)[1].strip() if with_name else cpu,
        cores=os.cpu_count() or 0,
        memory_gib=round(int(memory[0].split()[1]) / 2**20) if memory else 0,
        accelerators=accelerators,
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def library_versions() -> dict[str, str]:
    """Installed versions of the libraries that can change a result, and of Python."""
    versions = {"python": platform.python_version(), "creditbench": creditbench.__version__}
    for name in LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def thread_count() -> int:
    """Threads that one torch operation may use in this process."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return torch.get_num_threads()
    value = os.environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdigit() and int(value) > 0 else os.cpu_count() or 1


@lru_cache(maxsize=2)
def _environment(with_torch: bool) -> dict[str, Any]:
    """What does not change while a process runs; asked again once torch can name the accelerators."""
    return {
        "code": code_state(),
        "lock_digest": lock_digest(),
        "hardware": hardware(),
        "versions": library_versions(),
    }


def new_manifest(kind: str, *, config: Mapping[str, Any], started: str = "", **fields: Any) -> Manifest:
    """Build a manifest: the environment is collected here, everything else is given in `fields`.

    Raises BadInput naming the first field that does not fit.
    """
    facts: dict[str, Any] = {
        "kind": kind,
        **_environment("torch" in sys.modules),
        "config": dict(config),
        "config_digest": digest_of(dict(config)),
        "threads": thread_count(),
        "started": started or now(),
        "ended": now(),
    }
    facts.update(fields)
    return _sealed(facts, "manifest")


def _sealed(facts: Mapping[str, Any], where: str) -> Manifest:
    try:
        draft = Manifest.model_validate({**facts, "digest": "0" * 64})
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(f"{where}: field {'.'.join(str(p) for p in first['loc'])}: {first['msg']}") from None
    return draft.model_copy(update={"digest": manifest_digest(draft)})


def manifest_digest(manifest: Manifest) -> str:
    """SHA-256 over every field but `digest` itself."""
    return digest_of(manifest.model_dump(mode="json", exclude={"digest"}))


def write_manifest(folder: Path | str, manifest: Manifest, files: Iterable[str] = ()) -> Manifest:
    """Digest the named files of `folder` into the manifest and write it: the last act of making a record."""
    folder = Path(folder)
    digests = {name: digest_file(folder / name) for name in sorted({*files} - {KEPT, MANIFEST})}
    facts = manifest.model_dump(exclude={"digest"}) | {"files": {**manifest.files, **digests}}
    sealed = _sealed(facts, str(folder / MANIFEST))
    for name in (KEPT, MANIFEST):
        write_json(folder / name, sealed.model_dump(mode="json"))
    return sealed


def read_manifest(path: Path | str, check: bool = True) -> Manifest:
    """Read a manifest (file or its folder). Raises BadInput when missing, CheckFailed when damaged or edited."""
    path = Path(path)
    path = path / MANIFEST if path.is_dir() else path
    data = read_json(path)
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckFailed(f"{path}: field {'.'.join(str(p) for p in first['loc'])}: {first['msg']}") from None
    if check and manifest.digest != manifest_digest(manifest):
        raise CheckFailed(
            f"{path}: field digest: does not match the other fields; the manifest was edited after it was written"
        )
    return manifest


def parent_digests(parents: Mapping[str, Path | str]) -> dict[str, str]:
    """name -> SHA-256 of each parent's manifest file, for the `parents` field."""
    found = {name: Path(path) for name, path in parents.items()}
    return {name: digest_file(path / MANIFEST if path.is_dir() else path) for name, path in sorted(found.items())}


def check_files(folder: Path | str, manifest: Manifest) -> list[str]:
    """Problems found when the files beside a manifest are digested again: one line per missing or altered file."""
    folder, problems = Path(folder), []
    for name, digest in sorted(manifest.files.items()):
        if not (folder / name).is_file():
            problems.append(f"{folder / name}: missing, the manifest lists it")
        elif digest_file(folder / name) != digest:
            problems.append(f"{folder / name}: SHA-256 differs from the manifest's")
    return problems


def read_unaltered(folder: Path | str) -> Manifest:
    """The manifest of a record whose files are those it lists. Raises CheckFailed, naming the first that is not."""
    manifest = read_manifest(folder)
    if altered := check_files(folder, manifest):
        raise CheckFailed(f"{altered[0]}; the record was changed after it was made")
    return manifest


SMALL = 4 * 2**20
"""Files up to this many bytes are digested whenever a record is looked at; larger ones are checked for their end."""


def whole(folder: Path | str) -> Manifest | None:
    """The folder's manifest if it is untouched and every file it lists is there and is what it was; None otherwise.

    Cheap enough for every start of the workflow: of large files (weights) the header and the length are compared, kept
    rollouts are only looked for. `check_files` digests everything.
    """
    return _whole(Path(folder), MANIFEST)


def recovered(folder: Path | str) -> Manifest | None:
    """`whole`, after the manifest was put back from its copy where nothing but the manifest is gone or damaged.

    Snakemake removes a job's declared output, the manifest, when the job fails or is to run again: a training job
    that is killed while it evaluates must not lose the run that it has finished.
    """
    folder = Path(folder)
    manifest = whole(folder)
    if manifest is None and (manifest := _whole(folder, KEPT)) is not None:
        write_text(folder / MANIFEST, (folder / KEPT).read_text(encoding="utf-8"))
    return manifest


def _whole(folder: Path, name: str) -> Manifest | None:
    if not (folder / name).is_file():
        return None
    try:
        manifest = read_manifest(folder / name)
        fits = all(_unchanged(folder / name, digest) for name, digest in manifest.files.items())
    except (CreditBenchError, OSError):
        return None
    return manifest if fits else None


def _unchanged(path: Path, digest: str) -> bool:
    if not path.is_file():
        return False
    if path.parent.name == ROLLOUTS:
        return True
    return digest_file(path) == digest if path.stat().st_size <= SMALL else complete(path)
