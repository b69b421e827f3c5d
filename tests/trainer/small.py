"""A results folder to train in: a suite of one tiny_math track and its random base model."""

from __future__ import annotations

from pathlib import Path

from creditbench.basemodel import build_model
from creditbench.suite import load_suite, models_of

TRACK = """
tracks:
  math:
    base: {random: {hidden: 32, layers: 2, ffn: 64, heads: 2, kv_heads: 1, head_dim: 16}}
    train: {benchmark: tiny_math, split: train}
    eval:
      - {benchmark: tiny_math, split: test, options: {n: 4}, protocol: {k: 1}}
    settings: {max_new_tokens: 12, reward: random}
"""


def results_for(folder: Path, suite: str) -> Path:
    """Write the text, whose name is `suite`, with the track above, make the models in `folder`, and return it."""
    (folder / "suite.yaml").write_text(suite + TRACK)
    for model in models_of(load_suite(str(folder / "suite.yaml")), "math"):
        build_model(model, folder)
    return folder
