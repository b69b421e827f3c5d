"""Prompts of the code benchmarks: `plain` (text) and `chat` (messages).

The wording is ours; the format asked for is the published one (one fenced block, starter code where there is some).
"""

from __future__ import annotations

from creditbench.benchmark import EvalProtocol, Messages
from creditbench.data.code.grade import tests_of
from creditbench.data.prompts import OWN_WORDS, STUDENT_HEADER, framed, guide_text, is_guide
from creditbench.errors import BadInput, unknown
from creditbench.items import Hint, Item

PROTOCOLS = ("plain", "chat")
STDIN = (
    "Write a Python 3 program that reads standard input and prints the answer to standard output. Think first; end "
    "with the whole program in one block:\n\n```python\n# your program\n```"
)
STARTER = "Complete this Python code, keeping its names. Think first; end with the whole code in one block:\n\n"
GUIDED = (
    "Below is {what}. Take it as a guide to an algorithm: adopt its strategy if that is sound, but neither its names "
    "nor its layout, and think of the edge cases yourself.\n\n### {title}\n\n{text}\n\n### End\n\n"
    "Now write your own program from scratch."
)
SHOWN_TESTS, SHOWN_CHARS = 3, 400


def render(item: Item, protocol: EvalProtocol, hint: Hint | None = None) -> str | Messages:
    """The prompt of one problem. Raises BadInput for an unknown protocol or a hint that has nothing to show."""
    if protocol.prompt not in PROTOCOLS:
        raise unknown("prompt", protocol.prompt, PROTOCOLS, "protocol")
    if hint is not None and hint.kind == "header":
        return f"{item.problem}\n\n{STUDENT_HEADER}\n"
    chat = protocol.prompt == "chat"
    guide = guide_text(GUIDED, hint) if hint is not None and is_guide(hint, chat) else ""
    shown = "" if hint is None or guide else f"\n\n{_hint(item, hint)}"
    starter = str(item.meta.get("starter") or "")
    asked = f"{STARTER}```python\n{starter.rstrip()}\n```" if starter else STDIN
    return framed(f"{item.problem}{shown}\n\n{asked}", protocol, chat, guide)


def _few_tests(item: Item) -> str:
    """The first short tests of an item (of its half), the nearest thing to an answer that a program has.

    Without short ones the shortest, cut.
    """
    tests = tests_of(item)[0]
    short = [t for t in tests if max(len(t.input), len(t.output)) <= SHOWN_CHARS]
    chosen = short[:SHOWN_TESTS] or sorted(tests, key=lambda t: len(t.input) + len(t.output))[:1]
    shown = [(t.input.strip()[:SHOWN_CHARS], t.output.strip()[:SHOWN_CHARS]) for t in chosen]
    return "\n\n".join(f"Input:\n{given}\nOutput:\n{wanted}" for given, wanted in shown)


def _hint(item: Item, hint: Hint) -> str:
    about = hint.item or item
    if hint.kind == "rollout" and hint.completion is not None:
        about_it = "A response whose program passed the tests" if hint.solved else "Another response to this problem"
        return f"{about_it}:\n\n{hint.completion.text}\n\n{OWN_WORDS}"
    if hint.kind == "solution" and about.solution:
        return f"A reference solution:\n\n```python\n{about.solution.rstrip()}\n```\n\n{OWN_WORDS}"
    if hint.kind == "answer" and (shown := _few_tests(about)):
        return f"Some of the tests that the program must pass:\n\n{shown}\n\n{OWN_WORDS}"
    raise BadInput(f"item {about.id!r}: a hint of kind {hint.kind!r} has no content to show")
