"""LiveCodeBench, code generation: programs judged in the box; files, releases, windows and errata stand in the card."""

from creditbench.data.code import code_task

load, render, grade, answer_span, sandbox_mode, graders = code_task(__file__)
