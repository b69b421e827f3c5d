"""What the text games' benchmarks share: prompts, the action of a turn, grading by what the world reported."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from creditbench.benchmark import EvalProtocol, Messages
from creditbench.data.prompts import framed, is_guide
from creditbench.errors import BadInput, unknown
from creditbench.items import Completion, Graded, Hint, Item

HINTS = {
    "rollout": "These actions worked before:\n{text}\n\n",
    "attempt": "These actions were tried before:\n{text}\n\n",
    "solution": "One way to do it:\n{text}\n\n",
    "header": "Consider the task carefully.\n\n",
}
_TAG = re.compile(r"<action>(.*?)</action>", re.DOTALL)


def read_command(text: str) -> str:
    """The action of a turn: the last <action> tag, else the last line that is not empty; one line, outer blanks off."""
    tags = _TAG.findall(text)
    lines = [line.strip() for line in (tags[-1] if tags else text).splitlines() if line.strip()]
    return lines[-1].removeprefix(">").strip() if lines else ""


def render_rules(
    name: str, rules: str, item: Item, protocol: EvalProtocol, hint: Hint | None, hints: Mapping[str, str] = HINTS
) -> str | Messages:
    """The rules with a hint, as text (`plain`) or chat messages (`chat`). `{turns}` in them is the step limit.

    hints: by kind, the words around what a hint shows (`{text}`); `attempt` is for a response that did not succeed.

    Raises BadInput for another prompt, and for a hint that has nothing to show.
    """
    if protocol.prompt not in ("plain", "chat"):
        raise unknown("prompt", protocol.prompt, ("plain", "chat"), f"{name}: protocol.prompt")
    chat, text, shown = protocol.prompt == "chat", rules.replace("{turns}", str(protocol.max_turns)), ""
    if hint is not None:
        body = hint.completion.text if hint.completion is not None else (hint.item or item).solution
        if hint.kind not in hints or (hint.kind != "header" and not body):
            raise BadInput(f"{name}: item {item.id}: a hint of kind {hint.kind!r} has no content to show")
        shown = hints[hint.kind if hint.solved else "attempt"].replace("{text}", body)
    if hint is not None and is_guide(hint, chat):
        return framed(text, protocol, chat, guide=shown.rstrip())
    return framed(text + shown, protocol, chat) if chat else text + shown


def show(observation: str, commands: tuple[str, ...] | list[str], asked: bool) -> str:
    """An observation, with the commands that are possible now when the item asks for them."""
    return f"{observation}\nCommands: {'; '.join(commands)}\n" if asked and commands else f"{observation}\n"


def episode_facts(completion: Completion) -> dict[str, Any]:
    """Turns, invalid actions and restarts of an episode, for a grade's detail."""
    actions = [turn for turn in completion.turns if turn.role == "model"]
    found: dict[str, Any] = {"turns": len(actions), "invalid": sum(not turn.valid for turn in actions)}
    for key in ("restarts", "restart_reason"):
        if key in completion.info:
            found[key] = completion.info[key]
    return found


def grade_game(completion: Completion, reward: float | None = None) -> Graded:
    """One outcome by what the world said last: correct is `won`, and nothing else; `done` alone proves nothing.

    reward: what training sees unless the game is won (default: the normalised score in `info`, else 0).
    """
    info: Mapping[str, Any] = completion.info
    if completion.finish_reason == "error":
        return Graded("error", 0.0, verdict=str(info.get("error", "environment failed")))
    actions = [turn for turn in completion.turns if turn.role == "model"]
    said = ("won", "lost", "score", "max_score")
    detail = episode_facts(completion) | {key: info[key] for key in said if key in info}
    extracted = read_command(actions[-1].text) if actions else None
    if info.get("won") is True:
        return Graded("correct", 1.0, extracted, "won", detail)
    partial = float(info.get("normalised_score", 0.0)) if reward is None else reward
    if detail["invalid"] == len(actions):
        return Graded("unparsed", partial, extracted, "no valid action", detail)
    verdict = "lost" if info.get("lost") is True else "not won"
    return Graded("truncated" if completion.finish_reason == "length" else "wrong", partial, extracted, verdict, detail)


def last_action_span(text: str) -> tuple[int, int, int] | None:
    """(conclude, start, end) of the final action: the last line of the joined turns (our reading of OAR for agents)."""
    stripped = text.rstrip()
    start = stripped.rfind("\n") + 1
    return (start, start, len(stripped)) if start < len(stripped) else None
