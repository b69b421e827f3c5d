"""Suites: one YAML file per experiment, checked on reading and resolved to single jobs. Floor 3.

load_suite(name_or_path) -> Suite
resolve(suite, arm, track, seed) -> RunSpec            resolve_eval(..., label) -> EvalSpec
make_request(config) -> Request                        what `--config suite= methods= seeds= rerun=` asks for
"""

from creditbench.suite.arms import BASE, Arm, parse_arm
from creditbench.suite.load import layers, load_suite, needs_teacher, resolve_protocol, suite_names, suites_dir
from creditbench.suite.resolve import (
    EvalSpec,
    ModelSpec,
    RunSpec,
    data_key,
    model_spec,
    models_of,
    prompt_shape,
    read_spec,
    resolve,
    resolve_eval,
    run_digest,
    track_of,
)
from creditbench.suite.schema import DataRef, EvalRef, ModelRef, Resources, Suite, Track
from creditbench.suite.select import Evaluation, Request, Run, make_request

__all__ = [
    "BASE", "Arm", "DataRef", "EvalRef", "EvalSpec", "Evaluation", "ModelRef", "ModelSpec", "Request", "Resources",
    "Run", "RunSpec", "Suite", "Track", "data_key", "layers", "load_suite", "make_request", "model_spec",
    "models_of", "needs_teacher", "parse_arm", "prompt_shape", "read_spec", "resolve", "resolve_eval",
    "resolve_protocol", "run_digest", "suite_names", "suites_dir", "track_of",
]  # fmt: skip
