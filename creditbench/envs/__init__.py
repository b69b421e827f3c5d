"""Environments that need other dependencies: a world in a process of its own, behind the environment contract."""

from creditbench.envs.client import EnvironmentLost, Served
from creditbench.envs.pool import Pool
from creditbench.envs.serve import serve
from creditbench.envs.spec import environment_card, open_pool, served_names, world_spec
from creditbench.envs.wire import WorldSpec

__all__ = [
    "EnvironmentLost", "Pool", "Served", "WorldSpec", "environment_card", "open_pool", "serve", "served_names",
    "world_spec",
]
