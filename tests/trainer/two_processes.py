"""One rank of the two-process test: its own groups, the shared optimizer batch, gradients summed. Run by torchrun."""

import sys
from pathlib import Path

import torch

from creditbench.conformance.synthetic import SETTINGS, nudged, outcome_of, synthetic_batch, tiny_model, work_of
from creditbench.method import get_method, method_names
from creditbench.rollouts import RolloutBatch
from creditbench.trainer.comm import Comm, connect

METHODS = method_names()
# Unequal token counts on the two ranks (groups 0, 1 against groups 2, 3), also after truncation is masked.
MARKS = [[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0], [1, 0, 1, 1]]
LENGTHS = [[12, 12, 11, 16], [9, 12, 16, 14], [5, 6, 5, 7], [5, 1, 2, 6]]
S = SETTINGS.model_copy(update={"micro_rows": 3, "mask_truncated": True, "updates_per_rollout": 1})


def batch() -> RolloutBatch:
    return synthetic_batch(MARKS, lengths=LENGTHS, truncated=[3, 10], micro_rows=3)


def results(comm: Comm) -> dict:
    """Loss, gradients and credit of every method; gradients at a policy that has moved since the rollouts."""
    whole, out = batch(), {}
    share = comm.share(len(MARKS))
    mine = [b for b in range(whole.n_rows) if share.start <= int(whole.group_B[b]) < share.stop]
    part = whole.rows(mine)
    sizes = torch.bincount(part.group_B)
    assert sizes.tolist() == [4] * (share.stop - share.start), "a group was split"
    old, new, external = tiny_model(), nudged(tiny_model(), 0.02), tiny_model(5)
    for name in METHODS:
        registered = get_method(name)
        method = registered.method(registered.own_defaults("tiny"))
        s = S.model_copy(update={"epochs_per_rollout": 2})
        work = work_of(old, method, part, s, comm=comm, external=external)
        micros = [list(range(i, min(i + 3, len(mine)))) for i in range(0, len(mine), 3)]
        got = outcome_of(new, method, work, S, micros=micros, comm=comm)
        out[name] = {"loss": got.loss, "grads": got.grads, "credit": comm.gather(work.credit_BT)}
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = connect(2)
    found = results(here)
    torch.save(found, Path(sys.argv[1]) / f"rank{here.rank}.pt")
    here.barrier()
    torch.distributed.destroy_process_group()
