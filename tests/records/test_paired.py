"""The paired difference over sequences and runs: by hand, by its special cases, and by its coverage in simulation."""

from __future__ import annotations

import base64
import math

import numpy as np
import pytest

from throughtime.records.record import Outcomes
from throughtime.records.statistics.interval import mean_interval
from throughtime.records.statistics.paired import paired_difference


def test_two_runs_of_two_sequences_by_hand():
    """d = [[1, 0], [0, 1]]: both means of runs and of sequences are 1/2, and all is interaction: v_e = 4 (1/2)² / 4."""
    t = 12.706204736432095  # at ν = 1
    result = paired_difference([[False, True], [False, False]], [[True, True], [False, True]])
    assert (result.mean, result.high - result.mean, result.n) == (0.5, pytest.approx(t * 0.5), 2)
    # d = [[1, 0], [1, 1]]: means of runs 1/2 and 1, v_r = 1/16; those of sequences the same; v_e = (4 / 16) / 4 = 1/16.
    result = paired_difference([[False, True], [False, False]], [[True, True], [True, True]])
    assert result.mean == 0.75 and result.high - result.mean == pytest.approx(t * 0.25)


def test_runs_that_agree_on_all_sequences_leave_the_spread_of_the_sequences():
    """Where each run has the same outcomes, only the sequences vary."""
    d = np.array([1, 1, 0, 0, 0, 0, -1, 0, 0, 1])
    base, new = np.tile(d < 0, (3, 1)), np.tile(d > 0, (3, 1))
    result, over_sequences = paired_difference(base, new), mean_interval(d.astype(float))
    assert (result.low, result.high) == pytest.approx((over_sequences.low, over_sequences.high))


def test_sequences_that_are_all_alike_leave_the_spread_of_the_runs():
    d = [1, 0, 0, 1]
    base = [[False] * 50] * 4
    new = [[bool(difference)] * 50 for difference in d]
    result, over_runs = paired_difference(base, new), mean_interval([float(difference) for difference in d])
    assert (result.low, result.high) == pytest.approx((over_runs.low, over_runs.high))


def test_one_run_has_no_interval_and_other_splits_are_refused():
    assert paired_difference([[True, False]], [[True, True]])[:] == (0.5, None, None, 1)
    with pytest.raises(ValueError):
        paired_difference([[True, False]], [[True, True, True]])
    with pytest.raises(ValueError):
        paired_difference([], [])


@pytest.mark.parametrize("run_deviation, sequence_deviation", [(0.0, 1.5), (0.5, 1.5), (0.5, 0.0)])
def test_the_interval_covers_the_true_difference(run_deviation, sequence_deviation):
    """Two groups, each with its own difficulty of each sequence and quality of each run; the true difference is 0."""
    random, covered, R, n = np.random.default_rng(1), 0, 5, 200

    def runs():
        own = run_deviation * random.normal(size=(R, 1)) + sequence_deviation * random.normal(size=n)
        return random.normal(size=(R, n)) + own > 0

    for _ in range(400):
        result = paired_difference(runs(), runs())
        covered += result.low <= 0 <= result.high
    assert 0.92 <= covered / 400 <= 0.985


@pytest.mark.parametrize("right", [[], [True], [False] * 8, [True, False] * 8 + [True]])
def test_outcomes_take_a_bit_each(right):
    packed = Outcomes.packed(right)
    assert packed.right() == right and Outcomes.model_validate_json(packed.model_dump_json()) == packed
    assert len(base64.b64decode(packed.bits)) == math.ceil(len(right) / 8)


def test_outcomes_with_bits_of_another_number_are_refused():
    with pytest.raises(ValueError, match="not those of 9 sequences"):
        Outcomes(n=9, bits=Outcomes.packed([True] * 8).bits)
    assert Outcomes.packed([True, False, False, False, False, False, False, True]).bits == "gQ=="  # 0x81
