r"""Prompts of the math benchmarks: `boxed`, `answer-line` (plain text), `chat`, `chat-answer-line` (messages).

Wording is ours; what it asks for (a box, or a last line `Answer: ...`) is the published format. A chat prompt goes
through the model's own template, where the protocol's `thinking` flag is applied. Teachers see the same prompt with a
hint: a solution, a sampled response or the answer stands between the problem and the instruction; a guide stands in the
system turn, before the student's own user turn. A header hint is the literal line `[Student response]` after the bare
problem, without chat markup (CAST's appendix, read literally); its ablation has the answer under `[Reference solution]`
before that line.
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
CHECK_ONLY = "Use it only to check your result, and write out the whole solution yourself."
GUIDED = (
    "Below is {what}. Use it as a guide to a line of reasoning: follow it where it is sound, check every step "
    "yourself, and do not copy its wording.\n\n### {title}\n\n{text}\n\n### End\n\n"
    "Write your own solution from the start."
)


def render(item: Item, protocol: EvalProtocol, hint: Hint | None = None) -> str | Messages:
    """The prompt of one problem. Raises BadInput for an unknown protocol or a hint that has nothing to show."""
    if protocol.prompt not in PROTOCOLS:
        raise unknown("prompt", protocol.prompt, PROTOCOLS, "protocol")
    chat, instruction = PROTOCOLS[protocol.prompt]
    if hint is not None and hint.kind in ("header", "answer-header"):
        return headed(item, hint)
    if hint is not None and is_guide(hint, chat):
        return framed(f"{item.problem}\n\n{instruction}", protocol, chat, guide=guide_text(GUIDED, hint))
    shown = "" if hint is None else f"\n\n{hint_text(item, hint)}"
    return framed(f"{item.problem}{shown}\n\n{instruction}", protocol, chat)


def headed(item: Item, hint: Hint) -> str:
    """CAST's teacher prompts, word by word: problem and header, in the ablation the gold answer between them."""
    about = hint.item or item
    if hint.kind == "answer-header" and not about.answer:
        raise BadInput(f"item {about.id!r}: a hint of kind {hint.kind!r} has no content to show")
    reference = f"{REFERENCE_HEADER}\n{about.answer}\n\n" if hint.kind == "answer-header" else ""
    return f"{item.problem}\n\n{reference}{STUDENT_HEADER}\n"


def framed(text: str, protocol: EvalProtocol, chat: bool, guide: str = "") -> str | Messages:
    """A whole request as messages, or as plain text; the protocol's system prompt comes first where there is one.

    guide: what a teacher reads in the system turn, after the protocol's own words.
    """
    if not chat:
        return f"{protocol.system}\n\n{text}\n\n" if protocol.system else f"{text}\n\n"
    instructions = "\n\n".join(part for part in (protocol.system, guide) if part)
    system: Messages = [{"role": "system", "content": instructions}] if instructions else []
    return [*system, {"role": "user", "content": text}]


def is_guide(hint: Hint, chat: bool) -> bool:
    """Whether a hint stands in the system turn: a response given as guidance, in a prompt that has such a turn."""
    return chat and hint.guide and hint.kind == "rollout" and hint.completion is not None


def guide_text(form: str, hint: Hint) -> str:
    """A guide around a response, which is called correct only when it is."""
    assert hint.completion is not None
    what, title = ("a correct solution", "Reference solution") if hint.solved else ("another attempt", "Attempt")
    return form.format(what=f"{what} to the user's problem", title=title, text=hint.completion.text)


def hint_text(item: Item, hint: Hint) -> str:
    """What a teacher is shown beside the problem. Raises BadInput for a hint without content."""
    about = hint.item or item
    if hint.kind == "rollout" and hint.completion is not None:
        about_it = "A response that reached the correct answer" if hint.solved else "Another response to this problem"
        return f"{about_it}:\n\n{hint.completion.text}\n\n{OWN_WORDS}"
    if hint.kind == "solution" and about.solution:
        return f"A reference solution:\n\n{about.solution}\n\n{OWN_WORDS}"
    if hint.kind == "answer" and about.answer:
        return f"The correct answer is {about.answer}.\n\n{CHECK_ONLY}"
    raise BadInput(f"item {about.id!r}: a hint of kind {hint.kind!r} has no content to show")
