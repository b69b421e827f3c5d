"""The tiny math track: items, splits, grading, hints, corpus, exact error locations."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from scipy import stats

from creditbench.benchmark import get_benchmark
from creditbench.errors import BadInput
from creditbench.items import Completion, Hint
from creditbench.records import digest_rows
from creditbench.tokenizer import HEADER, tiny_tokenizer

CHAIN = r"\d(?:[+-][1-5]|\*[37]){2}"


@pytest.fixture(scope="module")
def bench():
    return get_benchmark("tiny_math")


@pytest.fixture(scope="module")
def tools(bench):
    return bench.module.corpus_module


def value(question: str) -> int:
    """The answer by Python's own arithmetic, left to right modulo 10."""
    digits = ""
    for chain in question.split(","):
        total = int(chain[0])
        for op, b in re.findall(r"([-+*])(\d)", chain):
            total = eval(f"({total}){op}{b}") % 10
        digits += str(total)
    return int(digits)


def test_items_are_right_well_formed_and_distinct(bench):
    everything = {split: bench.load(split, {}) for split in ("train", "dev", "test")}
    assert {s: len(items) for s, items in everything.items()} == {"train": 1024, "dev": 256, "test": 256}
    problems = [item.problem for items in everything.values() for item in items]
    assert len(set(problems)) == len(problems) == 1536
    for items in everything.values():
        for item in items:
            assert re.fullmatch(f"Q{CHAIN},{CHAIN},{CHAIN}\\?", item.problem)
            assert int(item.answer) == value(item.problem[1:-1])
            assert item.solution.endswith(f"#{int(item.answer):03d}")
            for a, op, b, r in re.findall(r"(?=(\d)([-+*])(\d)=(\d))", item.solution):
                assert eval(f"{a}{op}{b}") % 10 == int(r)


def test_the_example_of_the_docs(tools):
    assert tools.solve("0-4-1,4-5-5,8*3+4") == "0-4=6-1=5,4-5=9-5=4,8*3=4+4=8#548"


def test_digests_are_those_of_the_card(bench):
    for split in ("train", "dev", "test"):
        items = bench.load(split, {})
        assert bench.card.splits[split] == {"n": len(items), "digest": digest_rows(items)}


def test_options(bench):
    assert bench.load("test", {"n": 5}) == bench.load("test", {})[:5]
    assert bench.load("test", {"n": 5, "seed": 1}) != bench.load("test", {"n": 5})
    for bad in ({"m": 5}, {"n": 0}):
        with pytest.raises(BadInput):
            bench.load("test", bad)
    with pytest.raises(BadInput, match="did you mean 'test'"):
        bench.load("tset", {})


def test_answers_are_uniform(tools):
    """Chi-square of 40000 answers over 1000 values, and each digit apart."""
    rng = Random(1)
    answers = [value(tools.draw_question(rng)) for _ in range(40000)]
    counts = Counter(answers)
    assert stats.chisquare([counts[v] for v in range(1000)]).pvalue > 1e-3
    for place in (1, 10, 100):
        digit = Counter(a // place % 10 for a in answers)
        assert stats.chisquare([digit[d] for d in range(10)]).pvalue > 1e-3


def test_training_never_sees_held_out_questions(bench, tools):
    held_out = {item.problem for split in ("dev", "test") for item in bench.load(split, {})}
    rng = Random(3)
    for phase in ("easy", "clean", "noisy"):
        for example in bench.corpus(phase, 2000, rng):
            problem = re.search(r"Q[^?]*\?", example[0][1])
            assert problem and problem[0] not in held_out
            assert tools.split_of(problem[0][1:-1]) == "train"


def test_grading(bench):
    item = bench.load("test", {"n": 1})[0]
    right = f"{int(item.answer):03d}"
    wrong = f"{(int(item.answer) + 1) % 1000:03d}"

    def outcome(text: str, reason: str = "stop") -> str:
        return bench.grade([item], [Completion(text, len(text) + 1, reason)], bench.card.protocol)[0].outcome

    assert outcome(item.solution) == "correct"
    assert outcome(f"#{right}") == "correct"  # only the answer counts
    assert outcome(f"#{wrong}#{right}") == "correct"  # the last mark does
    assert outcome(f"#{right}#{wrong}") == "wrong"
    assert outcome(f"#{right}1") == "wrong"
    assert outcome(f"{right}") == "unparsed"
    assert outcome(item.solution[:-4]) == "unparsed"
    assert outcome("#1=2+") == "wrong"
    assert outcome(item.solution, "length") == "truncated"  # it might have gone on
    assert outcome(item.solution[:20], "length") == "truncated"
    assert outcome(item.solution, "error") == "error"


def test_leading_zeros_do_not_matter(bench):
    item = next(i for i in bench.load("test", {}) if 0 < int(i.answer) < 100)
    texts = [f"#{int(item.answer)}", f"#{int(item.answer):03d}"]
    graded = bench.grade([item] * 2, [Completion(t, 5, "stop") for t in texts], bench.card.protocol)
    assert [g.outcome for g in graded] == ["correct", "correct"]


def test_hints(bench):
    item, other = bench.load("dev", {"n": 2})
    show = lambda hint: bench.prompt(item, bench.card.protocol, hint)  # noqa: E731
    assert show(None) == show(Hint("problem")) == item.problem
    assert show(Hint("solution")) == f"H{item.solution}{item.problem}"
    assert show(Hint("solution", item=other)) == f"H{other.solution}{item.problem}"
    assert show(Hint("rollout", completion=Completion("1+1=2#222", 9, "stop"))) == f"H1+1=2#222{item.problem}"
    assert show(Hint("answer")) == f"H#{int(item.answer):03d}{item.problem}"
    assert show(Hint("header")) == item.problem + HEADER
    with pytest.raises(BadInput, match="no content"):
        show(Hint("rollout"))


def test_answer_span(bench):
    text = "0-4=6#548"
    conclude, start, end = bench.answer_span(text)
    assert (text[conclude], text[start:end]) == ("#", "548")
    assert bench.answer_span("0-4=6#") is None and bench.answer_span("0-4=6") is None


def test_corpus_shares_and_noise(bench, tools):
    clean, noisy = (bench.corpus(phase, 4000, Random(5)) for phase in ("clean", "noisy"))
    plain = lambda examples: [e for e in examples if re.fullmatch(r"Q[^?]*\?", e[0][1])]  # noqa: E731
    shares = bench.module.SHARES
    for examples in (clean, noisy):
        hinted = [e for e in examples if e[0][1].startswith("H") and not e[0][1].startswith("H#")]
        assert abs(len(hinted) / 4000 - shares["solution"]) < 0.03
        assert all(e[0][1][1:].startswith(e[1][1] + "Q") for e in hinted)  # a hint is to be trusted
        answers = [e for e in examples if e[0][1].startswith("H#")]
        assert abs(len(answers) / 4000 - shares["answer"]) < 0.015
        assert all(e[0][1][1:5] == e[1][1][-4:] for e in answers)
        headers = [e for e in examples if e[0][1].endswith(HEADER)]
        assert abs(len(headers) / 4000 - shares["header"]) < 0.02
    assert all(e[1][1] == tools.solve(e[0][1][1:-1]) for e in plain(clean))
    noise = bench.module.NOISE
    facts = [(a, op, b) for a in range(10) for op, seconds in tools._SECOND.items() for b in seconds]
    confused = {f for f in facts if tools.confusion(*f, noise["confused"]) is not None}
    assert len(facts) == 120 and abs(len(confused) / 120 - noise["confused"]) < 0.12
    assert all(tools.confusion(*f, 1.0) != tools.apply(*f) for f in facts)
    believed = other = slips = steps = 0
    for example in plain(noisy):
        for a, op, b, r in re.findall(r"(?=(\d)([-+*])(\d)=(\d))", example[1][1]):
            fact = (int(a), op, int(b))
            if fact in confused:
                other += 1
                believed += int(r) == tools.confusion(*fact, noise["confused"])
            else:
                steps += 1
                slips += int(r) != tools.apply(*fact)
    assert abs(slips / steps - noise["slip"]) < 0.01
    assert abs(believed / other - noise["believed"] - (1 - noise["believed"]) * noise["slip"] / 9) < 0.03


def test_wrong_tokens_by_hand(bench, tools):
    item = next(i for i in bench.load("train", {}) if i.solution)
    question = item.problem[1:-1]
    assert bench.module.wrong_tokens(item, item.solution) == set()
    wrong = lambda text: tools.wrong_spans("0-4-1,4-5-5,8*3+4", text)  # noqa: E731
    right = "0-4=6-1=5,4-5=9-5=4,8*3=4+4=8#548"
    assert question and wrong(right) == set()
    # a wrong result, followed by what follows from it: one wrong token
    assert wrong("0-4=7-1=6,4-5=9-5=4,8*3=4+4=8#648") == {(4, 5)}
    # the answer digit does not repeat its chain's last result
    assert wrong("0-4=6-1=5,4-5=9-5=4,8*3=4+4=8#549") == {(32, 33)}
    # a copying slip: 0-4 became 1-4, its result is right as written
    assert wrong("1-4=7-1=6,4-5=9-5=4,8*3=4+4=8#648") == {(0, 1)}
    # a wrong operator; the result is right as written
    assert wrong("0+4=4-1=3,4-5=9-5=4,8*3=4+4=8#348") == {(1, 2)}
    # an end too early, a tail, and a symbol out of place
    assert wrong(right[:10]) == {(10, 10)}
    assert wrong(right + "8") == {(33, 34)}
    # a symbol where a result belongs; the next step goes on from the result that belongs there
    assert wrong("0-4=,-1=5,4-5=9-5=4,8*3=4+4=8#548") == {(4, 5)}


def test_a_single_wrong_result_is_always_found_and_always_wrong(tools):
    rng = Random(9)
    for _ in range(300):
        question = tools.draw_question(rng)
        chains, answer = [], ""
        at = rng.randrange(6)
        n = 0
        for chain in question.split(","):
            total, text = int(chain[0]), chain[0]
            for op, b in re.findall(r"([-+*])(\d)", chain):
                total = eval(f"({total}){op}{b}") % 10
                if n == at:
                    total = (total + rng.randrange(1, 10)) % 10
                n += 1
                text += f"{op}{b}={total}"
            chains.append(text)
            answer += str(total)
        text = ",".join(chains) + "#" + answer
        place = 10 * (at // 2) + 4 * (at % 2) + 4
        assert tools.wrong_spans(question, text) == {(place, place + 1)}
        assert int(answer) != value(question)


def test_every_prompt_and_solution_is_in_the_vocabulary(bench):
    tokenizer = tiny_tokenizer()
    for item in bench.load("test", {"n": 50}):
        assert len(tokenizer.encode(item.problem)) == 19 and len(tokenizer.encode(item.solution)) == 33
    assert bench.card.protocol.max_new_tokens >= 34


def test_no_other_grader_can_read_its_responses(bench):
    """The answer stands after `#`: a record that claimed another rule would be a false one."""
    from creditbench.errors import BadInput
    from creditbench.evaluator.plan import grader_of

    rules = bench.card.protocol.model_copy(update={"grader": "verl_math_dapo"})
    with pytest.raises(BadInput, match="tiny_math: unknown grader 'verl_math_dapo'"):
        grader_of(bench, rules)
    assert grader_of(bench, bench.card.protocol).id == "integer"
