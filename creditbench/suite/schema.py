"""The suite file as frozen models: what is trained, on what, and how it is judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Seed = Annotated[int, Field(ge=0, strict=True)]


class Frozen(BaseModel):
    """A config object: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataRef(Frozen):
    """One split of a registered benchmark or training set; `options` go to its `load`, `protocol` overrides the card's.

    Of a training set's protocol only what shapes the prompt may be overridden; sampling is the settings' business.
    """

    benchmark: str
    split: str
    options: dict[str, Any] = Field(default_factory=dict)
    protocol: dict[str, Any] = Field(default_factory=dict)


class EvalRef(DataRef):
    """A split that is evaluated; `name` is its name in folders and tables."""

    name: str = Field("", description="the benchmark's own name when empty")

    @property
    def label(self) -> str:
        """Name in folders and tables."""
        return self.name or self.benchmark


class ModelRef(Frozen):
    """Where a model comes from: exactly one of `recipe`, `hub`, `path`, `random`.

    recipe: benchmark whose card holds the recipe of a model pretrained in the pipeline; hub: repository id with a
    commit in `revision` (or `unresolved`); path: a folder of `save_pretrained`; random: sizes of an untrained model.
    """

    recipe: str | None = None
    hub: str | None = None
    revision: str | None = None
    path: str | None = None
    random: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> ModelRef:
        given = [name for name in ("recipe", "hub", "path", "random") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of recipe, hub, path, random; got {', '.join(given) or 'none'}")
        if (self.hub is None) != (self.revision is None):
            raise ValueError("hub and revision go together: the commit that is meant, or `unresolved`")
        return self


class Resources(Frozen):
    """What one job may use; read by cluster executors, `gpus` also by the local scheduler.

    A training job starts one process per accelerator (`torchrun`); `shard` deals the policy over them (FSDP2). On a
    cluster `gpus` counts those of all its `nodes`. None of this is part of a run's identity.
    """

    threads: int = Field(1, ge=1)
    mem_mb: int = Field(2000, ge=1)
    runtime: int = Field(60, ge=1, description="minutes")
    gpus: int = Field(0, ge=0)
    nodes: int = Field(1, ge=1, description="machines of a training job; more than one needs Slurm")
    shard: bool = Field(False, description="deal the policy's weights over the processes (FSDP2)")

    @model_validator(mode="after")
    def _dealt_evenly(self) -> Resources:
        if self.nodes > 1 and (self.gpus == 0 or self.gpus % self.nodes):
            raise ValueError(f"gpus: {self.gpus} cannot be dealt to {self.nodes} nodes evenly")
        return self


class Verdicts(Frozen):
    """How tables judge: the equivalence margin in score points of 0..1, the level, the reported tables compared."""

    margin: float = Field(0.03, gt=0, lt=1)
    alpha: float = Field(0.05, gt=0, lt=1)
    reported: list[str] = Field(default_factory=list, description="`<paper>[:<table>]` of results/reported")
    rows: dict[str, str] = Field(
        default_factory=dict, description="reported row (`method / variant`, as in the CSV) -> the arm it is about"
    )


class Tables(Frozen):
    """What the tables show; `headline` is the metric that ranks, with `k` standing for the protocol's k."""

    metrics: list[str] = Field(default_factory=lambda: ["avg@k", "pass@k"], min_length=1)
    headline: str = "avg@k"
    allow: list[str] = Field(default_factory=list, description="guarded fields that may differ, printed as footnotes")
    figures: bool = True
    html: bool = True

    @model_validator(mode="after")
    def _headline_listed(self) -> Tables:
        if self.headline not in self.metrics:
            raise ValueError(f"headline {self.headline!r} is not one of metrics {self.metrics}")
        return self


class Track(Frozen):
    """A base model, a training set and benchmarks: within a track, arms can be compared."""

    base: ModelRef
    teacher: ModelRef | None = Field(None, description="external teacher (OPD); null where the track has none")
    train: DataRef
    dev: DataRef | None = Field(None, description="where hyper-parameters are chosen; never the test split")
    eval: list[EvalRef] = Field(min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    skip_arms: dict[str, str] = Field(default_factory=dict, description="arm -> why it is not run here")

    @model_validator(mode="after")
    def _distinct(self) -> Track:
        labels = [ref.label for ref in self.eval]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"eval: {twice[0]!r} appears twice; give one of them a `name` of its own")
        if self.dev is not None and any(_same(self.dev, ref) for ref in self.eval):
            raise ValueError("dev: is also evaluated; hyper-parameters must not be chosen on test problems")
        return self


def _same(a: DataRef, b: DataRef) -> bool:
    return (a.benchmark, a.split, a.options) == (b.benchmark, b.split, b.options)


class Suite(Frozen):
    """`workflows/suites/<name>.yaml`: one experiment."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    class_: Literal["tiny", "real"] = Field(alias="class")
    description: str
    seeds: list[Seed] = Field(min_length=1)
    arms: list[str] = Field(min_length=1, description="method[@variant][+placebo]; `base` is only evaluated")
    settings: dict[str, Any] = Field(default_factory=dict, description="training settings common to all arms")
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict, description="method or arm -> settings")
    tracks: dict[str, Track] = Field(min_length=1)
    resources: dict[Literal["base", "train", "evaluate", "tables"], Resources] = Field(default_factory=dict)
    verdicts: Verdicts = Field(default_factory=lambda: Verdicts.model_validate({}))
    tables: Tables = Field(default_factory=lambda: Tables.model_validate({}))
    assumed: dict[str, str] = Field(
        default_factory=dict, description="setting the paper does not state -> our choice and the reason"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Suite:
        listed: dict[str, list[Any]] = {"seeds": self.seeds, "arms": self.arms}
        for field, values in listed.items():
            twice = [value for value in values if values.count(value) > 1]
            if twice:
                raise ValueError(f"{field}: {twice[0]!r} is listed twice")
        return self

    def resources_of(self, stage: Literal["base", "train", "evaluate", "tables"]) -> Resources:
        """What one job of a stage may use."""
        return self.resources.get(stage) or Resources.model_validate({})
