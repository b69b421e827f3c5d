"""The `vllm` engine, inside this process or as a server of its own.

vLLM needs an older transformers than the trainer, so the usual arrangement is a server that runs in the environment
that `requirements/vllm.sh` makes; where vLLM can be imported here, it runs here. Either form takes one request and
one seed per sample (of one request with n samples, sample k would be that of seed + k), and gets the head's weights
with every push, tied or not (a head left out would silently stay on the old weights).
"""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from creditbench.errors import BadInput
from creditbench.sampling.engines import Model, stop_ids
from creditbench.sampling.resend import ResendSession
from creditbench.sampling.types import Generation, Ids, SamplingParams, check_batch
from creditbench.sampling.weights import plain_state

INTERPRETER = "CREDITBENCH_VLLM_PYTHON"  # the Python that has vLLM; default: .venv-vllm beside the package
QUIET = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # truly in this process, so that live tensors can be handed over
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_HOST_IP": "127.0.0.1",  # what little its processes say over TCP stays on this machine
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


def importable() -> bool:
    """Whether vLLM is installed in this environment (its code, not just a distribution of that name)."""
    return importlib.util.find_spec("vllm") is not None


def interpreter() -> str:
    """The Python of an environment that has vLLM. Raises BadInput when there is none."""
    told = os.environ.get(INTERPRETER, "") or (sys.executable if importable() else "")
    found = told or str(Path(__file__).parents[2] / ".venv-vllm" / "bin" / "python")
    if shutil.which(found) is None:
        raise BadInput(f"engine vllm: {found} not found; run `sh requirements/vllm.sh`, or set {INTERPRETER}")
    return found


def open_vllm(model: Model, **options: Any) -> Any:
    """A `VLLMEngine` where vLLM can be imported, a `VLLMServer` elsewhere. Raises BadInput without either."""
    if importable() and os.environ.get("WORLD_SIZE", "1") == "1":
        return VLLMEngine(model, **options)
    # Under torchrun the process group is the trainer's; vLLM's own needs another process.
    from creditbench.sampling.vllm_server import VLLMServer

    return VLLMServer(model, **options)


def saved(model: Model) -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    """The folder of a saved model; a live one is saved into a temporary folder, which is returned too."""
    if isinstance(model, (str, Path)):
        if not (Path(model) / "config.json").is_file():
            raise BadInput(f"{model}: expected a saved model, found no config.json")
        return Path(model), None
    folder = tempfile.TemporaryDirectory(prefix="creditbench-vllm-")
    inner = getattr(model, "module", model)
    plain = inner.get_base_model() if hasattr(inner, "peft_config") else inner
    plain.save_pretrained(folder.name, state_dict=plain_state(model))
    return Path(folder.name), folder


def check_seeds(prompts: Sequence[Ids], seeds: Sequence[int]) -> None:
    """Refuse two samples of one prompt with one seed: they would be copies of each other."""
    keys = {(tuple(p), int(s)) for p, s in zip(prompts, seeds, strict=True)}
    if len(keys) != len(prompts):
        raise BadInput("seeds: two samples of one prompt share a seed; they would be copies of each other")


class VLLMEngine:
    """vLLM in this process. Its start takes over torch's thread setting (one thread unless OMP_NUM_THREADS says more).

    dtype: `float32` or `bfloat16`; default float32 on CPU, bfloat16 on an accelerator. max_model_len: longest prompt
    plus completion (default: the model's). memory_share: share of an accelerator's memory that vLLM may take.
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
    ):
        for key, value in QUIET.items():
            os.environ.setdefault(key, value)
        import torch

        vllm: Any = importlib.import_module("vllm")
        self.version, self.batch_rows = vllm.__version__, batch_rows
        self._stops = sorted(stop_ids(model, eos_ids))
        folder, self._folder = saved(model)
        self._gpu, self._asleep = torch.cuda.is_available(), False
        more: dict[str, Any] = {}
        if self._gpu:
            more = {"gpu_memory_utilization": memory_share, "enable_sleep_mode": True}
        self._llm = vllm.LLM(
            model=str(folder),
            skip_tokenizer_init=True,
            dtype=dtype or ("bfloat16" if self._gpu else "float32"),
            max_model_len=max_model_len,
            max_num_seqs=batch_rows,
            enforce_eager=not self._gpu,
            enable_prefix_caching=True,
            seed=0,
            **more,
        )
        facts = getattr(self._llm, "model_config", None) or getattr(self._llm.llm_engine, "model_config", None)
        self.max_context: int | None = getattr(facts, "max_model_len", None)

    def generate(self, prompts: Sequence[Ids], seeds: Sequence[int], params: SamplingParams) -> list[Generation]:
        """See `Engine.generate`. Batches are cut every `batch_rows` prompts, so that a resumed list cuts alike."""
        import vllm

        check_batch(prompts, seeds)
        check_seeds(prompts, seeds)
        if self._asleep:
            raise BadInput("engine vllm: asleep; call wake() before generate()")
        done: list[Generation] = []
        for start in range(0, len(prompts), self.batch_rows):
            part = slice(start, start + self.batch_rows)
            asked = [vllm.SamplingParams(**self._request(params, seed)) for seed in seeds[part]]
            texts: list[Any] = [{"prompt_token_ids": [int(i) for i in prompt]} for prompt in prompts[part]]
            done += [_generation(out) for out in self._llm.generate(texts, asked, use_tqdm=False)]
        return done

    def _request(self, params: SamplingParams, seed: int) -> dict[str, Any]:
        return {
            "max_tokens": params.max_new_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k,
            "presence_penalty": params.presence_penalty,
            "seed": int(seed),
            "logprobs": 0,  # of the sampled token alone, before temperature and filters
            "stop_token_ids": self._stops,
            "ignore_eos": True,  # the list above says it all; the model's own setting must not add to it
            "detokenize": False,
        }

    def session(self, rows: int, params: SamplingParams, capacity: int = 0) -> ResendSession:
        """See `Engine.session`."""
        return ResendSession(self, rows, params)

    def update_weights(self, weights: Any) -> None:
        """Load the weights of a live module or a state dict, and forget what the prefix cache knew of the old ones."""
        state = plain_state(weights)
        self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(state.items())})
        self._llm.reset_prefix_cache()

    def sleep(self) -> None:
        """Give back an accelerator's memory (on a CPU nothing can be given back)."""
        if self._gpu and not self._asleep:
            self._llm.sleep(level=1)
        self._asleep = True

    def wake(self) -> None:
        """Undo `sleep`."""
        if self._gpu and self._asleep:
            self._llm.wake_up()
        self._asleep = False

    def close(self) -> None:
        """Give everything back; the engine cannot be used again."""
        import torch

        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()
        if self._gpu:
            torch.cuda.empty_cache()


def _generation(out: Any) -> Generation:
    """One request's only sample."""
    (best,) = out.outputs
    ids = tuple(int(i) for i in best.token_ids)
    logps = tuple(float(at[token].logprob) for token, at in zip(ids, best.logprobs, strict=True))
    return Generation(ids, logps, "stop" if best.finish_reason == "stop" else "length")
