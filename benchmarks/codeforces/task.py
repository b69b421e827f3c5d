"""Codeforces: contest problems with checkers, judged in the box; sources, limits and rules stand in the card."""

from creditbench.data.code import code_task

load, render, grade, answer_span, sandbox_mode, graders = code_task(__file__)
