"""The client against a fake server on loopback: seeds, order, retries, failures, token ids, whole evaluations."""

from __future__ import annotations

import json
import math
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from creditbench.errors import BadInput
from creditbench.evaluator import evaluate
from creditbench.sampling import SamplingParams
from creditbench.sampling.openai_client import OpenAIClient, OpenAIEngine
from creditbench.seeds import eval_seed

PARAMS = SamplingParams(16, temperature=0.7, top_p=0.9)


class Server:
    """Answers with a function of the body; keeps every request."""

    def __init__(self, reply):
        self.seen, self.headers, lock = [], [], threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.seen.append((self.path, body))
                    outer.headers.append(dict(self.headers))
                    status, answer, *missing = reply(self.path, body, len(outer.seen))
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data) + sum(missing)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@pytest.fixture
def serve():
    servers = []

    def start(reply):
        servers.append(Server(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def choice(text, finish="stop", **more):
    return 200, {
        "choices": [{"text": text, "finish_reason": finish, **more}],
        "usage": {"completion_tokens": len(text)},
    }


def by_seed(path, body, count):
    """What a server with per-request seeds does: the text follows from prompt and seed."""
    return choice(f"{body['prompt']}|{body['seed']}")


def test_every_sample_carries_its_own_seed_and_order_is_kept(serve):
    server = serve(by_seed)
    prompts = [f"p{i}" for i in range(10) for _ in range(8)]
    seeds = [eval_seed("aime24", 0, f"p{i}", s) for i in range(10) for s in range(8)]
    done = OpenAIClient(server.url, "m", concurrency=8).complete(prompts, seeds, PARAMS)
    sent = [seed % 2**31 for seed in seeds]
    assert [c.text for c in done] == [f"{p}|{s}" for p, s in zip(prompts, sent, strict=True)]
    assert len(set(sent)) == 80 == len({c.text for c in done})
    path, body = server.seen[0]
    assert path == "/v1/completions" and body["n"] == 1
    assert (body["max_tokens"], body["temperature"], body["top_p"], body["model"]) == (16, 0.7, 0.9, "m")
    assert "top_k" not in body and "Authorization" not in server.headers[0]


def test_an_answer_cut_short_is_asked_for_again(serve):
    """A server that dies while it answers: the promised length does not come."""
    server = serve(lambda path, body, count: (200, b'{"choices"', 5) if count == 1 else choice("whole"))
    client = OpenAIClient(server.url, "m", concurrency=1, backoff_s=0.01)
    assert [c.text for c in client.complete(["p"], [1], PARAMS)] == ["whole"]
    gone = serve(lambda path, body, count: (200, b"{", 5))
    [failed] = OpenAIClient(gone.url, "m", concurrency=1, backoff_s=0.0).complete(["p"], [1], PARAMS)
    assert failed.finish_reason == "error" and "IncompleteRead" in failed.info["error"]


def test_a_repeated_seed_is_refused_before_anything_is_sent(serve):
    server = serve(by_seed)
    client = OpenAIClient(server.url, "m")
    with pytest.raises(BadInput, match="share a seed"):
        client.complete(["p", "p"], [5, 5], PARAMS)
    assert server.seen == []
    assert len(client.complete(["p", "q"], [5, 5], PARAMS)) == 2  # other prompts may


def test_chat_messages_go_to_the_chat_endpoint_with_reasoning_put_back(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    def reply(path, body, count):
        message = {"role": "assistant", "content": "\\boxed{2}", "reasoning_content": "hm"}
        return 200, {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 9}}

    server = serve(reply)
    messages = [{"role": "user", "content": "1+1?"}]
    client = OpenAIClient(server.url + "/", "m", extra={"chat_template_kwargs": {"enable_thinking": True}})
    done = client.complete([messages], [1], SamplingParams(8, top_k=20))[0]
    assert done.text == "<think>hm</think>\\boxed{2}" and done.n_tokens == 9
    path, body = server.seen[0]
    assert path == "/v1/chat/completions" and body["messages"] == messages and body["top_k"] == 20
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    assert server.headers[0]["Authorization"] == "Bearer k"


def test_overload_is_retried_and_a_refusal_is_one_error(serve):
    def reply(path, body, count):
        if body["prompt"] == "bad":
            return 400, {"error": "prompt too long"}
        return (503, {"error": "busy"}) if count <= 3 else choice("ok", "length")

    server = serve(reply)
    client = OpenAIClient(server.url, "m", concurrency=1, backoff_s=0.01)
    good, bad = client.complete(["good", "bad"], [1, 2], PARAMS)
    assert (good.text, good.finish_reason) == ("ok", "length")
    assert bad.finish_reason == "error" and "HTTP 400" in bad.info["error"] and "too long" in bad.info["error"]
    assert len(server.seen) == 5


@pytest.mark.parametrize("answer", [b"not json", {"choices": []}, {"choices": [{}, {}]}, {"choices": [{"text": None}]}])
def test_odd_replies_are_errors_not_exceptions(serve, answer):
    server = serve(lambda path, body, count: (200, answer))
    done = OpenAIClient(server.url, "m", backoff_s=0.001).complete(["p"], [1], PARAMS)[0]
    assert done.finish_reason == "error" and done.text == ""


def test_no_server_is_an_error_completion_and_stops_the_engine():
    client = OpenAIClient("http://127.0.0.1:9/v1", "m", backoff_s=0.001, timeout_s=2)
    assert client.complete(["p"], [1], PARAMS)[0].finish_reason == "error"
    with pytest.raises(BadInput, match=r"127\.0\.0\.1:9"):
        OpenAIEngine(client, None).generate([[1]], [1], PARAMS)
    with pytest.raises(BadInput, match="base_url"):
        OpenAIClient("localhost:8000", "m")
    with pytest.raises(BadInput, match="cannot be updated"):
        OpenAIEngine(client, None).update_weights({})


class Letters:
    def encode(self, text):
        return [ord(c) for c in text]

    def encode_prompt(self, rendered, observation=""):
        return self.encode(rendered + observation)

    def encode_observation(self, text, ended=True):
        return self.encode(text)

    def decode(self, ids):
        return "".join(chr(i) for i in ids)


def test_engine_reads_ids_back_or_encodes_the_text(serve):
    server = serve(lambda path, body, count: choice("ab", token_ids=[7, 8, 9] if body["seed"] == 1 else None))
    engine = OpenAIEngine(OpenAIClient(server.url, "m"), Letters())
    first, second = engine.generate([[1, 2], [1, 2]], [1, 2], PARAMS)
    assert first.token_ids == (7, 8, 9) and second.token_ids == (97, 98)
    assert all(math.isnan(x) for x in first.logps) and server.seen[0][1]["prompt"] == [1, 2]


def test_sessions_send_the_whole_conversation(serve):
    server = serve(lambda path, body, count: choice("x"))
    session = OpenAIEngine(OpenAIClient(server.url, "m", concurrency=1), Letters()).session(2, PARAMS)
    assert [g.token_ids for g in session.extend([[1], [2]], [1, 2])] == [(120,), (120,)]
    second = session.extend([[5], None], [3, 4])
    assert second[1] is None and server.seen[-1][1]["prompt"] == [1, 120, 5]
    with pytest.raises(BadInput, match="closed row"):
        session.extend([None, [6]], [5, 6])


def test_likelihoods_are_read_from_the_echoed_prompt(serve):
    """Token n has log-prob -n / 10 and is the likeliest when it is even; the first token has none."""

    def reply(path, body, count):
        ids = body["prompt"]
        logps = [None, *(-i / 10 for i in ids[1:])]
        tops = [None, *({"x": -i / 10 if i % 2 == 0 else -0.01, "y": -9.0} for i in ids[1:])]
        return choice("", logprobs={"token_logprobs": logps, "top_logprobs": tops})

    server = serve(reply)
    client = OpenAIClient(server.url, "m")
    done = client.loglikelihoods([[1, 2], [3], [5, 6]], [[4, 6], [7, 8], [2]])
    assert [d.logp for d in done] == pytest.approx([-1.0, -1.5, -0.2])
    assert [d.greedy for d in done] == [True, False, True]
    bodies = sorted((body for _, body in server.seen), key=lambda body: body["prompt"])
    assert bodies[0]["prompt"] == [1, 2, 4, 6] and bodies[0]["echo"] is True and bodies[0]["max_tokens"] == 0


@pytest.mark.parametrize(
    "answer",
    [
        (400, {"error": "echo is not offered"}),
        choice(""),
        choice("", logprobs={"token_logprobs": [-1.0], "top_logprobs": [{"a": -1.0}]}),
    ],
)
def test_a_server_without_likelihoods_says_so(serve, answer):
    server = serve(lambda path, body, count: answer)
    with pytest.raises(BadInput, match="no log-likelihoods from this server"):
        OpenAIClient(server.url, "m").loglikelihoods([[1, 2]], [[4]])
    with pytest.raises(BadInput, match="continuations: expected at least one token"):
        OpenAIClient(server.url, "m").loglikelihoods([[1, 2]], [[]])


def test_an_evaluation_through_a_server(serve, tmp_path):
    folder = tmp_path / "root" / "benchmarks" / "toy"
    folder.mkdir(parents=True)
    (tmp_path / "root" / "methods").mkdir()
    (folder / "card.yaml").write_text(
        'id: toy\ntitle: t\nversion: "1"\ngrader: {id: integer, version: "1"}\nprotocol: {k: 4, max_new_tokens: 8}\n'
    )
    (folder / "task.py").write_text(
        textwrap.dedent("""
        from creditbench.grading import get_grader
        from creditbench.items import Item

        def load(split, options):
            return [Item(f"p{i}", f"say {i}", str(i)) for i in range(3)]

        def render(item, protocol, hint=None):
            return item.problem

        def grade(items, completions, protocol):
            return get_grader("integer").grade_many([i.answer for i in items], completions, protocol)
        """)
    )
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"w")
    (model / "tokenizer.json").write_text("{}")

    def reply(path, body, count):
        number = chr(body["prompt"][-1])
        return choice(f"\\boxed{{{number}}}" if body["seed"] % 2 else "\\boxed{77}")

    server = serve(reply)
    engine = OpenAIEngine(OpenAIClient(server.url, "m"), Letters())
    out = tmp_path / "results" / "tiny" / "evals" / "toy" / "grpo" / "math" / "seed0"
    metrics = evaluate(
        model, "toy", "test", None, 0, out, engine=engine, tokenizer=Letters(), root=tmp_path / "root", batch=5
    )
    expected = sum(eval_seed("toy", 0, f"p{i}", s) % 2 for i in range(3) for s in range(4)) / 12
    assert metrics.values["avg@4"] == pytest.approx(expected)
    assert len({body["seed"] for _, body in server.seen}) == 12
