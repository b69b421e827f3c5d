"""Plant the usual mistakes one by one in a copy of the tree and see the named tests fail.

python -m tests.methods.mutations            all, as a table; exit code 1 when one goes unnoticed
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("creditbench", "methods", "tests/methods", "tests/signals", "tests/trainer", "pyproject.toml")


@dataclass(frozen=True)
class Mutation:
    """A mistake: edits (file, old text, new text; every old text occurs) and the tests that must notice."""

    name: str
    edits: tuple[tuple[str, str, str], ...]
    tests: tuple[str, ...]


SC = "tests/methods/test_method_sc_grpo.py"
CAST = "tests/methods/test_method_cast.py"
GRPO = "tests/methods/test_method_grpo.py"
DAPO = "tests/methods/test_method_dapo.py"
OAR = "tests/methods/test_method_oar.py"
NEAR = "tests/methods/test_method_neighbours.py"
HAND = "tests/methods/test_slots_by_hand.py"
SECOND = "tests/methods/test_second_implementation.py::test_loss_and_gradient_agree_with_the_second_implementation"
METHOD, LOSS, LOOP = "creditbench/method.py", "creditbench/trainer/loss.py", "creditbench/trainer/loop.py"
UPDATE = "creditbench/trainer/update.py"
MUTATIONS = (
    Mutation(
        "SC-GRPO: reverse KL asked for",
        (("methods/sc_grpo/method.py", "kl_teacher_student", "kl_student_teacher"),),
        (f"{SC}::test_kl_direction_and_weight_by_the_book",),
    ),
    Mutation(
        "SC-GRPO: KL arguments swapped under the right name",
        (("creditbench/signals/compute.py", 'direction == "kl_teacher', 'direction != "kl_teacher'),),
        (
            f"{SC}::test_kl_direction_and_weight_by_the_book",
            "tests/signals/test_signals.py::test_policy_teacher_and_kl_against_full_logits",
        ),
    ),
    Mutation(
        "CAST: the gap keeps its gradient",
        (
            ("creditbench/signals/compute.py", "@torch.no_grad()\ndef policy_logp", "def policy_logp"),
            ("creditbench/trainer/loop.py", "    if credit_BT.requires_grad:\n", "    if False:\n"),
            ("creditbench/trainer/loop.py", "    credit_BT = credit_BT.detach()\n", ""),
        ),
        (f"{CAST}::test_gap_carries_no_gradient", f"{CAST}::test_gap_and_loss_by_the_book"),
    ),
    Mutation(
        "OPSD: clip per token instead of per vocabulary entry",
        (("creditbench/divergences.py", ".clamp(max=tau).sum(-1)", ".sum(-1).clamp(max=tau)"),),
        (
            "tests/methods/test_method_opsd.py::test_clip_acts_per_vocabulary_entry_before_the_sum",
            "tests/methods/test_method_opsd.py::test_loss_and_gradient_by_the_book",
        ),
    ),
    Mutation(
        "DAPO: sequence mean instead of token mean",
        (("methods/dapo/card.yaml", "aggregate: {paper: token-mean", "aggregate: {paper: sequence-mean"),),
        ("tests/methods/test_method_dapo.py::test_token_mean_over_the_whole_optimizer_batch_under_accumulation",),
    ),
    Mutation(
        "DAPO: token mean per micro-batch",
        (
            (
                "creditbench/trainer/update.py",
                "    batch = work.batch.rows(rows)\n    live_RT = work.live_BT[rows]\n",
                "    batch = work.batch.rows(rows)\n    live_RT = work.live_BT[rows]\n"
                "    of = Denominators(float(live_RT.sum()), of.rows, of.max_response)\n",
            ),
        ),
        ("tests/methods/test_method_dapo.py::test_token_mean_over_the_whole_optimizer_batch_under_accumulation",),
    ),
    Mutation(
        "OAR-G: the saliency pass writes parameter gradients",
        (
            (
                "creditbench/signals/answer.py",
                "        (grad_RLH,) = torch.autograd.grad(target, leaf_RLH)\n",
                "        target.backward()\n        grad_RLH = leaf_RLH.grad\n",
            ),
        ),
        ("tests/methods/test_method_oar.py::test_saliency_pass_leaves_parameter_gradients_untouched",),
    ),
    Mutation(
        "SC-GRPO: a rollout may read itself",
        (("methods/sc_grpo/method.py", "[j for j in right if j != i]", "list(right)"),),
        (
            f"{SC}::test_routing_by_number_correct",
            f"{SC}::test_a_rollout_never_reads_itself_and_the_choice_is_uniform",
        ),
    ),
    Mutation(
        "placebo: wrong context of the own problem",
        (("creditbench/placebos.py", "for d in range(g + 1, g + n)", "for d in range(g, g + n)"),
         ("creditbench/placebos.py", " if item_of[d % n].id != item_of[g].id]", "]")),
        ("tests/methods/test_placebos.py::test_wrong_context_is_never_the_own_problem",),
    ),
    # What a reviewer would try: conventions of the group score, sides of clips, estimators, clocks, scopes.
    Mutation(
        "GRPO: population standard deviation under the name of the sample one",
        ((METHOD, 'n_B - 1 if std == "sample" else n_B', "n_B"),),
        (f"{GRPO}::test_group_advantages_of_eight",),
    ),
    Mutation(
        "GRPO: eps under the root",
        ((METHOD, "(var_B.sqrt() + eps)", "(var_B + eps).sqrt()"),),
        (f"{GRPO}::test_each_group_is_scored_by_itself",),
    ),
    Mutation(
        "GRPO: k2 and k3 swapped",
        ((LOSS, 'kind == "k2"', 'kind == "k3 "'), (LOSS, 'kind == "k3"', 'kind == "k2"'),
         (LOSS, 'kind == "k3 "', 'kind == "k3"')),
        (f"{GRPO}::test_penalties_by_hand",),
    ),
    Mutation(
        "GRPO: penalty of the wrong sign of log r",
        ((LOSS, "(logp_ref_BT - logp_BT)", "(logp_BT - logp_ref_BT)"),),
        (f"{GRPO}::test_penalties_by_hand",),
    ),
    Mutation(
        "DAPO: clip-higher below, not above",
        ((LOSS, "clamp(1 - s.low, 1 + s.high)", "clamp(1 - s.high, 1 + s.low)"),),
        (f"{DAPO}::test_clip_higher_boundaries",),
    ),
    Mutation(
        "PPO: the optimistic of the two terms",
        ((LOSS, "-torch.minimum(unclipped_BT", "-torch.maximum(unclipped_BT"),),
        (f"{DAPO}::test_clip_higher_boundaries",),
    ),
    Mutation(
        "DAPO: groups filtered on the shaped reward",
        (("methods/dapo/method.py", "~uniform_groups(batch)", "~same_reward(batch.with_reward(reward_B))"),
         ("methods/dapo/method.py", "Surrogate, group_zscore", "Surrogate, group_zscore, same_reward")),
        (
            f"{DAPO}::test_reward_is_plus_minus_one_plus_length_and_selection_ignores_length",
            f"{DAPO}::test_dynamic_sampling_filters_on_correctness_not_on_the_shaped_reward",
        ),
    ),
    Mutation(
        "DAPO: token mean per process",
        ((UPDATE, "tokens = comm.sum(float(work.live_BT[list(rows)].sum()))",
          "tokens = float(work.live_BT[list(rows)].sum())"),),
        ("tests/trainer/test_processes.py::test_loss_and_gradients_equal_one_process",),
    ),
    Mutation(
        "truncated responses are never silenced",
        ((LOOP, "    if s.mask_truncated:\n", "    if False:\n"),),
        (f"{CAST}::test_truncated_rows_are_silent_and_keep_their_reward_in_the_statistics",
         "tests/trainer/test_update.py::test_live_tokens"),
    ),
    Mutation(
        "CAST: the copy is refreshed every n micro-batches",
        ((LOOP, "state.pool.after_step(state.optimizer_step)",
          "[state.pool.after_step(state.optimizer_step * len(micros) - i) for i in range(len(micros))]"),),
        ("tests/trainer/test_teacher_clock.py::test_casts_copy_is_the_student_of_every_nth_optimizer_step",),
    ),
    Mutation(
        "CAST: the copy is refreshed every n rollout batches",
        ((LOOP, "state.pool.after_step(state.optimizer_step)", "state.pool.after_step(state.step + 1)"),),
        ("tests/trainer/test_teacher_clock.py::test_casts_copy_is_the_student_of_every_nth_optimizer_step",),
    ),
    Mutation(
        "CAST: student minus teacher",
        (("creditbench/signals/requests.py", "self.logp_teacher_BT[teacher] - self.logp_old_BT",
          "self.logp_old_BT - self.logp_teacher_BT[teacher]"),),
        (f"{CAST}::test_gap_and_loss_by_the_book", f"{HAND}::test_cast", f"{HAND}::test_rlsd"),
    ),
    Mutation(
        "CAST: no final clip",
        (("methods/cast/method.py", "adv.clamp(-s.final_clip, s.final_clip)", "adv"),),
        (f"{CAST}::test_final_clip_and_one_sided_variants", f"{HAND}::test_cast"),
    ),
    Mutation(
        "CAST: only wrong responses are reversed",
        (("methods/cast/method.py", "pos & (gap < 0)", "pos & (gap < -1e9)"),),
        (f"{CAST}::test_closed_form_on_a_hundred_thousand_pairs", f"{HAND}::test_cast"),
    ),
    Mutation(
        "SC-GRPO: P50 for P75",
        (("methods/sc_grpo/card.yaml", "quantile: {paper: 0.75", "quantile: {paper: 0.5"),),
        (f"{SC}::test_saturating_weight_golden_values", f"{HAND}::test_sc_grpo"),
    ),
    Mutation(
        "SC-GRPO: quantile over this process alone",
        (("methods/sc_grpo/method.py", "batch.gather(kl_BT[at_BT])", "kl_BT[at_BT]"),),
        (f"{SC}::test_quantile_sees_other_processes_through_gather",),
    ),
    Mutation(
        "SC-GRPO: mean f over the whole response, not up to L_i",
        (("methods/sc_grpo/method.py", "at[: hint.completion.n_tokens]", "at"),),
        (f"{SC}::test_diversity_branch_by_the_book",
         f"{HAND}::test_sc_grpo_in_a_group_without_a_correct_response"),
    ),
    Mutation(
        "OAR: the quantile's level is overwritten by its value",
        (("creditbench/gates.py", "theta = torch.quantile(", "theta = quantile = torch.quantile("),),
        (f"{OAR}::test_gate_keeps_mass_floor_ceiling_and_order", f"{HAND}::test_oar"),
    ),
    Mutation(
        "OAR: mass is not kept",
        (("creditbench/gates.py", " if keep_mass else w", " if False else w"),),
        (f"{OAR}::test_gate_golden_values", f"{HAND}::test_oar",
         f"{OAR}::test_weights_sum_to_the_reasoning_tokens_and_leave_the_rest_alone"),
    ),
    Mutation(
        "OAR: KL of the perturbed from the clean answer",
        (("creditbench/signals/answer.py", "kl_divergence(clean, other)", "kl_divergence(other, clean)"),),
        ("tests/signals/test_signals.py::test_perturbation_equals_full_recomputation",),
    ),
    Mutation(
        "OPD: the student's advantage over the teacher",
        (("methods/opd/method.py", "return coef *", "return -coef *"),),
        ("tests/methods/test_method_opd.py::test_sampled_form_has_the_reverse_kl_gradient_in_expectation",
         f"{HAND}::test_opd"),
    ),
    Mutation(
        "OPSD: a live teacher",
        (("methods/opsd/card.yaml", "teacher: {paper: initial", "teacher: {paper: live"),),
        ("tests/methods/test_method_opsd.py::test_teacher_stays_the_initial_model",),
    ),
    Mutation(
        "OPSD's sampled form: the student's advantage over the teacher",
        (("methods/opsd/method.py", "adv_B[:, None] * signals.gap_BT", "-adv_B[:, None] * signals.gap_BT"),),
        ("tests/methods/test_method_opsd.py::test_sampled_form_is_equation_9",),
    ),
    Mutation(
        "GRPO+OPSD: the coefficient never decays",
        (("methods/grpo_distill/card.yaml", "coef_to: {paper: 0.0", "coef_to: {paper: 0.2"),),
        (f"{HAND}::test_grpo_distill_coefficients",),
    ),
    Mutation(
        "RLOO: the baseline counts the response itself",
        (("methods/rloo/method.py", "centred_B * n_B / (n_B - 1).clamp(min=1)", "centred_B"),),
        (f"{NEAR}::test_rloo_baseline_is_the_mean_of_the_others", f"{HAND}::test_advantages_and_selection"),
    ),
    Mutation(
        "GSPO: the ratio is not normalised by length",
        ((LOSS, "masked_mean(difference_BT, mask_BT).detach()", "difference_BT.sum(-1).detach()"),),
        (f"{NEAR}::test_gspo_ratio_and_clip_are_the_responses", f"{GRPO}::test_sequence_ratio_is_the_geometric_mean"),
    ),
    Mutation(
        "CISPO: the capped ratio keeps its gradient",
        ((LOSS, "capped_BT = ratio_BT.detach().clamp", "capped_BT = ratio_BT.clamp"),),
        (f"{NEAR}::test_cispo_caps_the_weight_and_never_the_gradient",),
    ),
    Mutation(
        "SDPO: the capped ratio keeps its gradient",
        ((UPDATE, "(logp_RT.detach() - old_RT).clamp", "(logp_RT - old_RT).clamp"),),
        (SECOND,),
    ),
    Mutation(
        "SDPG: distillation on every response",
        (("methods/sdpg/method.py", "weight=paid_off if s.gate else None", "weight=None"),),
        (f"{NEAR}::test_sdpg_three_terms_by_the_book",),
    ),
    Mutation(
        "GRAIL: right rows are weighed, wrong ones kept",
        (("methods/grail/method.py", '"wrong": adv_B > 0', '"wrong": adv_B <= 0'),),
        (f"{HAND}::test_grail", f"{NEAR}::test_grail_rows_and_answer_override"),
    ),
    Mutation(
        "RLSD: the gap's sign ignores the advantage",
        (("methods/rlsd/method.py", "(torch.sign(adv) * gap.clamp(-20, 20))", "gap.clamp(-20, 20)"),),
        (f"{NEAR}::test_rlsd_golden_values", f"{HAND}::test_rlsd"),
    ),
    Mutation(
        "80/20: the most certain tokens stay",
        (("methods/top_entropy/method.py", "(signals.entropy_BT.double() >= threshold)",
          "(signals.entropy_BT.double() <= threshold)"),),
        (f"{NEAR}::test_top_entropy_keeps_a_fifth_and_averages_over_it", f"{HAND}::test_top_entropy"),
    ),
)  # fmt: skip


def plant(mutation: Mutation, folder: Path) -> None:
    """Copy the tree and apply the edits; a text that no longer occurs is an error of this list."""
    for name in COPIED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)
    (folder / "benchmarks").mkdir()
    for file, old, new in mutation.edits:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise SystemExit(f"{mutation.name}: {file} no longer holds {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")


def failures(folder: Path, tests: tuple[str, ...]) -> tuple[list[str], str]:
    """Names of the tests that fail in a tree, and the tail of pytest's output."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=line", *tests]
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=900)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest could not run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE), done.stdout[-2000:]


def caught_by(mutation: Mutation) -> list[str]:
    """The named tests that fail when the mistake is planted; each named test function must be among them."""
    with tempfile.TemporaryDirectory() as folder:
        plant(mutation, Path(folder))
        failed, _ = failures(Path(folder), mutation.tests)
    return [test for test in mutation.tests if any(f.split("[")[0] == test for f in failed)]


def main() -> int:
    """Print which tests notice each mistake."""
    missed = 0
    for mutation in MUTATIONS:
        caught = caught_by(mutation)
        missed += set(caught) != set(mutation.tests)
        print(f"{'caught' if caught else 'MISSED'}  {mutation.name}")
        for test in caught:
            print(f"          {test}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
