"""Train one run of a small suite. Usage: whole_run.py RESULTS ARM."""

import os
import sys
from pathlib import Path

from creditbench.basemodel import build_model
from creditbench.suite import load_suite, models_of, resolve
from creditbench.trainer import train

SUITE = """\
name: sharded
class: tiny
description: Three steps from a random model in float64.
seeds: [0]
arms: [base, grpo, opsd]
settings: {prompts_per_step: 4, group_size: 4, lr: 1.0e-3, checkpoint_every: 1, dtype: float64, micro_rows: 8}
tracks:
  math:
    base: {random: {hidden: 32, layers: 2, ffn: 64, heads: 2, kv_heads: 1, head_dim: 16}}
    train: {benchmark: tiny_math, split: train}
    eval:
      - {benchmark: tiny_math, split: test, options: {n: 8}, protocol: {k: 2}}
    settings: {steps: 3, max_new_tokens: 12, reward: random}
"""


def main(results: Path, arm: str, **settings: object) -> Path:
    suite_file = results / "sharded.yaml"
    if not suite_file.exists():
        suite_file.write_text(SUITE)
    suite = load_suite(str(suite_file))
    spec = resolve(suite, arm, "math", 0)
    if settings:
        spec = spec.model_copy(update={"settings": spec.settings.model_copy(update=settings)})
    if int(os.environ.get("RANK", "0")) == 0:
        for model in models_of(suite, "math"):
            build_model(model, results)
    return train(spec, results)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), sys.argv[2]))
