r"""Prompts of the math benchmarks: `boxed`, `answer-line` (plain text), `chat`, `chat-answer-line` (messages).

Wording is ours; what it asks for (a box, or a last line `Answer: ...`) is the published format. A chat prompt goes
through the model's own template, where the protocol's `thinking` flag is applied. Teachers see the same prompt with a
hint: a solution, a sampled response or the answer stands between the problem and the instruction. A header hint is the
literal line `[Student response]` after the bare problem, without chat markup (CAST's appendix, read literally); its
ablation has the answer under `[Reference solution]` before that line.
"""

from __future__ import annotations

from creditbench.benchmark import EvalProtocol, Messages
from creditbench.errors import BadInput, unknown
from creditbench.items import Hint, Item

BOX = "Reason step by step and put your final answer within \\boxed{}."
LINE = 'Reason step by step. Write your final answer on the last line, after "Answer:".'
PROTOCOLS = {"boxed": (False, BOX), "answer-line": (False, LINE), "chat": (True, BOX), "chat-answer-line": (True, LINE)}
STUDENT_HEADER, REFERENCE_HEADER = "[Student response]", "[Reference solution]"
OWN_WORDS = "Understand it, then solve the problem again in your own words."


def render(item: Item, protocol: EvalProtocol, hint: Hint | None = None) -> str | Messages:
    """The prompt of one problem. Raises BadInput for an unknown protocol or a hint that has nothing to show."""
    if protocol.prompt not in PROTOCOLS:
        raise unknown("prompt", protocol.prompt, PROTOCOLS, "protocol")
    chat, instruction = PROTOCOLS[protocol.prompt]
    if hint is not None and hint.kind in ("header", "answer-header"):
        return headed(item, hint)
    shown = "" if hint is None else f"\n\n{hint_text(item, hint)}"
    return framed(f"{item.problem}{shown}\n\n{instruction}", protocol, chat)


def headed(item: Item, hint: Hint) -> str:
    """CAST's teacher prompts, word by word: problem and header, in the ablation the gold answer between them."""
    about = hint.item or item
    if hint.kind == "answer-header" and not about.answer:
        raise BadInput(f"item {about.id!r}: a hint of kind {hint.kind!r} has no content to show")
    reference = f"{REFERENCE_HEADER}\n{about.answer}\n\n" if hint.kind == "answer-header" else ""
    return f"{item.problem}\n\n{reference}{STUDENT_HEADER}\n"


def framed(text: str, protocol: EvalProtocol, chat: bool) -> str | Messages:
    """A whole request as messages, or as plain text; the protocol's system prompt comes first where there is one."""
    if not chat:
        return f"{protocol.system}\n\n{text}\n\n" if protocol.system else f"{text}\n\n"
    system: Messages = [{"role": "system", "content": protocol.system}] if protocol.system else []
    return [*system, {"role": "user", "content": text}]


def hint_text(item: Item, hint: Hint) -> str:
    """What a teacher is shown beside the problem. Raises BadInput for a hint without content."""
    about = hint.item or item
    if hint.kind == "rollout" and hint.completion is not None:
        about_it = "A response that reached the correct answer" if hint.solved else "Another response to this problem"
        return f"{about_it}:\n\n{hint.completion.text}\n\n{OWN_WORDS}"
    if hint.kind == "solution" and about.solution:
        return f"A reference solution:\n\n{about.solution}\n\n{OWN_WORDS}"
    if hint.kind == "answer" and about.answer:
        return f"The correct answer is {about.answer}.\n\n{OWN_WORDS}"
    raise BadInput(f"item {about.id!r}: a hint of kind {hint.kind!r} has no content to show")
