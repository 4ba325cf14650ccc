"""The interval of a mean, against numbers worked by hand and against scipy's own."""

import math

import pytest
import scipy.stats

from throughtime.records.statistics import Interval, mean_interval


def test_three_values_by_hand():
    # s = 1, t(0.975, 2) = 4.3027, 4.3027 / sqrt(3) = 2.4841
    interval = mean_interval([1, 2, 3])
    assert (interval.mean, interval.n) == (2, 3)
    assert interval.half == pytest.approx(2.4841, abs=1e-4)
    assert (interval.low, interval.high) == pytest.approx((-0.4841, 4.4841), abs=1e-4)


def test_two_values_are_nine_deviations_wide():
    # t(0.975, 1) = 12.706; s = sqrt(2) for values 2 apart; 12.706 * sqrt(2) / sqrt(2)
    assert mean_interval([0, 2]).half == pytest.approx(12.706, abs=1e-3)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_agrees_with_scipy(level):
    values = [0.31, 0.28, 0.4, 0.33, 0.30]
    ends = scipy.stats.t.interval(level, len(values) - 1, loc=0.324, scale=scipy.stats.sem(values))
    assert mean_interval(values, level)[1:3] == pytest.approx(ends)


def test_one_value_has_no_interval():
    assert mean_interval([0.93]) == Interval(0.93, None, None, 1)
    assert mean_interval([0.93]).half is None


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval([0.5, 0.5, 0.5]) == Interval(0.5, 0.5, 0.5, 3)


def test_nothing_is_clipped_at_the_end_of_what_is_possible():
    assert mean_interval([0.95, 1.0]).high > 1


@pytest.mark.parametrize("values", [[], [1, math.nan], [1, math.inf]])
def test_what_is_no_measurement_is_refused(values):
    with pytest.raises(ValueError):
        mean_interval(values)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_is_a_probability(level):
    with pytest.raises(ValueError, match="level"):
        mean_interval([1, 2], level)
