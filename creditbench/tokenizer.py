"""The tiny tracks' one vocabulary, and one small interface over every tokenizer.

The vocabulary is word-level: single characters, and frequent words of the three tracks (Python and shop words), so
that texts are short, and every text over its characters survives encode and decode unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from creditbench.errors import BadInput
from creditbench.items import digest_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RustTokenizer

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"
HEADER = "§"
"""Stands for a literal header that says nothing about the answer (CAST's teacher context)."""

_CHARACTERS = "\n 0123456789+-*/%=<>()[],:#?!.'_|" + HEADER + "abcdefghijklmnopqrstuvwxyz" + "ABCDEFGHQ"
_READ = "int(input()) list(map(int,input().split())) print("
_PYTHON = "int input print split map list for in if else sum max min len abs def return == != <= >= += -= *= //"
_SPEC = "add sub mul mod double square neg abs max min keep odd even over sum count first last if"
_SHOP = "buy under red blue green black white pink grey brown hat shirt shoe bag lamp chair desk cup mug sock coat bike"
_SIZES = "small medium large"
_ACTIONS = "search[ click[ next prev buy small medium large"


def vocabulary() -> tuple[str, ...]:
    """All symbols in id order: specials, characters, words. Spec and shop words carry their leading space."""
    spaced = [" " + word for word in f"{_SPEC} {_SHOP} {_SIZES} for in else".split()]
    words = list(dict.fromkeys(f"{_READ} {_PYTHON} {_ACTIONS}".split() + spaced))
    return (PAD, EOS, UNK, *_CHARACTERS, *words)


def vocabulary_digest() -> str:
    """SHA-256 of the vocabulary; part of every tiny model's key."""
    return digest_of(list(vocabulary()))


@lru_cache(maxsize=1)
def tiny_backend() -> RustTokenizer:
    """The vocabulary as a `tokenizers.Tokenizer`."""
    import re

    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    symbols = vocabulary()
    words = sorted((s for s in symbols[3:] if len(s) > 1), key=lambda s: (-len(s), s))
    pattern = "|".join([re.escape(word) for word in words] + [r"[\s\S]"])
    tokenizer = Tokenizer(models.WordLevel({symbol: i for i, symbol in enumerate(symbols)}, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in (PAD, EOS, UNK)])
    return tokenizer


def save_tiny(folder: Path) -> None:
    """Write the vocabulary as `PreTrainedTokenizerFast.save_pretrained` does (tokenizer.json and its config)."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tiny_backend(),
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )
    fast.save_pretrained(str(folder))


class TextTokenizer(Protocol):
    """What the suite needs of a tokenizer."""

    pad_id: int
    eos_id: int
    vocab_size: int

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; no special token is added, and none is read out of the text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        ...

    def encode_prompt(self, rendered: Any, observation: str = "", thinking: bool | None = None) -> list[int]:
        """Ids of a rendered prompt (text or chat messages) with a first observation at its end.

        thinking: the mode a chat template opens the response in; None is the mode the tokenizer was loaded for.
        """
        ...

    def encode_observation(self, text: str, ended: bool = True) -> list[int]:
        """Ids to append between two turns of the model; `ended` says whether its turn closed with an end token."""
        ...


class PlainTokenizer:
    """A saved `tokenizer.json` without chat template: prompts are plain text. Loads without transformers."""

    def __init__(self, backend: RustTokenizer, pad: str = PAD, eos: str = EOS, strict: bool = True):
        self._backend, self._strict = backend, strict
        self._backend.encode_special_tokens = True
        pad_id, eos_id, self._unk_id = (backend.token_to_id(s) for s in (pad, eos, UNK))
        if pad_id is None or eos_id is None:
            raise BadInput(f"tokenizer: expected special tokens {pad!r} and {eos!r} in the vocabulary")
        self.pad_id, self.eos_id = pad_id, eos_id
        self.vocab_size = backend.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """See `TextTokenizer.encode`. Raises BadInput for a character that the vocabulary does not hold."""
        ids = self._backend.encode(text, add_special_tokens=False).ids
        if self._unk_id is not None and self._unk_id in ids:
            known = set(self._backend.get_vocab())
            odd = next((c for c in text if c not in known), text[:1])
            raise BadInput(f"tokenizer: character {odd!r} is not in the vocabulary")
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """See `TextTokenizer.decode`."""
        return self._backend.decode([int(i) for i in ids], skip_special_tokens=True)

    def encode_prompt(self, rendered: Any, observation: str = "", thinking: bool | None = None) -> list[int]:
        """See `TextTokenizer.encode_prompt`; only plain text is possible here."""
        if not isinstance(rendered, str):
            raise BadInput("tokenizer: the prompt is a list of chat messages, but the model has no chat template")
        return self.encode(rendered + observation)

    def encode_observation(self, text: str, ended: bool = True) -> list[int]:
        """See `TextTokenizer.encode_observation`: the text as it is."""
        return self.encode(text)


class ChatTokenizer:
    """A transformers tokenizer, with the chat template when a prompt is a list of messages."""

    def __init__(self, tokenizer: Any, thinking: bool = False):
        self.hf, self._thinking = tokenizer, thinking
        if tokenizer.eos_token_id is None:
            raise BadInput("tokenizer: it names no end token")
        self.eos_id = int(tokenizer.eos_token_id)
        self.pad_id = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.eos_id)
        self.vocab_size = len(tokenizer)

    def encode(self, text: str) -> list[int]:
        """See `TextTokenizer.encode`."""
        return list(self.hf(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def decode(self, ids: Sequence[int]) -> str:
        """See `TextTokenizer.decode`."""
        return self.hf.decode([int(i) for i in ids], skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _template(self, messages: Sequence[dict[str, str]], thinking: bool | None = None) -> str:
        if not self.hf.chat_template:
            raise BadInput("tokenizer: the prompt is a list of chat messages, but the model has no chat template")
        return self.hf.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True,
            enable_thinking=self._thinking if thinking is None else thinking,
        )  # fmt: skip

    def _marked(self, text: str) -> list[int]:
        return list(self.hf(text, add_special_tokens=False)["input_ids"])

    def encode_prompt(self, rendered: Any, observation: str = "", thinking: bool | None = None) -> list[int]:
        """See `TextTokenizer.encode_prompt`; an observation joins the last message."""
        if isinstance(rendered, str):
            return self.encode(rendered + observation)
        messages = [dict(m) for m in rendered]
        if observation:
            messages[-1]["content"] += observation
        return self._marked(self._template(messages, thinking))

    def encode_observation(self, text: str, ended: bool = True) -> list[int]:
        """See `TextTokenizer.encode_observation`: the user's next turn, cut out of a rendered conversation."""
        if not self.hf.chat_template:
            return self.encode(text)
        mark = "\u241fmodel\u241f"
        turns = [("user", "?"), ("assistant", mark), ("user", text)]
        suffix = self._template([{"role": role, "content": content} for role, content in turns]).split(mark, 1)[1]
        if ended:
            suffix = suffix.removeprefix(self.hf.eos_token)
        return self._marked(suffix)


def tiny_tokenizer() -> PlainTokenizer:
    """The tiny tracks' tokenizer."""
    return PlainTokenizer(tiny_backend())


def load_tokenizer(source: str | Path, revision: str | None = None, thinking: bool = False) -> TextTokenizer:
    """Load the tokenizer of a saved model (folder) or of a hub id at a pinned revision.

    A folder whose tokenizer has no chat template loads without transformers. Raises BadInput when nothing is there.
    """
    folder = Path(source)
    settings, saved = folder / "tokenizer_config.json", folder / "tokenizer.json"
    if saved.is_file() and settings.is_file():
        config = json.loads(settings.read_text(encoding="utf-8"))
        templated = config.get("chat_template") or (folder / "chat_template.jinja").is_file()
        if not templated and isinstance(config.get("eos_token"), str) and isinstance(config.get("pad_token"), str):
            from tokenizers import Tokenizer

            return PlainTokenizer(Tokenizer.from_file(str(saved)), config["pad_token"], config["eos_token"])
    elif folder.is_dir():
        raise BadInput(f"{folder}: expected tokenizer.json and tokenizer_config.json")
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(str(source), revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise BadInput(f"tokenizer {source}: {' '.join(str(error).split())[:200]}") from None
    return ChatTokenizer(loaded, thinking)
