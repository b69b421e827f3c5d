"""Evaluate one model on one benchmark: render, sample k per problem, grade, record.

Generation and grading are separate steps: `grade_samples` and `regrade` grade stored completions without a model.
Work is cut at fixed batches of samples in problem order; finished batches wait in a private folder, so that a killed
evaluation resumes there and ends in the same bytes.
"""

from creditbench.evaluator.grade import grade_samples, grader_matrix, regrade
from creditbench.evaluator.plan import grader_of, load_items, resolve_protocol
from creditbench.evaluator.record import coordinates, identical_rate, summarise
from creditbench.evaluator.run import evaluate

__all__ = [
    "coordinates",
    "evaluate",
    "grade_samples",
    "grader_matrix",
    "grader_of",
    "identical_rate",
    "load_items",
    "regrade",
    "resolve_protocol",
    "summarise",
]
