"""Engines against transformers, against each other, and against the rules of sampling."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from creditbench.errors import BadInput
from creditbench.sampling import SamplingParams, open_engine
from creditbench.sampling.draws import Streams, filtered_probs, pick

VOCAB = 40


@pytest.fixture(scope="module")
def model(tiny_qwen3):
    torch.set_num_threads(1)
    return tiny_qwen3()


def ragged(n: int, seed: int = 0, longest: int = 20) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(2, VOCAB) for _ in range(rng.randrange(1, longest))] for _ in range(n)]


def hf_greedy(model, prompt: list[int], n: int) -> list[int]:
    """Transformers' own greedy generation of one prompt, alone, end token included."""
    with torch.no_grad():
        out = model.generate(torch.tensor([prompt]), max_new_tokens=n, do_sample=False)
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}, {"num_key_value_heads": 4, "head_dim": 16}])
def test_raw_equals_transformers_greedy_on_ragged_prompts(tiny_qwen3, changes):
    model = tiny_qwen3(3, **changes)
    prompts = ragged(12)
    made = open_engine("raw", model).generate(prompts, range(12), SamplingParams(20, temperature=0.0))
    for prompt, generation in zip(prompts, made, strict=True):
        wanted = hf_greedy(model, prompt, 20)
        assert list(generation.token_ids) == wanted
        assert generation.finish_reason == ("stop" if wanted[-1] == 1 else "length")


@pytest.mark.parametrize("kind", ["raw", "hf"])
def test_logps_are_the_models_own_at_temperature_one(model, kind):
    prompts = ragged(6, 1)
    made = open_engine(kind, model).generate(prompts, range(6), SamplingParams(12, temperature=0.7, top_p=0.8))
    for prompt, generation in zip(prompts, made, strict=True):
        ids = torch.tensor([prompt + list(generation.token_ids)])
        with torch.no_grad():
            logp = model(ids).logits.log_softmax(-1)[0, len(prompt) - 1 : -1]
        wanted = logp.gather(-1, ids[0, len(prompt) :, None])[:, 0]
        assert len(generation.logps) == len(generation.token_ids)
        np.testing.assert_allclose(generation.logps, wanted.numpy(), atol=2e-5)


def test_raw_and_hf_draw_the_same_tokens(model):
    prompts, params = ragged(16, 2), SamplingParams(15, temperature=0.9, top_p=0.95, top_k=25)
    raw = open_engine("raw", model).generate(prompts, range(100, 116), params)
    hf = open_engine("hf", model).generate(prompts, range(100, 116), params)
    assert [g.token_ids for g in raw] == [g.token_ids for g in hf]


@pytest.mark.parametrize("kind", ["raw", "hf"])
def test_a_row_does_not_depend_on_its_batch(model, kind):
    engine, params = open_engine(kind, model), SamplingParams(15)
    prompts = ragged(9, 3)
    together = engine.generate(prompts, range(50, 59), params)
    for i in (0, 4, 8):
        alone = engine.generate([prompts[i]], [50 + i], params)[0]
        assert alone.token_ids == together[i].token_ids
    swapped = engine.generate(prompts[::-1], list(range(50, 59))[::-1], params)
    assert [g.token_ids for g in swapped[::-1]] == [g.token_ids for g in together]


def test_same_batch_same_bits_and_seed_matters(model):
    engine, prompts = open_engine("raw", model), ragged(8, 4)
    first = engine.generate(prompts, range(8), SamplingParams(20))
    assert first == engine.generate(prompts, range(8), SamplingParams(20))
    other = engine.generate(prompts, range(8, 16), SamplingParams(20))
    assert [g.token_ids for g in first] != [g.token_ids for g in other]


def test_batches_cut_at_batch_rows_give_the_same_rows(model):
    prompts = ragged(10, 5)
    whole = open_engine("raw", model).generate(prompts, range(10), SamplingParams(10))
    cut = open_engine("raw", model, batch_rows=3).generate(prompts, range(10), SamplingParams(10))
    assert [g.token_ids for g in whole] == [g.token_ids for g in cut]


def test_first_tokens_follow_the_softmax(model):
    """Chi-square of 6000 first tokens against transformers' softmax of the same prompt."""
    prompt, n = [5, 9, 17], 6000
    with torch.no_grad():
        probs = model(torch.tensor([prompt])).logits[0, -1].double().softmax(-1).numpy()
    made = open_engine("raw", model, batch_rows=1000).generate([prompt] * n, range(n), SamplingParams(1))
    counts = np.bincount([g.token_ids[0] for g in made], minlength=VOCAB)
    common = probs * n >= 5
    observed = np.append(counts[common], counts[~common].sum())
    expected = np.append(probs[common], probs[~common].sum()) * n
    keep = expected > 0
    assert stats.chisquare(observed[keep], expected[keep]).pvalue > 1e-3


def test_streams_are_uniform_and_belong_to_their_row():
    streams = Streams([1, 2, 3])
    rows = np.stack([streams.at(n) for n in range(3000)], axis=1)
    for row in rows:
        assert stats.kstest(row, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(rows)[0, 1]) < 0.08
    np.testing.assert_array_equal(Streams([3]).at(2999), rows[2:, 2999])


def test_filters_by_hand():
    logits = torch.log(torch.tensor([[0.1, 0.4, 0.2, 0.3]]))

    def kept(**params) -> list[float]:
        return [round(p, 6) for p in filtered_probs(logits, SamplingParams(1, **params))[0].tolist()]

    assert kept(top_k=2) == [0.0, 0.4, 0.0, 0.3]
    assert kept(top_p=0.4) == [0.0, 0.4, 0.0, 0.0]  # the first token alone reaches 0.4
    assert kept(top_p=0.5) == [0.0, 0.4, 0.0, 0.3]  # the token that crosses the threshold stays
    assert kept(top_p=0.95) == [0.1, 0.4, 0.2, 0.3]
    assert kept(top_k=3, top_p=0.5) == [0.0, 0.4, 0.0, 0.3]  # 0.4/0.9 < 0.5, so a second token is needed
    assert kept(top_k=3, top_p=0.44) == [0.0, 0.4, 0.0, 0.0]
    squared = np.array([0.01, 0.16, 0.04, 0.09]) / 0.30  # temperature 1/2 squares the odds
    np.testing.assert_allclose(filtered_probs(logits, SamplingParams(1, temperature=0.5))[0], squared, rtol=1e-6)


def test_filters_agree_with_transformers():
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    torch.manual_seed(0)
    logits = torch.randn(50, 30) * 2
    for top_k, top_p in ((5, 1.0), (0, 0.7), (8, 0.6)):
        scores = TemperatureLogitsWarper(0.8)(None, logits)
        scores = TopKLogitsWarper(top_k)(None, scores) if top_k else scores
        scores = TopPLogitsWarper(top_p)(None, scores) if top_p < 1 else scores
        ours = filtered_probs(logits, SamplingParams(1, temperature=0.8, top_p=top_p, top_k=top_k))
        ours = ours / ours.sum(-1, keepdim=True)
        torch.testing.assert_close(ours.float(), scores.softmax(-1), atol=1e-5, rtol=1e-4)


def test_inverse_cdf_by_hand():
    logits = torch.log(torch.tensor([[0.1, 0.4, 0.2, 0.3]])).repeat(6, 1)
    ids, _ = pick(logits, np.array([0.0, 0.099, 0.101, 0.6, 0.71, 1.0 - 1e-16]), SamplingParams(1))
    assert ids.tolist() == [0, 0, 1, 2, 3, 3]
    ids, _ = pick(logits, np.array([0.0, 0.5, 0.58, 0.999999, 0.3, 0.56]), SamplingParams(1, top_k=2))
    assert ids.tolist() == [1, 1, 3, 3, 1, 1]  # 0.4 against 0.3: the border is at 4/7
    filtered_ids, _ = pick(logits, np.full(6, 1.0 - 1e-16), SamplingParams(1, top_p=0.4))
    assert set(filtered_ids.tolist()) == {1}


def test_presence_penalty_by_hand():
    """ln 2 off the logit of a token seen: its odds halve, at temperature 1/2 they are quartered; log-probs stay."""
    logits = torch.log(torch.tensor([[0.1, 0.4, 0.2, 0.3]])).repeat(4, 1)
    seen = torch.tensor([[False, True, False, False]]).repeat(4, 1)
    params = SamplingParams(1, presence_penalty=float(np.log(2)))
    ids, logp = pick(logits, np.array([0.12, 0.13, 0.37, 0.38]), params, seen)  # borders at 1/8, 3/8, 5/8
    assert ids.tolist() == [0, 1, 1, 2]
    np.testing.assert_allclose(logp.exp(), [0.1, 0.4, 0.4, 0.2], rtol=1e-6)
    cold = SamplingParams(1, temperature=0.5, presence_penalty=float(np.log(2)))
    ids, _ = pick(logits, np.array([0.05, 0.06, 0.27, 0.28]), cold, seen)  # odds 1, 4, 4, 9: borders at 1/18, 5/18
    assert ids.tolist() == [0, 1, 1, 2]
    greedy, _ = pick(logits, np.zeros(4), SamplingParams(1, temperature=0.0, presence_penalty=0.3), seen)
    assert greedy.tolist() == [3] * 4  # ln .4 - .3 < ln .3


def penalised_greedy(model, prompt: list[int], n: int, penalty: float) -> list[int]:
    """One prompt, no cache: the largest logit after the penalty on what this turn already holds."""
    made: list[int] = []
    for _ in range(n):
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *made]])).logits[0, -1].clone()
        logits[list(set(made))] -= penalty
        made.append(int(logits.argmax()))
        if made[-1] == 1:
            break
    return made


@pytest.mark.parametrize("kind", ["raw", "hf"])
def test_presence_penalty_counts_what_the_turn_holds(model, kind):
    """Rows end at different steps (the batch shrinks) and prompts, or earlier turns, are never counted."""
    prompts, params = ragged(12, 6), SamplingParams(24, temperature=0.0, presence_penalty=0.8)
    engine = open_engine(kind, model)
    made = engine.generate(prompts, range(12), params)
    assert [list(g.token_ids) for g in made] == [penalised_greedy(model, p, 24, 0.8) for p in prompts]
    plain = engine.generate(prompts, range(12), SamplingParams(24, temperature=0.0))
    assert sum(a.token_ids != b.token_ids for a, b in zip(made, plain, strict=True)) >= 6
    session = engine.session(2, params)
    first = [list(g.token_ids) for g in session.extend([[4, 5], [6]], [1, 2]) if g is not None]
    second = [list(g.token_ids) for g in session.extend([[7, 8], [9]], [3, 4]) if g is not None]
    for i, (start, more) in enumerate((([4, 5], [7, 8]), ([6], [9]))):
        assert second[i] == penalised_greedy(model, [*start, *first[i], *more], 24, 0.8)


def test_raw_and_hf_draw_the_same_tokens_under_a_penalty(model):
    prompts, params = ragged(16, 2), SamplingParams(15, 0.7, 0.95, 20, presence_penalty=0.2)
    raw, hf = (open_engine(kind, model).generate(prompts, range(100, 116), params) for kind in ("raw", "hf"))
    assert [g.token_ids for g in raw] == [g.token_ids for g in hf]


def test_a_penalty_out_of_range_is_refused():
    with pytest.raises(BadInput, match="presence_penalty: expected a number in"):
        SamplingParams(1, presence_penalty=2.5)


def test_stop_tokens_end_a_row_and_are_kept(model):
    never = open_engine("raw", model, eos_ids=[]).generate([[4, 5]], [7], SamplingParams(12))[0]
    stop = never.token_ids[5]
    first = never.token_ids.index(stop)
    cut = open_engine("raw", model, eos_ids=[stop]).generate([[4, 5], [6]], [7, 8], SamplingParams(12))[0]
    assert never.finish_reason == "length" and len(never.token_ids) == 12
    assert cut.finish_reason == "stop" and cut.token_ids == never.token_ids[: first + 1]


def test_saved_model_equals_live_one_and_updates_are_taken(model, tiny_qwen3, tmp_path: Path):
    model.save_pretrained(tmp_path)
    prompts, params = ragged(4, 6), SamplingParams(8)
    live, saved = open_engine("raw", model), open_engine("raw", tmp_path)
    assert live.generate(prompts, range(4), params) == saved.generate(prompts, range(4), params)
    other = tiny_qwen3(11)
    fresh = open_engine("raw", other).generate(prompts, range(4), params)
    for weights in (other, other.state_dict()):
        live.update_weights(weights)
        assert live.generate(prompts, range(4), params) == fresh


def test_raw_starts_without_transformers(model, tmp_path: Path):
    import subprocess
    import sys

    model.save_pretrained(tmp_path)
    code = (
        "import sys; from creditbench.sampling import *; "
        f"e = open_engine('raw', {str(tmp_path)!r}); e.generate([[3, 4]], [0], SamplingParams(4)); "
        "sys.exit('transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_long_generation_grows_the_cache(model):
    made = open_engine("raw", model, eos_ids=[]).generate([[3, 4, 5]], [0], SamplingParams(1100, temperature=0.0))[0]
    ids = torch.tensor([[3, 4, 5, *made.token_ids]])
    with torch.no_grad():
        logp = model(ids).logits.log_softmax(-1)[0, 2:-1].gather(-1, ids[0, 3:, None])[:, 0]
    np.testing.assert_allclose(made.logps, logp.numpy(), atol=1e-3)
    assert len(made.token_ids) == 1100


def test_bad_input_is_told(model, tmp_path: Path):
    with pytest.raises(BadInput, match=r"unknown engine 'row' \(did you mean 'raw'\?\)"):
        open_engine("row", model)
    with pytest.raises(BadInput, match="no config"):
        open_engine("raw", tmp_path)
    with pytest.raises(BadInput, match="prompt 1 is empty"):
        open_engine("raw", model).generate([[3], []], [0, 1], SamplingParams(2))
    with pytest.raises(BadInput, match="one per prompt"):
        open_engine("raw", model).generate([[3]], [0, 1], SamplingParams(2))
    with pytest.raises(BadInput, match="top_p"):
        SamplingParams(4, top_p=0.0)
    (tmp_path / "config.json").write_text('{"model_type": "llama", "eos_token_id": 1}')
    (tmp_path / "model.safetensors").write_bytes((8).to_bytes(8, "little") + b"{}      ")
    with pytest.raises(BadInput, match="model_type"):
        open_engine("raw", tmp_path)


def test_long_prompts_are_read_in_smaller_batches():
    from creditbench.sampling.engines import PROMPT_TOKENS, cuts

    assert cuts([], 4) == []
    assert cuts([60] * 600, 256) == [range(0, 256), range(256, 512), range(512, 600)]
    # 8192 tokens: four rows fill the budget; the block that no longer holds the long prompt is full again.
    assert PROMPT_TOKENS == 4 * 8192
    assert cuts([10, 8192, 10, 10, 10, 10, 10, 10], 6) == [range(0, 4), range(4, 8)]
    assert cuts([PROMPT_TOKENS + 1, 5, 5], 8) == [range(0, 1), range(1, 3)]


@pytest.mark.parametrize("saved", [torch.bfloat16, torch.float32, torch.float64])
def test_a_base_in_bfloat16_samples_in_the_dtype_of_what_was_trained_from_it(tiny_qwen3, tmp_path, saved):
    from creditbench.sampling.engines import one_dtype

    model = tiny_qwen3().to(saved)
    model.save_pretrained(tmp_path)
    engine = open_engine("hf", tmp_path)
    wanted = torch.float64 if saved == torch.float64 else torch.float32
    assert {p.dtype for p in engine._model.parameters()} == {wanted}
    assert one_dtype(saved) == ([torch.float32] if saved == torch.bfloat16 else [])
    prompts = ragged(3)
    made = engine.generate(prompts, range(3), SamplingParams(6, temperature=0.0))
    again = open_engine("hf", model.to(wanted)).generate(prompts, range(3), SamplingParams(6, temperature=0.0))
    assert [g.token_ids for g in made] == [g.token_ids for g in again]
