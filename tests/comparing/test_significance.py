"""Tests on replicates: values worked by hand, scipy as a second opinion, simulations of coverage and error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from throughtime.records.statistics.significance import (
    difference,
    fewest_replicates,
    holm,
    permutation_p,
    replicates_to_decide,
    smallest_p,
)


def test_groups_that_do_not_overlap_have_the_smallest_p():
    for n, p in ((3, 2 / 20), (4, 2 / 70), (5, 2 / 252)):
        assert permutation_p(range(n), range(100, 100 + n)) == pytest.approx(p) == pytest.approx(smallest_p(n, n))
        assert permutation_p(range(100, 100 + n), range(n)) == pytest.approx(p)
    assert smallest_p(3, 5) == 2 / 56


def test_p_by_hand():
    # {1, 2, 4} and {3, 5, 6}: sums of three of 1 ... 6 at most 7: 1+2+3, 1+2+4; so 2 of 20, twice.
    assert permutation_p([1, 2, 4], [3, 5, 6]) == pytest.approx(4 / 20)
    assert permutation_p([1, 2], [1, 2]) == 1.0
    assert permutation_p([0.5], [0.9]) == 1.0, "one value a side decides nothing"


def test_equal_sums_in_another_order_are_ties():
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit.
    base, new = [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]
    assert permutation_p(base, new) == 1.0
    assert permutation_p([0.1, 0.2, 0.4], [0.1, 0.2, 0.3]) == permutation_p([1, 2, 4], [1, 2, 3])


@pytest.mark.parametrize("n, m", [(3, 3), (5, 5), (4, 7)])
def test_p_is_scipys(n, m):
    random = np.random.default_rng(n)
    base, new = random.normal(size=n), random.normal(0.8, size=m)
    theirs = stats.permutation_test(
        (base, new), lambda x, y, axis: y.mean(axis) - x.mean(axis), vectorized=True, n_resamples=np.inf
    )
    assert permutation_p(base.tolist(), new.tolist()) == pytest.approx(theirs.pvalue)


def test_too_many_arrangements_are_sampled():
    random = np.random.default_rng(0)
    base, new = random.normal(size=20).tolist(), random.normal(0.9, size=20).tolist()
    p = permutation_p(base, new)
    assert p == permutation_p(base, new), "from a fixed seed"
    assert p == pytest.approx(stats.ttest_ind(base, new).pvalue, rel=0.3)


def test_two_values_have_an_exact_p_at_any_number():
    """One of 12 against eleven of 12: Σ_{k ≤ 1} C(12, k)² = 1 + 144 of C(24, 12) = 2 704 156 arrangements."""
    few, many = [1.0] + [0.0] * 11, [1.0] * 11 + [0.0]
    assert permutation_p(few, many) == permutation_p(many, few) == pytest.approx(2 * 145 / 2_704_156)
    assert permutation_p(few, few) == 1.0
    theirs = stats.fisher_exact([[1, 4], [6, 2]], alternative="less").pvalue
    assert permutation_p([1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]) == pytest.approx(2 * theirs)


def test_equal_values_are_not_sampled(monkeypatch):
    """24 values of which all are equal: more arrangements than are enumerated, and all alike."""
    monkeypatch.setattr("scipy.stats.permutation_test", None)
    assert permutation_p([1.0] * 12, [1.0] * 12) == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_interval_is_welchs():
    base, new = [1.0, 2.0, 4.0], [5.0, 5.5, 7.0, 9.0]
    theirs = stats.ttest_ind(new, base, equal_var=False).confidence_interval()
    ours = difference(base, new)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
    assert ours.mean == pytest.approx(6.625 - 7 / 3)
    assert difference([1.0], [2.0, 3.0]) == (1.5, None, None)
    assert difference([1.0, 1.0], [2.0, 2.0]) == (1.0, 1.0, 1.0)
    for bad in (([], [1.0]), ([1.0], [])):
        with pytest.raises(ValueError, match="no values"):
            difference(*bad)
        with pytest.raises(ValueError, match="no values"):
            permutation_p(*bad)


def test_replicates_that_could_decide():
    assert [fewest_replicates(level) for level in (0.1, 0.05, 0.01, 0.005, 0.0006)] == [3, 4, 5, 6, 7]
    # s = 1, Δ = 1, α = 0.01: 2 (2.5758 + 0.8416)² = 23.4
    spread = [-math.sqrt(0.5), math.sqrt(0.5)]
    assert replicates_to_decide(spread, [1 + value for value in spread], 0.01) == 24
    assert replicates_to_decide([0.0], [1.0], 0.01) == 5, "nothing is known of the spread"
    assert replicates_to_decide(spread, [10 + value for value in spread], 0.01) == 5


def coverage(n: int, spread: float, repeats: int, interval=difference) -> float:
    """Return how often the interval of a difference of normal samples has the true one; spreads 1 and `spread`."""
    random = np.random.default_rng(n)
    hits = 0
    for _ in range(repeats):
        result = interval(random.normal(0, 1, n).tolist(), random.normal(3, spread, n).tolist())
        hits += result.low <= 3 <= result.high
    return hits / repeats


def false_alarms(m: int, n: int, repeats: int, correct=holm) -> float:
    """Return how often any of m cells is called worse where base and new are draws of one distribution."""
    random, α = np.random.default_rng(m), 0.01
    alarms = 0
    for _ in range(repeats):
        base, new = random.normal(0.9, 0.01, (2, m, n)).tolist()
        p = correct([permutation_p(before, other) for before, other in zip(base, new, strict=True)])
        alarms += any(a <= α and sum(b) > sum(c) for a, b, c in zip(p, base, new, strict=True))
    return alarms / repeats


def power(drop: float, spread: float, n: int, m: int, repeats: int) -> float:
    """Return how often a drop in one of m cells is found (significant, above one point), the others unchanged."""
    random = np.random.default_rng(n)
    result = 0
    for _ in range(repeats):
        base, new = random.normal(0.9, spread, (2, n)).tolist()
        new = [value - drop for value in new]
        others = [permutation_p(*random.normal(0.9, spread, (2, n)).tolist()) for _ in range(m - 1)]
        result += holm([permutation_p(base, new), *others])[0] <= 0.01 and difference(base, new).mean < -0.01
    return result / repeats


def test_an_interval_covers_the_true_difference_quickly():
    assert 0.92 <= coverage(5, 1.0, 1500) <= 0.98


def test_a_normal_interval_would_not_cover_it():
    def too_short(base, new):
        result = difference(base, new)
        half = 1.96 * math.sqrt(np.var(base, ddof=1) / len(base) + np.var(new, ddof=1) / len(new))
        return result._replace(low=result.mean - half, high=result.mean + half)

    assert coverage(3, 1.0, 1500, too_short) < 0.92


def test_few_false_alarms_quickly():
    assert false_alarms(m=5, n=7, repeats=200) <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_intervals_cover_93_to_97_percent(n, spread):
    assert 0.93 <= coverage(n, spread, 20_000) <= 0.97


@pytest.mark.slow
def test_false_alarms_are_below_1_percent_and_without_correction_they_are_not():
    assert false_alarms(m=5, n=7, repeats=1000) < 0.01
    assert false_alarms(m=5, n=7, repeats=1000, correct=list) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("spread, least", [(0.005, 0.99), (0.01, 0.74), (0.015, 0.33)])
def test_power_for_a_drop_of_three_points_at_n_5(spread, least):
    result = power(0.03, spread, n=5, m=1, repeats=2000)
    assert result >= least, result
    assert power(0.03, spread, n=5, m=2, repeats=50) == 0, "two cells need n = 6"
