"""Peak memory of full-vocabulary quantities, tile by tile against all at once, at the size of a real model's head.

Run: python tests/perf/tiles_memory.py [B T V H]. Default B=2, T=1024, V=151,936, H=32 in float32 on CPU (H is small so
that the head's own weights do not hide the logits). Each case runs in a process of its own; the peak is the rise of
the process's resident memory over what it held before. Ends with code 1 when a ratio is above 1/8 or a value is off by
more than 1e-6 of its size, or 1e-6 nat where it is below one nat (float32 rounding of the textbook form itself).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from creditbench.divergences import generalized_jsd
from creditbench.signals.compute import PassOptions, tiled_kl
from creditbench.signals.forward import logp_and_entropy, tile_size, tiled_divergence

CASES = ("logp", "entropy", "kl", "jsd")
BETA = 0.5
LIMIT = 1 / 8


def inputs(B: int, T: int, V: int, H: int) -> tuple[nn.Linear, nn.Linear, Tensor, Tensor, Tensor]:
    """Student and teacher heads, their hidden states [B,T,H], sampled tokens [B,T]."""
    torch.manual_seed(0)
    heads = nn.Linear(H, V, bias=False), nn.Linear(H, V, bias=False)
    return *heads, torch.randn(B, T, H), torch.randn(B, T, H), torch.randint(0, V, (B, T))


def _backward(value_BT: Tensor, hidden_BTH: Tensor, head: nn.Linear) -> tuple[Tensor, list[Tensor]]:
    value_BT.sum().backward()
    assert hidden_BTH.grad is not None and head.weight.grad is not None
    grads = [hidden_BTH.grad, head.weight.grad.clone()]
    head.weight.grad = None
    return value_BT.detach(), grads


def naive(
    case: str, student: nn.Linear, teacher: nn.Linear, s_BTH: Tensor, t_BTH: Tensor, token_BT: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Value [B,T] and gradients (states, head) by the textbook: all logits at once."""
    s_BTH = s_BTH.detach().requires_grad_(case in ("logp", "jsd"))
    with torch.set_grad_enabled(s_BTH.requires_grad):
        log_s = torch.log_softmax(student(s_BTH), -1)
        if case == "logp":
            return _backward(log_s.gather(-1, token_BT[..., None])[..., 0], s_BTH, student)
        if case == "entropy":
            return -(log_s.exp() * log_s).sum(-1), []
        with torch.no_grad():
            log_t = torch.log_softmax(teacher(t_BTH), -1)
        if case == "kl":
            return (log_t.exp() * (log_t - log_s)).sum(-1), []
        mean = (BETA * log_t.exp() + (1 - BETA) * log_s.exp()).log()
        left, right = (log_t.exp() * (log_t - mean)).sum(-1), (log_s.exp() * (log_s - mean)).sum(-1)
        return _backward(BETA * left + (1 - BETA) * right, s_BTH, student)


def tiled(
    case: str, student: nn.Linear, teacher: nn.Linear, s_BTH: Tensor, t_BTH: Tensor, token_BT: Tensor, tile: int = 4096
) -> tuple[Tensor, list[Tensor]]:
    """The same by the trainer's own functions."""
    shape, H = token_BT.shape, s_BTH.shape[-1]
    s_BTH = s_BTH.detach().requires_grad_(case in ("logp", "jsd"))
    student_NH, teacher_NH = s_BTH.reshape(-1, H), t_BTH.reshape(-1, H)
    with torch.set_grad_enabled(s_BTH.requires_grad):
        if case in ("logp", "entropy"):
            logp_N, entropy_N = logp_and_entropy(student, student_NH, token_BT.reshape(-1), tile=tile)
            if case == "entropy":
                return entropy_N.reshape(shape), []
            return _backward(logp_N.reshape(shape), s_BTH, student)
        if case == "kl":
            direction = "kl_teacher_student"
            options = PassOptions(tile=tile)
            values = tiled_kl(teacher, teacher_NH, student, student_NH, [direction], options)
            return values[direction].reshape(shape), []
        jsd = partial(generalized_jsd, beta=BETA)
        loss_N = tiled_divergence(student, student_NH, teacher, teacher_NH, jsd, tile=tile)
        return _backward(loss_N.reshape(shape), s_BTH, student)


def _resident(field: str) -> float:
    """VmRSS (now) or VmHWM (peak since the last reset) in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {field}")


def measure(how: str, case: str, sizes: Sequence[int]) -> dict[str, float]:
    """Run one case in this process; its peak, seconds, and a checksum of values and gradients go to stdout as JSON."""
    torch.set_num_threads(1)
    given = inputs(*sizes)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is held now
    before, start = _resident("VmRSS"), time.perf_counter()
    value, grads = (naive if how == "naive" else tiled)(case, *given)
    seconds, peak = time.perf_counter() - start, _resident("VmHWM") - before
    torch.save([value, *grads], sys.argv[-1])
    return {"peak_mib": peak, "seconds": seconds}


def main(sizes: Sequence[int] = (2, 1024, 151_936, 32)) -> int:
    """Compare every case and print one line each."""
    B, T, V, H = sizes
    with torch.device("meta"):
        tile = tile_size(nn.Linear(H, V, bias=False), 4096)
    print(f"B={B} T={T} V={V:,} H={H} float32, one thread; {tile} tokens per tile")
    failed = 0
    for case in CASES:
        found, values = {}, {}
        for how in ("naive", "tiled"):
            with tempfile.NamedTemporaryFile() as file:
                words = [sys.executable, __file__, "--one", how, case, *map(str, sizes), file.name]
                done = subprocess.run(words, capture_output=True, text=True, check=True)
                found[how] = json.loads(done.stdout)
                values[how] = torch.load(file.name)
        ratio = found["tiled"]["peak_mib"] / found["naive"]["peak_mib"]
        pairs = list(zip(values["tiled"], values["naive"], strict=True))
        worst = [float((a - b).abs().max() / b.abs().max()) for a, b in pairs]
        off = float((pairs[0][0] - pairs[0][1]).abs().max() / pairs[0][1].abs().max().clamp(min=1))
        good = ratio <= LIMIT and off <= 1e-6
        failed += not good
        print(
            f"{case:8} naive {found['naive']['peak_mib']:7.0f} MiB {found['naive']['seconds']:5.1f} s   "
            f"tiled {found['tiled']['peak_mib']:6.0f} MiB {found['tiled']['seconds']:5.1f} s   ratio {ratio:.3f}   "
            f"relative difference: value {worst[0]:.1e}" + "".join(f", gradient {w:.1e}" for w in worst[1:])
            + ("" if good else "   ABOVE THE LIMIT")
        )  # fmt: skip
    return int(failed > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], [int(x) for x in sys.argv[4:8]])))
    else:
        sys.exit(main([int(x) for x in sys.argv[1:5]] or (2, 1024, 151_936, 32)))
