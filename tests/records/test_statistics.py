"""The interval of a mean, against numbers worked by hand and against scipy's own."""

import math

import numpy as np
import pytest
import scipy.stats

from throughtime.records.statistics.interval import Interval, in_range, mean_interval


def test_three_values_by_hand():
    # s = 1, t(0.975, 2) = 4.3027, 4.3027 / sqrt(3) = 2.4841
    interval = mean_interval([1, 2, 3])
    assert (interval.mean, interval.n) == (2, 3)
    assert (interval.low, interval.high) == pytest.approx((-0.4841, 4.4841), abs=1e-4)


def test_two_values_are_nine_deviations_wide():
    # t(0.975, 1) = 12.706; s = sqrt(2) for values 2 apart; 12.706 * sqrt(2) / sqrt(2)
    assert mean_interval([0, 2])[1:3] == pytest.approx((-11.706, 13.706), abs=1e-3)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_agrees_with_scipy(level):
    values = [0.31, 0.28, 0.4, 0.33, 0.30]
    ends = scipy.stats.t.interval(level, len(values) - 1, loc=0.324, scale=scipy.stats.sem(values))
    assert mean_interval(values, level)[1:3] == pytest.approx(ends)


def test_one_value_has_no_interval():
    assert mean_interval([0.93]) == Interval(0.93, None, None, 1)


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval([0.5, 0.5, 0.5]) == Interval(0.5, 0.5, 0.5, 3)


def test_nothing_is_clipped_at_the_end_of_what_is_possible():
    assert mean_interval([0.95, 1.0]).high > 1


def test_an_interval_of_proportions_by_hand():
    # m = 0.9, s / sqrt(2) = 0.1, t(0.975, 1) = 12.7062: logit(0.9) ± 12.7062 * 0.1 / 0.09 = 2.1972 ± 14.118
    interval = mean_interval([0.8, 1.0], scale="logit")
    assert interval.mean == pytest.approx(0.9)
    low, high = (1 / (1 + math.exp(-y)) for y in (2.19722 - 14.11800, 2.19722 + 14.11800))
    assert interval[1:3] == pytest.approx((low, high), rel=1e-4) and high < 1


def test_an_interval_of_errors_by_hand():
    # m = 2, s = 1, t(0.975, 2) s / (sqrt(3) m) = 1.24205: ends 2 exp(±1.24205)
    assert mean_interval([1, 2, 3], scale="log")[1:3] == pytest.approx((0.57760, 6.92520), rel=1e-4)


def test_an_interval_of_cosines_by_hand():
    # m = 0.6, s / sqrt(2) = 0.3, t(0.975, 1) = 12.7062: atanh(0.6) ± 12.7062 * 0.3 / (1 - 0.36) = 0.69315 ± 5.95603
    interval = mean_interval([0.3, 0.9], scale="atanh")
    assert interval[1:3] == pytest.approx((math.tanh(0.69315 - 5.95603), math.tanh(0.69315 + 5.95603)), rel=1e-5)
    narrow = mean_interval([0.59, 0.61], scale="atanh")  # 0.69315 ± 12.7062 * 0.01 / 0.64
    assert narrow[1:3] == pytest.approx((math.tanh(0.69315 - 0.19853), math.tanh(0.69315 + 0.19853)), rel=1e-4)


@pytest.mark.parametrize("scale, ends", [("logit", (0, 1)), ("log", (0, math.inf)), ("atanh", (-1, 1))])
@pytest.mark.parametrize("values", [[0.0, 1.0], [1.0, 1.0, 0.2], [0.0, 0.0, 1e-9], [1.0, 1.0]])
def test_no_interval_leaves_its_range(scale, ends, values):
    interval = mean_interval(values, scale=scale)
    assert ends[0] <= interval.low <= interval.mean <= interval.high <= ends[1]


def test_coverage_of_the_mean_of_five_fractions_is_nominal_on_the_logit():
    generator = np.random.default_rng(0)
    samples = generator.beta(18, 2, (2000, 5))  # mean 0.9, standard deviation 0.065
    on = {scale: [mean_interval(values, scale=scale) for values in samples] for scale in ("identity", "logit")}
    covered = {
        scale: np.mean([interval.low <= 0.9 <= interval.high for interval in intervals])
        for scale, intervals in on.items()
    }
    assert covered["logit"] == pytest.approx(0.95, abs=0.015)
    assert covered["identity"] < covered["logit"]
    assert max(interval.high for interval in on["logit"]) < 1 < max(interval.high for interval in on["identity"])


def test_values_out_of_range_are_refused():
    assert in_range([0, 1], "logit") and not in_range([1.01], "logit")
    with pytest.raises(ValueError, match="range of the scale log"):
        mean_interval([1, -1], scale="log")


@pytest.mark.parametrize("values", [[], [1, math.nan], [1, math.inf]])
def test_what_is_no_measurement_is_refused(values):
    with pytest.raises(ValueError):
        mean_interval(values)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_is_a_probability(level):
    with pytest.raises(ValueError, match="level"):
        mean_interval([1, 2], level)


def test_values_whose_mean_rounds_to_the_end_of_their_range_have_an_interval_without_width():
    below = math.nextafter(1, 0)
    assert mean_interval([1.0, below, 1.0, 1.0, 1.0], scale="atanh") == (1.0, 1.0, 1.0, 5)
    assert mean_interval([1.0, below, 1.0, 1.0, 1.0], scale="logit") == (1.0, 1.0, 1.0, 5)
