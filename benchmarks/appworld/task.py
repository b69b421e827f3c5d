"""AppWorld: the real package in its own environment and box, its tasks from a local folder; no task text is kept."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from creditbench.benchmark import EvalProtocol, Messages, Step
from creditbench.envs import Served, open_pool
from creditbench.envs.box import box_words
from creditbench.envs.tasks import grade_game, last_action_span, render_rules
from creditbench.errors import BadInput, unknown
from creditbench.items import Completion, Graded, Hint, Item, digest_text
from creditbench.records.digests import digest_file

# Tasks of each official split. Of train and dev two sizes are in use: AppWorld's own 105 and 60, and the 90 and 57 that
# SC-GRPO (2606.18810) trained on and, by its pass@8, scored.
SPLITS = {"train": (105, 90), "dev": (60, 57), "test_normal": (168,), "test_challenge": (417,)}
OPTIONS = ("n",)
RULES = """You help a person by writing Python programs that call the interfaces of their apps. Each turn, answer with \
one program between <code> and </code>; its printed output is shown to you. Names stay defined from turn to turn.
apis.api_docs.show_app_descriptions(), apis.api_docs.show_api_descriptions(app_name=...) and \
apis.api_docs.show_api_doc(app_name=..., api_name=...) tell what there is. Passwords are in \
apis.supervisor.show_account_passwords(). When the task is done call apis.supervisor.complete_task(), with answer=... \
when something was asked. You have {turns} programs.

"""
_CODE = re.compile(r"<code>(.*?)(?:</code>|\Z)", re.DOTALL)
_FENCE = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


def root() -> Path:
    """AppWorld's root folder. Raises BadInput, saying what to download, when its tasks are not there."""
    base = os.environ.get("CREDITBENCH_DATA", "")
    folder = Path(base) / "appworld"
    if not base or not (folder / "data" / "tasks").is_dir():
        where = str(folder / "data") if base else "$CREDITBENCH_DATA/appworld/data"
        raise BadInput(
            f"appworld: the tasks are not in {where}: download them with "
            "`APPWORLD_ROOT=$CREDITBENCH_DATA/appworld .venv-appworld/bin/appworld download data`"
        )
    return folder


def missing(options: Mapping[str, Any]) -> str | None:
    """What to download first, or None."""
    try:
        root()
    except BadInput as error:
        return str(error)
    return None


def load(split: str, options: Mapping[str, Any]) -> list[Item]:
    """Tasks of an official split, in its order. Option: `n` (first n). Raises BadInput without the data."""
    for key in options:
        if key not in OPTIONS:
            raise unknown("option", key, OPTIONS, "appworld")
    if split not in SPLITS:
        raise unknown("split", split, SPLITS, "appworld")
    data = root() / "data"
    names = [line.strip() for line in (data / "datasets" / f"{split}.txt").read_text(encoding="utf-8").split("\n")]
    names = [name for name in names if name]
    if len(names) not in SPLITS[split] or len(set(names)) != len(names):
        sizes = " or ".join(map(str, SPLITS[split]))
        raise BadInput(f"{data}/datasets/{split}.txt: {len(names)} tasks, the official split has {sizes}")
    return [_item(name, data / "tasks" / name) for name in names[: options.get("n")]]


def _item(name: str, folder: Path) -> Item:
    """An item holds ids and a digest: the text of a task is protected and stays in the data folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digest = digest_text("\n".join(f"{path.relative_to(folder).as_posix()} {digest_file(path)}" for path in files))
    return Item(name, name, meta={"task": name, "scenario": name.rpartition("_")[0], "sha256": digest})


def read_program(text: str) -> str:
    """The program of a turn: the last <code> part, else the last fenced block, else the whole turn."""
    found = _CODE.findall(text) or _FENCE.findall(text) or [text]
    return found[-1].strip()


def render(item: Item, protocol: EvalProtocol, hint: Hint | None = None) -> str | Messages:
    """The rules (the task is in the first observation) as text (`plain`) or as chat messages (`chat`)."""
    return render_rules("appworld", RULES, item, protocol, hint)


def world_changes() -> dict[str, Any]:
    """The box that the world runs in, with the data readable. Raises BadInput without data, Refused without a box."""
    folder = root()
    return {"wrap": box_words("appworld", readable=[folder / "data"], writable_memory=[folder]), "environ": {
        "APPWORLD_ROOT": str(folder), "APPWORLD_CACHE": "/tmp/appworld", "HOME": "/tmp",
    }}  # fmt: skip


class Environment(Served):
    """One task, the action being the program in the model's turn."""

    def __init__(self) -> None:
        super().__init__(open_pool("appworld"))

    def step(self, action: str) -> Step:
        """Run the program found in the model's turn."""
        return super().step(read_program(action))


environment, answer_span = Environment, last_action_span


def grade(items: Sequence[Item], completions: Sequence[Completion], protocol: EvalProtocol) -> list[Graded]:
    """Correct is a task declared complete whose own tests all pass; the scenario goes into the detail, for SGC."""
    return [_grade(item, completion) for item, completion in zip(items, completions, strict=True)]


def _grade(item: Item, completion: Completion) -> Graded:
    graded = grade_game(completion, 0.0)
    said = {key: completion.info[key] for key in ("completed", "passes", "failures") if key in completion.info}
    detail = {**graded.detail, **said, "scenario": item.meta["scenario"]}
    program = None if graded.extracted is None else read_program(_last(completion))
    verdict = graded.verdict if graded.outcome != "correct" else "all tests pass"
    return Graded(graded.outcome, graded.reward, program, verdict, detail)


def _last(completion: Completion) -> str:
    return [turn.text for turn in completion.turns if turn.role == "model"][-1]
