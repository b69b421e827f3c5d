"""WebShop on our own engine (`creditbench.shop`): buy a product that fits an instruction, page by page, as text.

The catalogue is ours by default; `catalogue: official-1k` or `official-full` reads the official files from
`$CREDITBENCH_DATA/webshop`. Grading replays the episode's actions, so stored completions can be graded again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from creditbench.benchmark import EvalProtocol, Messages, Step
from creditbench.envs.tasks import render_rules
from creditbench.errors import BadInput, unknown
from creditbench.items import Completion, Graded, Hint, Item, canonical_json
from creditbench.shop import Catalogue, Goal, Session, Shop, missing_file, open_catalogue, read_action, replay
from creditbench.shop.policies import scripted_actions

OPTIONS: dict[str, Any] = {"catalogue": "own", "seed": 0, "goals": "human"}
STEP_LIMIT = 100  # the protocol's max_turns ends episodes earlier; this only bounds a runaway caller

RULES = """You shop in a web store. The customer's request stands after 'Instruction:'. Each turn shows one page as \
text; [SEP] separates its parts. Answer with one action, alone on the last line:
search[words] looks for products, from any page;
click[value] presses a button, a product code or an option of the page shown.
Choose every option the customer names, then click[buy now]. Only a purchase earns anything; you have {turns} actions.

"""
HINTS = {
    "rollout": "These actions bought the right product before:\n{text}\n\n",
    "attempt": "These actions were tried before:\n{text}\n\n",
    "solution": "One way to buy the right product:\n{text}\n\n",
    "header": "Consider the request carefully.\n\n",
}


def missing(options: Mapping[str, Any]) -> str | None:
    """Which official file is not here, or None."""
    return missing_file(str(options.get("catalogue", "own")))


def load(split: str, options: Mapping[str, Any]) -> list[Item]:
    """Goals of a split. Options: `n` (first n), `catalogue`, `seed` (generator or prices), `goals` (official only)."""
    for key in options:
        if key not in (*OPTIONS, "n"):
            raise unknown("option", key, (*OPTIONS, "n"), "webshop")
    spec = {key: options.get(key, default) for key, default in OPTIONS.items()}
    catalogue = _catalogue(canonical_json(spec))
    goals = catalogue.split(split)[: options.get("n")]
    if not goals:
        raise BadInput(f"webshop: split {split!r} of {catalogue.name} is empty ({len(catalogue.goals)} goals in all)")
    return [_item(goal, spec, catalogue) for goal in goals]


def _item(goal: Goal, spec: dict[str, Any], catalogue: Catalogue) -> Item:
    solution = ""
    if spec["catalogue"] == "own":
        shop = _shop(canonical_json(spec))
        actions = scripted_actions(shop, goal)
        if actions and replay(shop, goal, 0, actions)[-1].reward == 1.0:
            solution = "\n".join(actions)
    meta = {"goal": goal.to_json(), "catalogue": spec, "catalogue_digest": catalogue.digest}
    return Item(goal.id, goal.instruction, solution=solution, meta=meta)


@lru_cache(maxsize=4)
def _catalogue(spec: str) -> Catalogue:
    options = json.loads(spec)
    return open_catalogue(options["catalogue"], int(options["seed"]), options["goals"])


@lru_cache(maxsize=2)
def _shop(spec: str) -> Shop:
    return Shop(_catalogue(spec), max_steps=STEP_LIMIT)


def render(item: Item, protocol: EvalProtocol, hint: Hint | None = None) -> str | Messages:
    """The rules (the request is in the first observation) as text (`plain`) or as chat messages (`chat`)."""
    return render_rules("webshop", RULES, item, protocol, hint, HINTS)


class Environment:
    """One shopper's episode over the item's catalogue."""

    session: Session

    def reset(self, item: Item, seed: int) -> str:
        """Open the shop on its search page."""
        shop = _shop(canonical_json(item.meta["catalogue"]))
        if shop.catalogue.digest != item.meta["catalogue_digest"]:
            raise BadInput(f"webshop: item {item.id} was made from another catalogue ({shop.catalogue.name})")
        self.session = shop.start(Goal.from_json(item.meta["goal"]), seed)
        return self.session.observation

    def step(self, action: str) -> Step:
        """Take the action found in the model's turn."""
        observation, reward, done, info = self.session.step(read_action(action))
        return Step(observation, reward, done, bool(info["valid"]), info)


environment = Environment


def grade(items: Sequence[Item], completions: Sequence[Completion], protocol: EvalProtocol) -> list[Graded]:
    """Replay each episode: correct is a purchase with reward exactly 1.0; no purchase earns 0 and counts."""
    return [_grade(item, completion) for item, completion in zip(items, completions, strict=True)]


def _grade(item: Item, completion: Completion) -> Graded:
    actions = [t.text for t in completion.turns if t.role == "model"]
    if completion.finish_reason == "error":
        return Graded("error", 0.0, verdict=str(completion.info.get("error", "environment failed")))
    env = Environment()
    env.reset(item, 0)
    steps = [env.step(action) for action in actions]
    reward = steps[-1].reward if steps else 0.0
    invalid = sum(not s.valid for s in steps)
    detail = {"turns": len(steps), "invalid": invalid, "purchased": env.session.page == "done"}
    extracted = read_action(actions[-1]) if actions else None
    if reward != completion.reward:
        return Graded("error", reward, extracted, f"replay gives {reward}, recorded {completion.reward}", detail)
    if detail["purchased"]:
        verdict = "bought" if reward == 1.0 else "bought something else"
        return Graded("correct" if reward == 1.0 else "wrong", reward, extracted, verdict, detail)
    if invalid == len(steps):
        return Graded("unparsed", 0.0, extracted, "no valid action", detail)
    return Graded(
        "truncated" if completion.finish_reason == "length" else "wrong", 0.0, extracted, "no purchase", detail
    )


def answer_span(text: str) -> tuple[int, int, int] | None:
    """(conclude, start, end) of the final action: the last line of the joined turns (our reading of OAR for agents)."""
    stripped = text.rstrip()
    start = stripped.rfind("\n") + 1
    return (start, start, len(stripped)) if start < len(stripped) else None
