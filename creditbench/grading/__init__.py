"""Graders: a completion and a gold answer become one typed outcome. Floor 2.

`get_grader("integer").grade_many(golds, completions, protocol)` gives one `Graded` per completion, in order.
"""

from creditbench.grading.registry import Gold, Grader, get_grader, grader_names

__all__ = ["Gold", "Grader", "get_grader", "grader_names"]
