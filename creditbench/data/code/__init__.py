"""Code benchmarks: rows of every schema, converted once; one loader, one renderer, grading in the box.

A benchmark's `task.py` is one line on `code_task`; everything else stands in its card.
"""

from creditbench.data.code.task import CodeTask, code_task

__all__ = ["CodeTask", "code_task"]
