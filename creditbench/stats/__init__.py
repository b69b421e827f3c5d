"""Statistics for training seeds x problems x samples: knows arrays, nothing of models or files.

Every test takes y of shape (S seeds, P problems, K samples) with scores in [0, 1], averages over samples first,
and returns a `TestResult`. What would be invalid is refused (`Refusal`); what cannot be judged comes back without p.
"""

from creditbench.stats.arms import Arm, Refusal, arm
from creditbench.stats.classic import Friedman, clustered_se, crawford_howell, friedman_nemenyi, tost
from creditbench.stats.convergence import (
    Speedup,
    cost_to_target,
    largest_acceptable_speedup,
    trailing_mean,
    value_at_cost,
)
from creditbench.stats.estimators import avg_at_k, iqm, pass_at_k, pass_hat_k, probability_of_improvement
from creditbench.stats.invalid import (
    bootstrap_over_seeds,
    permutation_floor,
    permutation_test_on_seeds,
    pooled_samples_test,
)
from creditbench.stats.length import LengthMatched, accuracy_at_budgets, budgets_of, length_matched
from creditbench.stats.multiplicity import benjamini_hochberg, holm
from creditbench.stats.power import minimum_detectable_effect, problems_needed, seeds_needed
from creditbench.stats.ranks import Pair, Rank, all_pairs, p_best, rank_intervals, ranks_from_pairs
from creditbench.stats.result import ESTIMANDS, FIXED_SET, MIN_SEEDS, SUPERPOPULATION, TestResult
from creditbench.stats.tests import compare, one_sample_against_base, paired_on_seeds, welch_on_seeds
from creditbench.stats.two_way import score_interval, two_way_t
from creditbench.stats.variance import (
    PooledTest,
    SeedVariance,
    VarianceSplit,
    difference_split,
    pooled_against_base,
    pooled_seed_variance,
    pooled_test,
    variance_split,
)
from creditbench.stats.verdict import OUTCOMES, Reported, Verdict, default_margin, paper_verdict

__all__ = [
    "ESTIMANDS",
    "FIXED_SET",
    "MIN_SEEDS",
    "OUTCOMES",
    "SUPERPOPULATION",
    "Arm",
    "Friedman",
    "LengthMatched",
    "Pair",
    "PooledTest",
    "Rank",
    "Refusal",
    "Reported",
    "SeedVariance",
    "Speedup",
    "TestResult",
    "VarianceSplit",
    "Verdict",
    "accuracy_at_budgets",
    "all_pairs",
    "arm",
    "avg_at_k",
    "benjamini_hochberg",
    "bootstrap_over_seeds",
    "budgets_of",
    "clustered_se",
    "compare",
    "cost_to_target",
    "crawford_howell",
    "default_margin",
    "difference_split",
    "friedman_nemenyi",
    "holm",
    "iqm",
    "largest_acceptable_speedup",
    "length_matched",
    "minimum_detectable_effect",
    "one_sample_against_base",
    "p_best",
    "paired_on_seeds",
    "paper_verdict",
    "pass_at_k",
    "pass_hat_k",
    "permutation_floor",
    "permutation_test_on_seeds",
    "pooled_against_base",
    "pooled_samples_test",
    "pooled_seed_variance",
    "pooled_test",
    "probability_of_improvement",
    "problems_needed",
    "rank_intervals",
    "ranks_from_pairs",
    "score_interval",
    "seeds_needed",
    "tost",
    "trailing_mean",
    "two_way_t",
    "value_at_cost",
    "variance_split",
    "welch_on_seeds",
]
