"""Training settings every method understands. One flat, frozen namespace per run.

Precedence: suite common < track < method card's defaults for the suite's class < variant < the suite's per-arm
override. A method adds settings of its own in its card; an unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

LATER = {"presence_penalty": 0.0}
"""Settings that came after results had been stored, with the value that changes nothing."""


class TrainSettings(BaseModel):
    """Settings of the algorithm-blind trainer. Methods' own settings ride along in `method`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # rollouts
    prompts_per_step: int = Field(8, ge=1, description="groups per rollout batch")
    group_size: int = Field(8, ge=1, description="G, responses per prompt")
    max_new_tokens: int = Field(48, ge=1, description="cap on model tokens per turn")
    max_turns: int = Field(1, ge=1)
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    presence_penalty: float = Field(
        0.0, ge=-2, le=2, description="off the logits of tokens that the turn already holds, in rollouts only"
    )
    engine: Literal["raw", "hf", "vllm"] = "raw"
    trainer: Literal["own", "trl"] = Field("own", description="`trl` runs slots 4 and 5 on TRL's GRPOTrainer")
    # optimisation
    steps: int = Field(120, ge=1, description="rollout batches, i.e. steps of the loop")
    updates_per_rollout: int = Field(1, ge=1, description="optimizer steps per rollout batch (mini-batches of groups)")
    epochs_per_rollout: int = Field(1, ge=1, description="passes over the rollout batch")
    micro_rows: int = Field(64, ge=1, description="responses per forward/backward; accumulation covers the rest")
    lr: float = Field(3e-4, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    min_lr_ratio: float = Field(0.0, ge=0, le=1)
    weight_decay: float = Field(0.0, ge=0)
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_eps: float = 1e-8
    grad_clip: float = Field(1.0, gt=0, description="maximum global gradient norm")
    mask_truncated: bool = Field(
        False, description="truncated responses carry no loss; their reward counts"
    )
    max_steps_without_batch: int = Field(
        10, ge=1, description="dynamic sampling: generated batches per step before giving up"
    )
    # numerics
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    logits_tile: int = Field(4096, ge=1, description="tokens per tile of the vocabulary projection")
    gradient_checkpointing: bool = False
    lora_r: int = Field(0, ge=0, description="0 trains all weights")
    lora_alpha: int = 0
    # bookkeeping
    checkpoint_every: int = Field(20, ge=1)
    log_every: int = Field(1, ge=1)
    store_rollouts: bool = Field(False, description="keep rollouts so that a D2 replay can reuse them")
    reward: Literal["graded", "random"] = Field(
        "graded", description="`random` is the contamination probe"
    )
    method: dict[str, Any] = Field(default_factory=dict, description="the method's own settings")

    @model_serializer(mode="wrap")
    def _as_told(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what came later and is off: digests of results from before stay what they are."""
        told = write(self)
        return {key: value for key, value in told.items() if key not in LATER or value != LATER[key]}
