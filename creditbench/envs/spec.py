"""Where a benchmark's world runs: `data.environment` of its card, the virtual environment, a served address."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from creditbench.benchmark import BenchmarkCard, benchmark_names, get_benchmark, read_yaml, repo_root, validated
from creditbench.envs.pool import Pool
from creditbench.envs.wire import WorldSpec
from creditbench.errors import BadInput, unknown

WORLD = "world.py"


class EnvironmentCard(BaseModel):
    """`data.environment` of a benchmark card: the virtual environment (a name of requirements/agents.sh) and bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    venv: str
    packages: dict[str, str] = Field(description="package -> version that the results belong to")
    start_s: float = Field(60.0, gt=0)
    step_s: float = Field(20.0, gt=0)
    reply_bytes: int = Field(1 << 18, gt=0)
    step_cap: int = Field(100, ge=1)


def served_names(root: Path | None = None) -> list[str]:
    """Benchmarks whose world runs in a process of its own."""
    home = root or repo_root()
    return [name for name in benchmark_names(home) if (home / "benchmarks" / name / WORLD).is_file()]


def environment_card(name: str, root: Path | None = None) -> EnvironmentCard:
    """The world's part of a benchmark card. Raises BadInput for a name without one."""
    home = root or repo_root()
    if name not in served_names(home):
        raise unknown("environment", name, served_names(home))
    path = home / "benchmarks" / name / "card.yaml"
    card = validated(BenchmarkCard, read_yaml(path), str(path))
    return validated(EnvironmentCard, card.data.get("environment"), f"{path}: data.environment")


def venv_python(name: str, root: Path | None = None) -> Path:
    """The interpreter of a world's virtual environment, whether it is there or not."""
    home = root or repo_root()
    venvs = Path(os.environ.get("CREDITBENCH_VENVS", home))
    return venvs / f".venv-{environment_card(name, home).venv}" / "bin" / "python"


def world_spec(name: str, root: Path | None = None, **changes: Any) -> WorldSpec:
    """How to run the world of benchmark `name`.

    `$CREDITBENCH_ENV_<NAME>` (what `creditbench env serve` prints) takes a served world; otherwise the interpreter is
    that of `.venv-<venv>` below `$CREDITBENCH_VENVS` or the project. Raises BadInput when it is not installed.
    """
    home = root or repo_root()
    card = environment_card(name, home)
    address = os.environ.get(f"CREDITBENCH_ENV_{name.upper()}", "")
    python = venv_python(name, home)
    if not address and not python.is_file():
        raise BadInput(f"environment {name}: no {python}; make it with: sh requirements/agents.sh {card.venv}")
    fields = {
        "start_s": card.start_s, "step_s": card.step_s, "reply_bytes": card.reply_bytes, "step_cap": card.step_cap,
        "processes": int(os.environ.get("CREDITBENCH_ENV_PROCESSES", "1")), "address": address,
    }  # fmt: skip
    return WorldSpec(name, home / "benchmarks" / name / WORLD, str(python), **(fields | changes))


@lru_cache(maxsize=16)
def _pool(spec_key: str, name: str, root: Path) -> Pool:
    environment_card(name, root)
    # A world that runs the model's programs has its task say how: `world_changes()` gives fields of the spec (a box).
    changes = getattr(get_benchmark(name, root).module, "world_changes", dict)()
    pool = Pool(world_spec(name, root, **changes))
    check_versions(name, pool, root)
    return pool


def open_pool(name: str, root: Path | None = None) -> Pool:
    """The running world of a benchmark, started at the first call and checked against the card's versions."""
    home = (root or repo_root()).resolve()
    key = os.environ.get(f"CREDITBENCH_ENV_{name.upper()}", "") + "\n" + os.environ.get("CREDITBENCH_VENVS", "")
    return _pool(key, name, home)


def check_versions(name: str, pool: Pool, root: Path | None = None) -> None:
    """Raises BadInput when the world has another version of a package than the card states."""
    wanted, found = environment_card(name, root).packages, pool.facts().get("packages", {})
    for package, version in wanted.items():
        if found.get(package) != version:
            there = found.get(package, "no version")
            raise BadInput(f"environment {name}: has {package} {there}, results belong to {version}")
