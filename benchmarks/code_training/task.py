"""Training problems for code: contest problems with tests, decontaminated by the option `against`."""

from creditbench.data.code import code_task

load, render, grade, answer_span, sandbox_mode, graders = code_task(__file__)
