"""Reads the official WebShop files from a local folder, checked by digest; nothing is downloaded or unpickled.

Sizes: `1k` (items_shuffle_1000.json, items_ins_v2_1000.json) and `full` (items_shuffle.json, items_ins_v2.json), both
with items_human_ins.json. The SHA-256 values are those that public mirrors and three independent re-runs state.

The reference draws range prices and price bounds from the process's random state; here both are fixed by (price seed,
asin) and (price seed, goal id). Goal order is the reference's own: one shuffle seeded with 233, or the ids stored in
`creditbench_splits.json` beside the data.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import product as cartesian
from pathlib import Path
from typing import Any, Literal

from creditbench.errors import BadInput, unknown
from creditbench.shop.catalogue import (
    Catalogue,
    Goal,
    Product,
    official_splits,
    price_bound,
    price_clause,
    unit_draw,
)
from creditbench.shop.generate import own_catalogue

FILES: dict[str, tuple[str, str, str]] = {
    "1k": ("items_shuffle_1000.json", "items_ins_v2_1000.json", "items_human_ins.json"),
    "full": ("items_shuffle.json", "items_ins_v2.json", "items_human_ins.json"),
}
DIGESTS: dict[str, str] = {
    "items_shuffle_1000.json": "30a4765c3a327af72d9a9a95a6b2486d516f0fa1d3ecd83681901ce82a21b269",
    "items_ins_v2_1000.json": "f88a36314a397b53b3d9c3fa5878e5f7b26d35019a51ec83fbedeca61a948f6f",
    "items_shuffle.json": "2ef591d65df3af89e972ab72468eb82cbf124d876552d9f3678667edd620a6c8",
    "items_ins_v2.json": "1d36af476bdb8f82a5da62bd8acdabe54cd8de2fa84010d37da5c4890feb447e",
    "items_human_ins.json": "cf78667548a71786e1d9049c24b802e48e1084ad4bb021cae56ce1f6d96954a3",
}
CATALOGUES = ("own", "official-1k", "official-full")
SPLITS_FILE = "creditbench_splits.json"
DEFAULT_PRICE = 100.0
MAX_ASIN = 10
_CHUNK = 1 << 22
_BLANK = re.compile(r"[ \t\r\n]*")


def load_official(
    folder: str | Path,
    size: Literal["1k", "full"] = "1k",
    goals: Literal["human", "synthetic"] = "human",
    *,
    price_seed: int = 0,
    limit: int | None = None,
    digests: Mapping[str, str] = DIGESTS,
) -> Catalogue:
    """Load products and goals. `limit` keeps the first products of the file, as the reference's num_products does.

    `digests` maps file name to SHA-256; a file without an entry is read unchecked and its digest recorded. Raises
    BadInput for a missing, damaged or differing file, or stored split ids that the goals do not have.
    """
    if size not in FILES or goals not in ("human", "synthetic"):
        raise BadInput(f"webshop: expected size 1k or full and goals human or synthetic, got {size!r} and {goals!r}")
    root = Path(folder)
    found = {name: _check(root / name, digests.get(name)) for name in FILES[size]}
    items_name, attributes_name, human_name = FILES[size]
    attributes = _read_object(root / attributes_name)
    human = _read_object(root / human_name)
    products = tuple(_products(root / items_name, attributes, price_seed, limit))
    make, table = (_human, human) if goals == "human" else (_synthetic, attributes)
    made = list(make(products, table, price_seed))
    if len({g.id for g in made}) != len(made):
        raise BadInput(f"{root}: two goals share an id")
    ids = [g.id for g in made]
    stored = root / SPLITS_FILE
    splits = _stored_splits(stored, set(ids)) if stored.is_file() else official_splits(ids)
    source = {"files": found, "size": size, "goals": goals, "price_seed": price_seed, "limit": limit}
    return Catalogue(f"official-{size}-{goals}", products, tuple(made), splits, source, show_attributes=False)


def open_catalogue(name: str, seed: int = 0, goals: Any = "human") -> Catalogue:
    """Open the catalogue `own`, or `official-1k` / `official-full` from `$CREDITBENCH_DATA/webshop`.

    `seed` is the generator's, or that of prices. Raises BadInput for an unknown name or missing data.
    """
    if name == "own":
        return own_catalogue(seed)
    if name not in CATALOGUES:
        raise unknown("catalogue", name, CATALOGUES, "webshop: option catalogue")
    folder = os.environ.get("CREDITBENCH_DATA", "")
    if not folder:
        raise BadInput(f"webshop: catalogue {name} needs CREDITBENCH_DATA to name the folder that holds webshop/")
    size: Any = name.removeprefix("official-")
    return load_official(Path(folder) / "webshop", size, goals, price_seed=seed)


def missing_file(name: str) -> str | None:
    """Which file of an official catalogue is not on this machine, or None. Names only; loading checks the contents."""
    if name == "own" or name not in CATALOGUES:
        return None
    folder = os.environ.get("CREDITBENCH_DATA", "")
    wanted = [Path(folder) / "webshop" / file for file in FILES[name.removeprefix("official-")]]
    gone = [path for path in wanted if not (folder and path.is_file())]
    where = str(gone[0]) if folder and gone else f"$CREDITBENCH_DATA/webshop/{wanted[0].name}"
    return f"webshop: {where}: no such file (WebShop's data must be placed in this folder by hand)" if gone else None


def store_splits(folder: str | Path, catalogue: Catalogue) -> Path:
    """Write the catalogue's split ids beside the data, so that later loads are bound to them."""
    path = Path(folder) / SPLITS_FILE
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(json.dumps({k: list(v) for k, v in catalogue.splits.items()}, indent=0), encoding="utf-8")
    draft.replace(path)
    return path


def _check(path: Path, expected: str | None) -> str:
    if not path.is_file():
        raise BadInput(f"{path}: no such file (WebShop's data must be placed in this folder by hand)")
    running = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_CHUNK):
            running.update(block)
    actual = running.hexdigest()
    if expected is not None and actual != expected:
        raise BadInput(f"{path}: SHA-256 is {actual}, expected {expected}")
    return actual


def _read_object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from None
    if not isinstance(data, dict):
        raise BadInput(f"{path}: expected an object keyed by asin, got {type(data).__name__}")
    return data


def iterate_array(path: Path, chunk: int = _CHUNK) -> Iterator[Any]:
    """Yield the elements of a JSON array one by one, without holding the file (5.5 GB in full) in memory.

    Reads `chunk` characters at a time. Raises BadInput for anything but one complete array.
    """
    decoder, buffer, at = json.JSONDecoder(), "", 0
    damaged = BadInput(f"{path}: not a complete JSON array")
    with path.open(encoding="utf-8") as handle:

        def token() -> str:
            """The next character that is not blank, or "" at the end of the file."""
            nonlocal buffer, at
            while True:
                at = _BLANK.match(buffer, at).end()  # type: ignore[union-attr]
                if at < len(buffer):
                    return buffer[at]
                buffer, at = handle.read(chunk), 0
                if not buffer:
                    return ""

        if token() != "[":
            raise damaged
        at += 1
        if token() == "]":
            return
        while True:
            while True:
                try:
                    value, end = decoder.raw_decode(buffer, at)
                except ValueError:
                    end = len(buffer)
                if end < len(buffer):
                    break
                # Cut off, or a number that may go on: take as much again, so that long elements stay linear.
                more = handle.read(max(chunk, len(buffer) - at))
                if not more:
                    raise damaged
                buffer, at = buffer[at:] + more, 0
            at = end
            yield value
            following = token()
            if following == "]":
                return
            if following != ",":
                raise damaged
            at += 1
            token()


def _products(path: Path, attributes: dict[str, Any], price_seed: int, limit: int | None) -> Iterator[Product]:
    seen: set[str] = set()
    for number, row in enumerate(iterate_array(path)):
        if limit is not None and number >= limit:
            return
        try:
            asin = row["asin"]
            if asin == "nan" or len(asin) > MAX_ASIN or asin in seen:
                continue
            seen.add(asin)
            yield _product(row, attributes.get(asin, {}), price_seed)
        except (KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"{path}: product {number}: field missing or of another form: {error!r}") from None


def _product(row: dict[str, Any], extra: dict[str, Any], price_seed: int) -> Product:
    prices, tag = parse_pricing(row.get("pricing"), row["asin"])
    low, high = prices[0], prices[-1]
    price = low if len(prices) == 1 else low + (high - low) * unit_draw("range-price", price_seed, row["asin"])
    options: dict[str, tuple[str, ...]] = {}
    for name, contents in (row.get("customization_options") or {}).items():
        if contents is not None:
            options[name.lower()] = tuple(c["value"].strip().replace("/", " | ").lower() for c in contents)
    bullets = row["small_description"]
    return Product(
        asin=row["asin"],
        title=row["name"],
        description=row["full_description"] or "",
        bullets=tuple(b or "" for b in bullets) if isinstance(bullets, list) else (bullets or "",),
        category=row["category"],
        query=row["query"].lower().strip(),
        product_category=row["product_category"],
        attributes=tuple(extra.get("attributes", ["DUMMY_ATTR"])),
        options=tuple(options.items()),
        price=price,
        price_tag=tag,
    )


def parse_pricing(pricing: str | None, asin: str = "?") -> tuple[tuple[float, ...], str]:
    """Return ((price,) or (low, high), the tag shown) for texts like "$9.99" or "$9.99$12.50"; nothing means 100.0."""
    if not pricing:
        return (DEFAULT_PRICE,), f"${DEFAULT_PRICE}"
    try:
        prices = tuple(float(Decimal(re.sub(r"[^\d.]", "", part))) for part in pricing.split("$")[1:])[:2]
    except InvalidOperation:
        prices = ()
    if not prices:
        raise BadInput(f"product {asin}: pricing: expected amounts after dollar signs, got {pricing!r}")
    return prices, " to ".join(f"${p}" for p in prices)


def _human(products: tuple[Product, ...], human: dict[str, Any], price_seed: int) -> Iterator[Goal]:
    for product in products:
        for number, row in enumerate(human.get(product.asin, [])):
            if row["instruction_attributes"]:
                options = row["instruction_options"]
                values = options.values() if isinstance(options, dict) else options
                attributes, text = row["instruction_attributes"], row["instruction"].strip(".")
                yield _goal(f"human-{product.asin}-{number}", product, text, attributes, tuple(values), price_seed)


def _synthetic(products: tuple[Product, ...], attributes: dict[str, Any], price_seed: int) -> Iterator[Goal]:
    for product in products:
        extra = attributes.get(product.asin, {})
        if extra.get("instruction") is None:
            continue
        options = sorted(product.options)
        for number, values in enumerate(cartesian(*(choices for _, choices in options))):
            shown = ", and ".join(f"{name}: {value}" for (name, _), value in zip(options, values, strict=True))
            text = extra["instruction"] + (f" with {shown}" if shown else "")
            wanted = extra["instruction_attributes"]
            yield _goal(f"synthetic-{product.asin}-{number}", product, text, wanted, values, price_seed)


def _goal(
    goal_id: str, product: Product, text: str, attributes: list[str], options: tuple[str, ...], seed: int
) -> Goal:
    bound = price_bound(product.price, seed, goal_id)
    return Goal(
        id=goal_id,
        asin=product.asin,
        instruction=text + price_clause(bound),
        name=product.title,
        query=product.query,
        product_category=product.product_category,
        attributes=tuple(attributes),
        options=tuple(options),
        price_upper=bound,
    )


def _stored_splits(path: Path, ids: set[str]) -> dict[str, tuple[str, ...]]:
    stored = _read_object(path)
    for name, members in stored.items():
        missing = [i for i in members if i not in ids]
        if missing or len(set(members)) != len(members):
            what = f"unknown goal {missing[0]!r}" if missing else "an id twice"
            raise BadInput(f"{path}: split {name}: {what} ({len(ids)} goals loaded)")
    return {name: tuple(members) for name, members in stored.items()}
