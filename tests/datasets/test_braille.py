"""Dataset braille: the source's order, and values standardised by sensor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from throughtime.datasets.braille import Braille, order, recordings


def test_order_is_the_sources():
    x, letters = recordings()
    assert x.shape == (1350, 76, 4) and (np.bincount(letters) == 50).all()
    # Letters of the test part, counted from the source's code.
    assert np.bincount(letters[order()][1080:])[:6].tolist() == [11, 6, 8, 11, 13, 10]


def test_values_by_hand():
    data, (x, _) = Braille(), recordings()
    (batch,) = data.batches("test", 270)
    v = 1 - x[:, :, 2] / 255
    expected = (v[order()[1080]][5] - v.mean()) / (v.std(ddof=1) + 1e-3)
    assert batch.x.shape == (152, 270, 4)
    assert float(batch.x[10, 0, 2]) == float(batch.x[11, 0, 2]) == pytest.approx(expected, rel=1e-5)
    assert [data.size(split) for split in ("train", "validation", "test")] == [1000, 80, 270]


def test_a_sample_may_be_held_for_a_step():
    (held,), (once,) = (Braille(hold=n).batches("test", 270) for n in (2, 1))
    assert torch.equal(held.x[::2], once.x)
