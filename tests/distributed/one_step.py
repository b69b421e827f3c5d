"""One optimizer step of several methods on two ranks, sharded by FSDP2 (or with adapters); run by torchrun.

Usage: torchrun --nproc-per-node 2 tests/distributed/one_step.py FOLDER: writes rank<r>.pt there.
"""

import copy
import sys
from pathlib import Path

import torch
from torch import nn

from creditbench.conformance.synthetic import SETTINGS, nudged, synthetic_batch, tiny_model, work_of
from creditbench.method import get_method
from creditbench.sampling.weights import full, plain_state
from creditbench.trainer.comm import Comm, connect
from creditbench.trainer.fsdp import is_sharded, load_whole_state, shard, whole_state
from creditbench.trainer.teachers import TeacherPool
from creditbench.trainer.update import Tally, optimizer_step

CASES = [(m, False) for m in ("grpo", "cast", "sc_grpo", "oar_g", "oar_p", "opsd")] + [("grpo", True)]
# Unequal token counts on the two ranks, and a rank on which one group has nothing to compare.
MARKS = [[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0], [1, 0, 1, 1]]
LENGTHS = [[12, 12, 11, 16], [9, 12, 16, 14], [5, 6, 5, 7], [5, 1, 2, 6]]
S = SETTINGS.model_copy(update={"micro_rows": 4, "epochs_per_rollout": 2, "logits_tile": 3})
LR = 1e-3


def adapted(model: nn.Module) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(5)
    wrapped = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", lora_dropout=0.0))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
    return wrapped


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the whole weights."""
    return {name: value.clone() for name, value in plain_state(model).items()}


def one_step(name: str, lora: bool, comm: Comm, sharded: bool) -> dict:
    """Loss, gradients, gradient norm, and the weights before and after one step of AdamW, all whole."""
    batch = synthetic_batch(MARKS, lengths=LENGTHS, micro_rows=4)
    share = comm.share(len(MARKS))
    mine = [b for b in range(batch.n_rows) if share.start <= int(batch.group_B[b]) < share.stop]
    part = batch.rows(mine)
    registered = get_method(name)
    method = registered.method(registered.own_defaults("tiny"))
    model = nudged(tiny_model(), 0.02)
    if lora:
        model = adapted(model)
    pool = TeacherPool(model, method.teachers)
    if sharded:
        model = shard(model)
        pool.student = model
    assert is_sharded(model) == sharded
    work = work_of(model, method, part, S, comm=comm, pool=pool)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=LR)
    before = snapshot(model)
    tally = Tally()
    each = 4 if comm.rank == 0 else 8  # the second process has fewer micro-batches, as after dynamic sampling
    micros = [list(range(i, i + each)) for i in range(0, len(mine), each)]
    optimizer_step(model, method, work, micros, S, comm, tally)
    grads = {n: full(p.grad).clone() for n, p in model.named_parameters() if p.grad is not None}
    norm = float(full(nn.utils.clip_grad_norm_(model.parameters(), 1.0)))
    optimizer.step()
    after = snapshot(model)
    weights, moments = copy.deepcopy(whole_state(model, optimizer))
    # A checkpoint of the whole state restores every shard.
    with torch.no_grad():
        for parameter in trainable:
            parameter.zero_()
    load_whole_state(model, optimizer, weights, moments)
    restored = snapshot(model)
    again, _ = whole_state(model, optimizer)
    assert all(torch.equal(again[k], weights[k]) for k in weights)
    return {
        "loss": comm.sum(tally.loss + tally.distill), "grads": grads, "norm": norm, "before": before, "after": after,
        "restored": restored, "credit": comm.gather(work.credit_BT), "moments": moments["state"],
    }  # fmt: skip


def results(comm: Comm, sharded: bool) -> dict:
    return {(name, lora): one_step(name, lora, comm, sharded) for name, lora in CASES}


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = connect(2)
    torch.save(results(here, sharded=True), Path(sys.argv[1]) / f"rank{here.rank}.pt")
    here.barrier()
    torch.distributed.destroy_process_group()
