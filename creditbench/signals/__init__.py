"""The extra passes a method may ask for: declared as data, computed once per rollout batch, detached. Floor 2."""

from creditbench.signals.requests import (
    Entropy,
    Hidden,
    InputGrad,
    NoSignals,
    Perturbed,
    Request,
    SampledLogp,
    Signals,
    TeacherKL,
    TeacherLogp,
)

__all__ = [
    "Entropy", "Hidden", "InputGrad", "NoSignals", "Perturbed", "Request", "SampledLogp", "Signals", "TeacherKL",
    "TeacherLogp",
]  # fmt: skip
