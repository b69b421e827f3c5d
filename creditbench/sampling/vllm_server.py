"""A vLLM server of our own behind a Unix socket, in another environment than the trainer's.

Weights travel through a file (in memory where the system has /dev/shm). The server's development mode can run any
method of its workers, so it takes no port: its socket lies in a folder that only this user can enter. It ends with
this process, whatever ends that.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from creditbench.accelerators import VISIBLE, of_rank
from creditbench.errors import BadInput, CheckFailed
from creditbench.launch import die_with_parent
from creditbench.sampling.engines import Model, stop_ids
from creditbench.sampling.resend import ResendSession
from creditbench.sampling.types import Generation, Ids, SamplingParams, check_batch
from creditbench.sampling.vllm import QUIET, check_seeds, interpreter, saved
from creditbench.sampling.weights import plain_state

NAME = "policy"
_LARGEST_SEED = 2**63 - 1
LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells the trainer's processes; the server is a world of its own."""
_LONGEST_SOCKET = 100  # bytes; Linux takes 107


class _Local(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class VLLMServer:
    """The `vllm` engine as a server process. Options as of `VLLMEngine`; python: the interpreter that has vLLM.

    Tokens go in and come out; the server needs no tokenizer. Raises CheckFailed when it does not come up.
    """

    name = "vllm"

    def __init__(
        self,
        model: Model,
        eos_ids: Collection[int] | None = None,
        batch_rows: int = 256,
        dtype: str | None = None,
        max_model_len: int | None = None,
        memory_share: float = 0.45,
        python: str | None = None,
        start_seconds: float = 600.0,
    ):
        import torch

        self.batch_rows, self._gpu, self._asleep = batch_rows, torch.cuda.is_available(), False
        self._closed = False
        program = python or interpreter()  # before anything is made that would have to go again
        self._stops = sorted(stop_ids(model, eos_ids))
        folder, self._folder = saved(model)
        self._place = _socket_folder()
        self._socket = f"{self._place}/http"
        words = [program, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
        words += ["--uds", self._socket, "--served-model-name", NAME, "--seed", "0"]
        words += ["--max-num-seqs", str(batch_rows), "--enable-prefix-caching"]
        words += ["--skip-tokenizer-init", "--enable-scale-out"]  # tokens in, tokens out
        words += ["--worker-extension-cls", "creditbench.sampling.vllm_worker.TakeWeights"]
        words += ["--max-model-len", str(max_model_len)] if max_model_len else []
        words += _device_words(dtype, memory_share, self._gpu)
        self._log = tempfile.NamedTemporaryFile("w+", prefix="creditbench-vllm-", suffix=".log")  # noqa: SIM115
        self._process = subprocess.Popen(
            words, env=_environment(), stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL,
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM), start_new_session=True,
        )  # fmt: skip
        atexit.register(self.close)
        try:
            self._await_start(start_seconds)
            self.version = str(self._call("/version", None)["version"])
            self.max_context: int | None = self._call("/v1/models", None)["data"][0].get("max_model_len")
        except BaseException:  # an interrupt or a test's time limit too
            self.close()
            raise

    def _await_start(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(CheckFailed):
                self._call("/health", None, seconds=5)
                return
            time.sleep(0.5)
        if self._process.poll() is None:
            raise CheckFailed(f"engine vllm: the server did not start within {seconds:g} seconds")
        said = [line for line in Path(self._log.name).read_text(errors="replace").splitlines() if line.strip()]
        last = ([line for line in said if "Error" in line] or said or ["it said nothing"])[-1]
        raise CheckFailed(f"engine vllm: the server did not start: {last.strip()[-300:]}")

    def _call(self, path: str, body: dict[str, Any] | None, seconds: float = 3600) -> Any:
        """GET without, POST with a body. Raises CheckFailed with the server's own words."""
        data = None if body is None else json.dumps(body).encode()
        connection = _Local(self._socket, seconds)
        try:
            connection.request("GET" if data is None else "POST", path, data, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            said = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise CheckFailed(f"engine vllm: {path}: the server does not answer ({error!r})") from None
        finally:
            connection.close()
        if reply.status >= 400:
            raise CheckFailed(f"engine vllm: {path}: {reply.status} {said[:300].decode('utf-8', 'replace')}")
        return json.loads(said) if said.strip() else None

    def generate(self, prompts: Sequence[Ids], seeds: Sequence[int], params: SamplingParams) -> list[Generation]:
        """See `Engine.generate`: one request per sample, all in flight at once."""
        check_batch(prompts, seeds)
        check_seeds(prompts, seeds)
        if self._asleep:
            raise BadInput("engine vllm: asleep; call wake() before generate()")
        with ThreadPoolExecutor(min(self.batch_rows, 64)) as pool:
            return list(pool.map(lambda p, s: self._one(p, s, params), prompts, seeds))

    def _one(self, prompt: Ids, seed: int, params: SamplingParams) -> Generation:
        body = {
            "model": NAME,
            "token_ids": [int(i) for i in prompt],
            "sampling_params": {
                "max_tokens": params.max_new_tokens,
                "temperature": params.temperature,
                "top_p": params.top_p,
                "top_k": params.top_k,
                "presence_penalty": params.presence_penalty,
                "seed": int(seed) & _LARGEST_SEED,
                "logprobs": 0,
                "stop_token_ids": self._stops,
                "ignore_eos": True,
                "detokenize": False,
            },
        }
        reply = self._call("/inference/v1/generate", body)
        try:
            (choice,) = reply["choices"]
            ids = tuple(int(i) for i in choice["token_ids"])
            logps = tuple(float(at["logprob"]) for at in choice["logprobs"]["content"])
        except (KeyError, TypeError, ValueError):
            raise CheckFailed(f"engine vllm: expected one choice with ids and logprobs, got {reply!r:.300}") from None
        if len(ids) != len(logps):
            raise CheckFailed(f"engine vllm: {len(ids)} tokens, but {len(logps)} log-probabilities")
        return Generation(ids, logps, "stop" if choice["finish_reason"] == "stop" else "length")

    def session(self, rows: int, params: SamplingParams, capacity: int = 0) -> ResendSession:
        """See `Engine.session`."""
        return ResendSession(self, rows, params)

    def update_weights(self, weights: Any) -> None:
        """Send the weights of a live module or a state dict through a file, and clear the prefix cache."""
        from safetensors.torch import save_file

        state = {name: value.cpu().clone().contiguous() for name, value in plain_state(weights).items()}
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        with tempfile.TemporaryDirectory(prefix="creditbench-weights-", dir=memory) as folder:
            path = f"{folder}/weights.safetensors"
            save_file(state, path)
            reply = self._call("/collective_rpc", {"method": "take_weights", "args": [path]})
        if any(int(taken) != len(state) for taken in reply["results"]):
            raise CheckFailed(f"engine vllm: sent {len(state)} weights, the server took {reply['results']}")
        self._call("/reset_prefix_cache", {})

    def sleep(self) -> None:
        """Give back an accelerator's memory; on a CPU the server would only stop answering, so it is left alone."""
        if self._gpu and not self._asleep:
            self._call("/sleep?level=1", {})
        self._asleep = True

    def wake(self) -> None:
        """Undo `sleep`."""
        if self._gpu and self._asleep:
            self._call("/wake_up", {})
        self._asleep = False

    def close(self) -> None:
        """End the server and all it started (it also ends with this process)."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # its session: the engine's own processes, had they stayed
        self._process.wait()
        shutil.rmtree(self._place, ignore_errors=True)
        self._log.close()


def _socket_folder() -> str:
    """A new folder that only this user can enter, with a name short enough for a socket inside."""
    made = tempfile.mkdtemp(prefix="creditbench-")
    if len(os.fsencode(made)) > _LONGEST_SOCKET:
        os.rmdir(made)
        made = tempfile.mkdtemp(prefix="creditbench-", dir="/tmp")
    return made


def _device_words(dtype: str | None, memory_share: float, gpu: bool) -> list[str]:
    words = ["--dtype", dtype or ("bfloat16" if gpu else "float32")]
    if gpu:
        return [*words, "--gpu-memory-utilization", str(memory_share), "--enable-sleep-mode"]
    return [*words, "--enforce-eager"]


def _environment() -> dict[str, str]:
    """The server's environment: development mode (weight updates), and this package for its worker extension."""
    root = str(Path(__file__).parents[2])
    told = {"VLLM_SERVER_DEV_MODE": "1", "PYTHONPATH": root, "HF_HUB_OFFLINE": "1"}
    quiet = {name: value for name, value in QUIET.items() if name != "VLLM_ENABLE_V1_MULTIPROCESSING"}
    kept = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
    if (mine := of_rank(os.environ)) is not None:
        told[VISIBLE] = mine
    return {**quiet, **kept, **told}
