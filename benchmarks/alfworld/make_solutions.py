"""Write solutions.json: the engine's own plan for every published problem. Run when rooms.py or the engine changes.

python benchmarks/alfworld/make_solutions.py
"""

from __future__ import annotations

import json
from pathlib import Path

from creditbench.benchmark import get_benchmark
from creditbench.envs import open_pool


def main() -> None:
    """Solve every problem once."""
    task = get_benchmark("alfworld").module
    assert task is not None
    plans = {}
    for split, n in task.OWN.items():
        for item in task.own_items(split, n):
            plans[item.id] = open_pool("alfworld").call("solve", 300.0, meta=dict(item.meta))
            print(item.id, len(plans[item.id]), flush=True)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(plan)}" for name, plan in plans.items())
    Path(__file__).with_name("solutions.json").write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
