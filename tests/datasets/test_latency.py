"""Images as times of spikes: times worked by hand, and dark pixels that have none."""

import numpy as np
import torch

from throughtime.datasets.encoders import NEVER, first_spike
from throughtime.datasets.mnist_family import StaticMNIST
from throughtime.datasets.mnist_files import synthetic_images


def test_times_by_hand():
    """20 ln(1 / 0.8) = 4.46; 20 ln(0.4 / 0.2) = 13.86; at and below the threshold there is no spike."""
    assert first_spike(np.array([1.0, 0.4, 0.2, 0.0]), 20, 0.2).tolist() == [4, 13, NEVER, NEVER]


def test_each_bright_pixel_has_one_spike_at_its_time():
    values, spikes = (
        StaticMNIST(steps=9, code=code).with_synthetic_files(synthetic_images, side=7, validation_images=10)
        for code in ("values", "latency")
    )
    q, x = (next(dataset.batches("test", 8)).x for dataset in (values, spikes))
    steps = torch.from_numpy(first_spike(q[0].double().numpy(), 20, 0.2))
    assert x.shape == (9, 8, 49) and set(x.unique().tolist()) == {0.0, 1.0}
    assert (x.sum(0) == (steps < 9)).all()
    assert (x.argmax(0)[steps < 9] == steps[steps < 9]).all()
