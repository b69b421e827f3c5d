"""Prompts: protocols, hints, and the chat template with thinking on and off."""

import pytest

from creditbench.benchmark import EvalProtocol
from creditbench.data.prompts import render
from creditbench.errors import BadInput
from creditbench.items import Completion, Hint, Item

ITEM = Item("a", "What is 1+1?", "2", "Add them: 2.")
OTHER = Item("b", "What is 2+2?", "4", "Add them: 4.")


def protocol(prompt, **more):
    return EvalProtocol(max_new_tokens=10, prompt=prompt, **more)


def test_plain_protocols_say_where_the_answer_goes():
    boxed, line = render(ITEM, protocol("boxed")), render(ITEM, protocol("answer-line"))
    assert boxed.startswith("What is 1+1?") and boxed.count("\\boxed{}") == 1 and "Answer:" not in boxed
    assert line.startswith("What is 1+1?") and line.count('"Answer:"') == 1 and "boxed" not in line
    assert render(ITEM, protocol("boxed", system="Be brief.")).startswith("Be brief.\n\nWhat is")


def test_chat_protocols_are_messages():
    assert render(ITEM, protocol("chat")) == [{"role": "user", "content": render(ITEM, protocol("boxed")).rstrip("\n")}]
    messages = render(ITEM, protocol("chat-answer-line", system="S"))
    assert [m["role"] for m in messages] == ["system", "user"] and '"Answer:"' in messages[1]["content"]


def test_teachers_see_the_hint_and_the_same_question():
    hints = {
        "rollout": Hint("rollout", Completion("I add: \\boxed{2}", 5, "stop")),
        "solution": Hint("solution"),
        "answer": Hint("answer"),
    }
    shown = {"rollout": "I add: \\boxed{2}", "solution": "Add them: 2.", "answer": "correct answer is 2."}
    for kind, hint in hints.items():
        text = render(ITEM, protocol("boxed"), hint)
        assert (
            shown[kind] in text
            and text.startswith(ITEM.problem)
            and text.endswith(render(ITEM, protocol("boxed"))[-60:])
        )
    assert "Add them: 4." in render(ITEM, protocol("boxed"), Hint("solution", item=OTHER))
    # 2606.04036: the answer is for checking, the whole solution is still to be shown.
    assert "only to check" in (text := render(ITEM, protocol("boxed"), hints["answer"])) and "whole solution" in text
    assert render(ITEM, protocol("chat"), Hint("header")) == "What is 1+1?\n\n[Student response]\n"
    # 2606.00172, appendix: problem, header, answer, header.
    shown = render(ITEM, protocol("chat"), Hint("answer-header"))
    assert shown == "What is 1+1?\n\n[Reference solution]\n2\n\n[Student response]\n"


def test_nothing_to_show_and_unknown_protocols_are_errors():
    with pytest.raises(BadInput, match="hint of kind 'solution' has no content"):
        render(Item("c", "p", "1"), protocol("boxed"), Hint("solution"))
    with pytest.raises(BadInput, match="hint of kind 'answer-header' has no content"):
        render(Item("c", "p"), protocol("boxed"), Hint("answer-header"))
    with pytest.raises(BadInput, match=r"unknown prompt 'boxd'.*did you mean 'boxed'"):
        render(ITEM, protocol("boxd"))


TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def test_chat_prompts_go_through_the_models_template_with_thinking_on_and_off():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from creditbench.tokenizer import ChatTokenizer

    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE({**vocab, "<|im_end|>": 256, "<|im_start|>": 257}, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", additional_special_tokens=["<|im_start|>"]
    )
    fast.chat_template = TEMPLATE
    messages = render(ITEM, protocol("chat", system="S"))
    for thinking in (True, False):
        ids = ChatTokenizer(fast, thinking).encode_prompt(messages)
        text = fast.decode(ids)
        assert text.count("<|im_start|>") == 3 and ids.count(257) == 3  # markup is special tokens, once
        assert text.endswith("assistant\n" if thinking else "assistant\n<think>\n\n</think>\n\n")
        assert ITEM.problem in text and "\\boxed{}" in text
        # A teacher may read in another mode than the student (OPSD); None is the student's.
        assert ChatTokenizer(fast, not thinking).encode_prompt(messages, thinking=thinking) == ids
        assert ChatTokenizer(fast, thinking).encode_prompt(messages, thinking=None) == ids
