"""The decoding loop shared by engines that give logits: left-padded blocks into one KV cache, row by row streams."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from creditbench.errors import BadInput
from creditbench.sampling.draws import Streams, pick
from creditbench.sampling.types import Generation, Ids, SamplingParams, check_batch

_Turn = tuple[list[int], list[float], Literal["stop", "length"]]


class Cache(Protocol):
    """Keys and values of B rows; columns are shared, so a row that had no token for a column has a hole there."""

    def append(self, ids_BW: Tensor, valid_BW: Tensor, holes: bool) -> Tensor:
        """Append W columns and return the logits (B, V), float32 or wider, of the last one.

        `valid_BW` is False at holes, which no later token sees; `holes` says whether there are any at all.
        """
        ...

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows only, in this order."""
        ...


class CachedSession:
    """`Session` on a KV cache. Nothing is ever prefilled twice: each turn appends what is new.

    A row that ended its turn is frozen (holes in its columns); once no more than half of the rows are still
    sampling in a single-turn session, the others are dropped from the cache.
    """

    def __init__(self, cache: Cache, rows: int, params: SamplingParams, stops: Collection[int], device: torch.device):
        self._cache, self._params, self._stops, self._device = cache, params, frozenset(stops), device
        self._open = list(range(rows))
        self._rows = rows
        self._pending: list[list[int]] = [[] for _ in range(rows)]

    def extend(self, blocks: Sequence[Ids | None], seeds: Sequence[int]) -> list[Generation | None]:
        """See `Session.extend`."""
        return self._extend(blocks, seeds, last=False)

    def finish(self, blocks: Sequence[Ids | None], seeds: Sequence[int]) -> list[Generation | None]:
        """Like `extend`, for a turn after which the session is not used again: finished rows may be dropped."""
        return self._extend(blocks, seeds, last=True)

    def _extend(self, blocks: Sequence[Ids | None], seeds: Sequence[int], last: bool) -> list[Generation | None]:
        if len(blocks) != self._rows:
            raise BadInput(f"blocks: expected one per row ({self._rows}), got {len(blocks)}")
        check_batch([block for block in blocks if block is not None], [0] * sum(b is not None for b in blocks))
        live = [row for row, block in enumerate(blocks) if block is not None]
        if not set(live) <= set(self._open):
            raise BadInput("blocks: a closed row got a block")
        if live != self._open:
            position = {row: i for i, row in enumerate(self._open)}
            if live:
                self._cache.select([position[row] for row in live])
            self._open = live
        if not live:
            return [None] * self._rows
        ids, valid, holes = self._block([self._pending[row] + list(blocks[row] or ()) for row in live])
        with torch.inference_mode():
            logits_BV = self._cache.append(ids, valid, holes)
            turns = self._decode(logits_BV, [seeds[row] for row in live], last)
        answers: list[Generation | None] = [None] * self._rows
        for row, (tokens, logps, reason) in zip(live, turns, strict=True):
            answers[row] = Generation(tuple(tokens), tuple(logps), reason)
            self._pending[row] = tokens[-1:]  # sampled, but not yet in the cache
        return answers

    def _block(self, rows: list[list[int]]) -> tuple[Tensor, Tensor, bool]:
        width = max(map(len, rows))
        ids = torch.tensor([[0] * (width - len(r)) + r for r in rows], dtype=torch.long, device=self._device)
        n_B = torch.tensor([len(r) for r in rows], device=self._device)
        valid = torch.arange(width, device=self._device)[None, :] >= width - n_B[:, None]
        return ids, valid, any(len(r) < width for r in rows)

    def _decode(self, logits_BV: Tensor, seeds: list[int], last: bool) -> list[_Turn]:
        B = len(seeds)
        streams = Streams(seeds)
        tokens: list[list[int]] = [[] for _ in range(B)]
        columns: list[tuple[list[int], Tensor]] = []
        reasons: list[Literal["stop", "length"]] = ["length"] * B
        batch = list(range(B))  # row of the turn that each row of the cache belongs to
        alive = [True] * B  # by row of the cache
        seen_BV = torch.zeros_like(logits_BV, dtype=torch.bool) if self._params.presence_penalty else None
        for n in range(self._params.max_new_tokens):
            uniform_B = streams.at(n)
            ids_B, logp_B = pick(logits_BV, uniform_B if len(batch) == B else uniform_B[batch], self._params, seen_BV)
            if seen_BV is not None:
                seen_BV.scatter_(1, ids_B[:, None], True)
            columns.append((batch, logp_B))
            for i, token in enumerate(ids_B.tolist()):
                if alive[i]:
                    tokens[batch[i]].append(token)
                    if token in self._stops:
                        alive[i] = False
                        reasons[batch[i]] = "stop"
            n_alive = sum(alive)
            if n_alive == 0 or n + 1 == self._params.max_new_tokens:
                break
            if last and n_alive * 2 <= len(batch):
                keep = [i for i, is_alive in enumerate(alive) if is_alive]
                self._cache.select(keep)
                batch, alive, ids_B = [batch[i] for i in keep], [True] * len(keep), ids_B[keep]
                seen_BV = None if seen_BV is None else seen_BV[keep]
            frozen = n_alive < len(batch)
            valid_B = torch.tensor(alive, device=self._device)
            logits_BV = self._cache.append(ids_B[:, None], valid_B[:, None], frozen)
        logps: list[list[float]] = [[] for _ in range(B)]
        for n, (rows, logp_B) in enumerate(columns):
            for row, logp in zip(rows, logp_B.tolist(), strict=True):
                if n < len(tokens[row]):
                    logps[row].append(logp)
        return list(zip(tokens, logps, reasons, strict=True))
