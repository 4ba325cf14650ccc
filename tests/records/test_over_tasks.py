"""Interquartile mean and probability of improvement over tasks."""

from __future__ import annotations

import numpy as np
import pytest

from throughtime.records.statistics.over_tasks import over_tasks


def test_both_numbers_by_hand():
    # Differences −1, 0, 1, 2 on the first task, whose reference has mean 2, and 96 to 99 on the second: of the eight
    # the middle four are 1, 2, 96, 97. Of 4 x 2 pairs on the first task 2 + 2 + 1 + ½ are won, and all on the second.
    result = over_tasks([[1, 2, 3, 4], [96, 97, 98, 99]], [[1, 3], [0]])
    assert result.advantage.mean == (1 + 2 + 96 + 97) / 4
    assert result.improvement.mean == pytest.approx((5 / 8 + 1) / 2)
    assert result.advantage.n == 8


def test_equal_groups_differ_by_nothing_and_win_half():
    result = over_tasks([[0.5] * 5, [0.9] * 5], [[0.5] * 5, [0.9] * 5])
    assert result.advantage[:3] == (0, 0, 0)
    assert result.improvement[:3] == (0.5, 0.5, 0.5)


def test_samples_are_drawn_within_each_task():
    """Tasks far apart, each without spread: drawn across tasks, the interval would span the distance of the tasks."""
    result = over_tasks([[0.0] * 5, [100.0] * 5], [[1.0] * 5, [99.0] * 5])
    assert result.advantage[:3] == (0, 0, 0)


def test_the_interval_holds_the_true_advantage_as_often_as_it_says():
    generator = np.random.default_rng(1)
    inside = 0
    for _ in range(60):
        x, y = generator.normal(0.3, 1, (4, 20)), generator.normal(0.0, 1, (4, 20))
        interval = over_tasks(x.tolist(), y.tolist()).advantage
        inside += interval.low <= 0.3 <= interval.high
    assert inside >= 50  # 57 expected


@pytest.mark.parametrize(("scores", "reference"), [([], []), ([[1]], [[1], [2]]), ([[1], []], [[1], [2]])])
def test_tasks_without_replicates_are_refused(scores, reference):
    with pytest.raises(ValueError, match="not the same tasks"):
        over_tasks(scores, reference)
