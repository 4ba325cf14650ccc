"""The summary of claims: worked by hand, and simulated error rates and power."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from throughtime.records.statistics.interval import Interval, mean_interval
from throughtime.records.statistics.summary import differs, lean_of, mean_over_datasets, share

DATASETS, REPLICATES, TRIALS = (1, 3, 7, 14), (3, 5, 10), 1500
GRID = [(D, n) for D in DATASETS for n in REPLICATES]


def drawn(D: int, n: int, seed: int = 0) -> np.ndarray:
    """Normal numbers [TRIALS, D, n] with mean 0 and variance 1."""
    return np.random.default_rng(seed).standard_normal((TRIALS, D, n))


def words(trials: np.ndarray) -> dict[str, float]:
    """Share of each word for the statement that the mean exceeds 0."""
    leans = [lean_of(mean_over_datasets(x), low=0) for x in trials]
    return {word: leans.count(word) / len(leans) for word in ("for", "against")}


def rule_of_single_datasets(trials: np.ndarray) -> dict[str, float]:
    """The rule before: 2 standard errors on each dataset; for if all are above 0, against if any is below."""
    mean, reach = trials.mean(2), 2 * trials.std(2, ddof=1) / math.sqrt(trials.shape[2])
    return {"for": (mean > reach).all(1).mean(), "against": (mean < -reach).any(1).mean()}


@pytest.mark.parametrize(("D", "n"), GRID)
def test_equal_truth_gives_either_word_in_at_most_5_percent(D, n):
    assert all(rate <= 0.05 for rate in words(drawn(D, n)).values())


@pytest.mark.parametrize("n", REPLICATES)
@pytest.mark.parametrize("source", ["datasets", "replicates"])
def test_the_rates_hold_where_datasets_or_seeds_differ(source, n):
    """An effect of a dataset on all its replicates, or of a seed on all datasets, twice as large as the noise."""
    common = 2 * np.random.default_rng(1).standard_normal((TRIALS, 7, 1) if source == "datasets" else (TRIALS, 1, n))
    assert all(rate <= 0.05 for rate in words(drawn(7, n) + common).values())


def test_a_rule_that_reads_each_dataset_fails_this():
    rates = rule_of_single_datasets(drawn(14, 3))
    assert rates["against"] > 0.4


def test_runs_in_place_of_replicates_fail_this():
    """21 runs of 3 seeds, whose effects all datasets share, are not 21 replicates."""
    seeds = 2 * np.random.default_rng(1).standard_normal((TRIALS, 1, 3))
    pooled = (drawn(7, 3) + seeds).reshape(TRIALS, 1, 21)
    assert max(words(pooled).values()) > 0.2


def test_the_power_is_that_of_the_docs():
    """The table of docs/verdicts.md has the share of `supported` at a true difference of 1, 2 and 3 deviations."""
    page = (Path(__file__).parents[2] / "docs/verdicts.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) % \| (\d+) % \| (\d+) % \|$", page, re.MULTILINE)
    assert [(int(D), int(n)) for D, n, *_ in rows] == GRID
    for D, n, *powers in rows:
        noise = drawn(int(D), int(n))
        ours = [100 * words(noise + true)["for"] for true in (1, 2, 3)]
        assert ours == pytest.approx([float(power) for power in powers], abs=0.51)


def test_one_dataset_has_the_interval_of_its_replicates():
    assert mean_over_datasets([[1, 2, 4]]) == pytest.approx(mean_interval([1, 2, 4]))


def test_two_datasets_by_hand():
    # means of replicates 2, 4: v_r = 2/2 = 1; of datasets 1, 5: v_k = 8/2 = 4; ν = 25 / (1 + 16) = 1.4706
    mean, low, high, n = mean_over_datasets([[0, 2], [4, 6]])
    half = scipy.stats.t.ppf(0.975, 25 / 17) * math.sqrt(5)
    assert (mean, low, high, n) == pytest.approx((3, 3 - half, 3 + half, 2))


def test_equal_numbers_have_no_width_and_one_replicate_no_interval():
    assert mean_over_datasets([[0.5] * 3, [0.5] * 3]) == Interval(0.5, 0.5, 0.5, 3)
    assert mean_over_datasets([[1], [3]]) == Interval(2, None, None, 1)


@pytest.mark.parametrize("values", [[], [[]], [[1, 2], [1]], [[1, math.nan]], [[math.inf, 1]]])
def test_what_is_no_table_of_numbers_is_refused(values):
    with pytest.raises(ValueError):
        mean_over_datasets(values)


@pytest.mark.parametrize(
    ("ends", "limits", "lean"),
    [
        ((0.1, 0.3), {"low": 0}, "for"),
        ((-0.3, -0.1), {"low": 0}, "against"),
        ((-0.1, 0.3), {"low": 0}, "neither"),
        ((0.0, 0.0), {"low": 0}, "neither"),
        ((-0.02, 0.02), {"low": -0.03, "high": 0.03}, "for"),
        ((-0.02, 0.04), {"low": -0.03, "high": 0.03}, "neither"),
        ((0.04, 0.05), {"low": -0.03, "high": 0.03}, "against"),
        ((None, None), {"low": 0}, "neither"),
    ],
)
def test_the_lean_of_an_interval(ends, limits, lean):
    assert lean_of(Interval(0.0, *ends, 3), **limits) == lean


def test_rows_are_read_after_holms_correction():
    # mean 0.933, s 0.306: t = 5.29, p = 0.034; twice that is above 0.05
    row = [1.0, 1.2, 0.6]
    assert scipy.stats.ttest_1samp(row, 0).pvalue == pytest.approx(0.034, abs=5e-4)
    assert differs([row]) == [True]
    assert differs([row, [1.0, -1.0, 0.5]]) == [False, False]
    assert differs([[0.0, 0.0], [2.0, 2.0], [2.0]]) == [False, True, False]


def test_the_exact_interval_of_a_share_by_hand():
    # 3 of 3: low solves p³ = 0.025; 0 of 5: high solves (1 − p)^5 = 0.025
    assert share(3, 3) == pytest.approx((1, 0.025 ** (1 / 3), 1, 3))
    assert share(0, 5) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 5), 5))
