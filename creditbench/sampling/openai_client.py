"""Sampling from any OpenAI-compatible server, one request and one seed per sample.

A server that honours per-request seeds returns k equal samples when k requests repeat one seed (lm-eval's client does);
here every request carries its own (the low 31 bits: servers disagree about wider ones). Plain prompts go to
`/completions`, chat messages to `/chat/completions`. `OpenAIEngine` puts a server behind the engine interface: prompts
as token ids, ids read back where the server sends them (vLLM's `return_token_ids`), else encoded from the text.
Log-likelihoods of given continuations are read from the echoed prompt, where the server offers that.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from creditbench.errors import BadInput
from creditbench.items import Completion
from creditbench.sampling.resend import ResendSession
from creditbench.sampling.types import Generation, Ids, SamplingParams, check_batch

RETRIES = 5
_RETRY_STATUS = (408, 409, 425, 429, 500, 502, 503, 504)
_LARGEST_SEED = 2**31 - 1


class Likelihood(NamedTuple):
    """Of a continuation: the sum of its tokens' log-probabilities in nats, and whether each was the likeliest."""

    logp: float
    greedy: bool


class OpenAIClient:
    """A server at `base_url` (".../v1") and a model name. The key is read from the variable `key_variable`, if set."""

    def __init__(
        self,
        base_url: str,
        model: str,
        concurrency: int = 16,
        timeout_s: float = 600.0,
        key_variable: str = "OPENAI_API_KEY",
        extra: Mapping[str, Any] | None = None,
        backoff_s: float = 1.0,
    ):
        if not base_url.startswith(("http://", "https://")):
            raise BadInput(f"base_url: expected http://... or https://..., got {base_url!r}")
        if concurrency < 1:
            raise BadInput(f"concurrency: expected at least 1, got {concurrency}")
        self.base_url, self.model, self.concurrency = base_url.rstrip("/"), model, concurrency
        self.timeout_s, self.backoff_s, self.extra = timeout_s, backoff_s, dict(extra or {})
        self._key = os.environ.get(key_variable, "")

    def complete(self, prompts: Sequence[Any], seeds: Sequence[int], params: SamplingParams) -> list[Completion]:
        """One completion per prompt (text, token ids, or chat messages), in order, each with its own seed.

        A request that fails for good ends as a completion with finish reason `error`; the others are kept. Raises
        BadInput when two requests with the same prompt carry the same seed.
        """
        check_batch(prompts, seeds)
        bodies = [self._body(p, s, params) for p, s in zip(prompts, seeds, strict=True)]
        keyed = [json.dumps(body, sort_keys=True) for _, body in bodies]
        if len(set(keyed)) != len(keyed):
            raise BadInput("seeds: two samples of one prompt share a seed; they would be copies of each other")
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(lambda request: self._one(*request), bodies))

    def loglikelihoods(self, prompts: Sequence[Ids], continuations: Sequence[Ids]) -> list[Likelihood]:
        """log P(continuation | prompt) at temperature 1 for each pair, both as token ids, in order.

        Raises BadInput for an empty side, and with the server's own words where it gives no log-probs of a prompt.
        """
        if len(prompts) != len(continuations):
            raise BadInput(f"continuations: expected one per prompt ({len(prompts)}), got {len(continuations)}")
        for name, side in (("prompts", prompts), ("continuations", continuations)):
            if any(len(ids) == 0 for ids in side):
                raise BadInput(f"{name}: expected at least one token in each")
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(self._likelihood, prompts, continuations))

    def _likelihood(self, prompt: Ids, continuation: Ids) -> Likelihood:
        ids = [*(int(i) for i in prompt), *(int(i) for i in continuation)]
        body = {"model": self.model, "prompt": ids, "max_tokens": 0, "echo": True, "logprobs": 1, "temperature": 1.0}
        none = f"{self.base_url}: no log-likelihoods from this server"
        try:
            reply = self._post("/completions", {**body, **self.extra})
        except _Failed as error:
            raise BadInput(f"{none}: {error}") from None
        try:
            told = reply["choices"][0]["logprobs"]
            logps = [float(x) for x in told["token_logprobs"][1:]]
            best = [max(map(float, at.values())) for at in told["top_logprobs"][1:]]
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise BadInput(f"{none}: no log-probs of the prompt") from None
        if not len(logps) == len(best) == len(ids) - 1:
            raise BadInput(f"{none}: {len(logps) + 1} log-probs for {len(ids)} tokens")
        n = len(continuation)
        return Likelihood(math.fsum(logps[-n:]), all(a >= b for a, b in zip(logps[-n:], best[-n:], strict=True)))

    def _body(self, prompt: Any, seed: int, params: SamplingParams) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "model": self.model,
            "max_tokens": params.max_new_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "seed": int(seed) & _LARGEST_SEED,
            "n": 1,
            "stream": False,
            **({"top_k": params.top_k} if params.top_k else {}),
            **({"presence_penalty": params.presence_penalty} if params.presence_penalty else {}),
            **self.extra,
        }
        if len(prompt) and isinstance(prompt[0], Mapping):
            return "/chat/completions", body | {"messages": list(prompt)}
        return "/completions", body | {"prompt": prompt if isinstance(prompt, str) else [int(i) for i in prompt]}

    def _one(self, path: str, body: dict[str, Any]) -> Completion:
        try:
            reply = self._post(path, body)
            return _completion(reply)
        except _Failed as error:
            return Completion("", 0, "error", info={"error": str(error)})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST with retries on overload and broken connections; raises _Failed with the server's own words."""
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = json.dumps(body).encode()
        reason = ""
        for attempt in range(RETRIES):
            if attempt:
                time.sleep(self.backoff_s * 2 ** (attempt - 1))
            request = urllib.request.Request(self.base_url + path, data=data, headers=headers)
            try:
                with urllib.request.urlopen(request, timeout=self.timeout_s) as reply:
                    return json.loads(reply.read())
            except urllib.error.HTTPError as error:
                reason = f"HTTP {error.code}: {error.read()[:300].decode('utf-8', 'replace')}"
                if error.code not in _RETRY_STATUS:
                    break
            except (OSError, ValueError, http.client.HTTPException) as error:
                reason = f"{type(error).__name__}: {error}"
        raise _Failed(" ".join(reason.split()))


class _Failed(Exception):
    """A request that will not succeed."""


def _completion(reply: Mapping[str, Any]) -> Completion:
    """Read one choice of a reply. Raises _Failed for a reply of another shape."""
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
        raise _Failed(f"expected one choice, got {json.dumps(reply)[:200]}")
    choice = choices[0]
    message = choice.get("message")
    text = choice.get("text", message.get("content") if isinstance(message, Mapping) else None)
    if text is None:
        raise _Failed("the reply holds no text")
    thought = message.get("reasoning_content") if isinstance(message, Mapping) else None
    if thought:  # servers with a reasoning parser cut the block out; graders expect it in place
        text = f"<think>{thought}</think>{text}"
    ids = tuple(int(i) for i in choice.get("token_ids") or ())
    usage = reply.get("usage") or {}
    n_tokens = int(usage.get("completion_tokens") or len(ids))
    finish = "stop" if choice.get("finish_reason") in ("stop", "eos", "eos_token") else "length"
    return Completion(str(text), n_tokens, finish, ids)


class OpenAIEngine:
    """A server as an engine of this suite. `tokenizer` turns text without ids back into ids."""

    name = "openai"
    version = "1"

    def __init__(self, client: OpenAIClient, tokenizer: Any, batch_rows: int = 256):
        self.client, self.tokenizer, self.batch_rows = client, tokenizer, batch_rows

    def generate(self, prompts: Sequence[Ids], seeds: Sequence[int], params: SamplingParams) -> list[Generation]:
        """See `Engine.generate`; log-probabilities are not asked for and are NaN.

        Raises BadInput when the server fails for good: half a batch must not be recorded.
        """
        generations = []
        for done in self.client.complete([list(p) for p in prompts], seeds, params):
            if done.finish_reason == "error":
                raise BadInput(f"{self.client.base_url}: {done.info['error']}")
            ids = done.token_ids or tuple(self.tokenizer.encode(done.text))
            unknown = (math.nan,) * len(ids)
            generations.append(Generation(ids, unknown, "stop" if done.finish_reason == "stop" else "length"))
        return generations

    def session(self, rows: int, params: SamplingParams, capacity: int = 0) -> ResendSession:
        """See `Engine.session`."""
        return ResendSession(self, rows, params)

    def update_weights(self, weights: Any) -> None:
        """A server's weights cannot be changed from here."""
        raise BadInput("engine openai: a server's weights cannot be updated; use it for evaluation only")

    def sleep(self) -> None:
        """Nothing to give back."""

    def wake(self) -> None:
        """Nothing to undo."""
