"""On the PYTHONPATH of the tests' drivers: look at the queue every second.

Snakemake's Slurm plugin waits ten seconds longer each time that no job was over, up to three minutes.
"""

import sys

if "snakemake" in sys.orig_argv and "remote" not in sys.orig_argv:
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    RemoteExecutor.next_seconds_between_status_checks = property(lambda _: 1, lambda *_: None)  # type: ignore[assignment]
