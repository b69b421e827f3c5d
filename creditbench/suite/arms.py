"""Arms: `method[@variant][+placebo]`, and the settings an arm resolves to (precedence: `creditbench.settings`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from creditbench.benchmark import validated
from creditbench.errors import BadInput, unknown
from creditbench.records.paths import split_arm
from creditbench.settings import TrainSettings

BASE = "base"
TRAINER_KEYS = frozenset(TrainSettings.model_fields) - {"method"}


class Arm(NamedTuple):
    """One row of a table, taken apart."""

    name: str
    method: str
    variant: str
    placebo: str


def parse_arm(name: str, where: str = "") -> Arm:
    """Take an arm apart and check every part against the registry. Raises BadInput with the nearest valid name."""
    prefix = f"{where}: " if where else ""
    if not isinstance(name, str):
        raise BadInput(f"{prefix}arm {name!r}: expected text such as 'grpo' or 'oar_g@b', got {type(name).__name__}")
    try:
        arm = Arm(name, *split_arm(name))
    except BadInput as error:
        raise BadInput(f"{prefix}{error}") from None
    if arm.method == BASE:
        if name != BASE:
            raise BadInput(f"{prefix}arm {name!r}: the untrained base has no variants and no placebos")
        return arm
    from creditbench.method import MATCHED, get_method, method_names

    if arm.method not in method_names():
        raise unknown("method", arm.method, [*method_names(), BASE], where)
    card = get_method(arm.method).card
    if arm.variant == MATCHED and card.unmatched:
        raise BadInput(f"{prefix}arm {name!r}: {arm.method} has no matched view: {card.unmatched}")
    if arm.variant and arm.variant not in card.variants:
        raise unknown(f"variant of {arm.method}", arm.variant, card.variants, where)
    if arm.placebo and arm.placebo not in card.placebos:
        raise unknown(f"placebo of {arm.method}", arm.placebo, card.placebos, where)
    return arm


def resolve_settings(arm: Arm, layers: Mapping[str, Mapping[str, Any]], suite_class: str, where: str) -> TrainSettings:
    """Merge settings for one arm: suite < track < card defaults < variant < per-arm overrides.

    The matched view takes the trainer's settings from the suite alone, as GRPO does: the card's defaults for them
    (CAST masks truncated responses) are part of `as-published`.

    layers: `settings`, `track` (trainer's keys only) and `override` (trainer's and the method's keys), as the suite
    file has them. Raises BadInput for an unknown key, naming `where` and the nearest known one.
    """
    from creditbench.method import MATCHED, SLOTS, get_method

    registered = get_method(arm.method)
    card = registered.card
    source = str(registered.folder / "card.yaml")
    own_keys = frozenset({*card.own_settings, SLOTS})
    defaults = dict(dict(card.defaults).get(suite_class, {}))  # pyright: ignore
    if arm.variant == MATCHED:
        defaults = {key: value for key, value in defaults.items() if key not in TRAINER_KEYS}
    ordered = [
        (layers.get("settings", {}), f"{where}: settings", TRAINER_KEYS),
        (layers.get("track", {}), f"{where}: settings of the track", TRAINER_KEYS),
        (defaults, f"{source}: defaults.{suite_class}", TRAINER_KEYS | own_keys),
        (card.variants.get(arm.variant, {}), f"{source}: variants.{arm.variant}", TRAINER_KEYS | own_keys),
        (layers.get("override", {}), f"{where}: overrides of {arm.name}", TRAINER_KEYS | own_keys),
    ]
    merged: dict[str, Any] = {}
    for values, origin, known in ordered:
        check_keys(values, known, origin)
        merged.update(values)
    own = {key: setting.paper for key, setting in card.own_settings.items()}
    own.update({key: value for key, value in merged.items() if key in own_keys})
    trainer = {key: value for key, value in merged.items() if key in TRAINER_KEYS}
    return validated(TrainSettings, {**trainer, "method": own}, f"{where}: settings of arm {arm.name}")


def check_keys(values: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """Raise BadInput for the first key that is not a setting."""
    for key in values:
        if key not in known:
            raise unknown("setting", str(key), known, where)
