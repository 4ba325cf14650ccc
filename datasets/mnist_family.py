"""MNIST and Fashion-MNIST as sequences: pixel by pixel, permuted, row by row, or as a static image."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from throughtime.datasets.base import computed
from throughtime.datasets.encoders import first_spike
from throughtime.datasets.mnist_files import (
    Images,
    Test,
    Train,
    Validation,
    fashion_files,
    mnist_files,
    synthetic_images,
)
from throughtime.registry import dataset, or_default, refuse_unused


@dataset("smnist")
class SequentialMNIST(Images):
    """MNIST, 60 000 + 10 000 digits of 28x28 pixels, as 784 steps of one pixel.

    x_t = p_t / 255, where p_t in 0 ... 255 is the t-th pixel in row order. The target is the digit, 10 classes.
    `Images` describes splits and options.

    Source: LeCun, Bottou, Bengio and Haffner, Proceedings of the IEEE 86 (1998); as a sequence, Le, Jaitly and Hinton,
    arXiv:1504.00941 (2015).
    """

    licence = "CC BY-SA 3.0"
    files = mnist_files("smnist")
    inputs = 1

    @computed
    def steps(self) -> int:
        return self.side**2

    @classmethod
    def tiny(cls) -> SequentialMNIST:
        """Return synthetic images of 7x7 pixels, from files that the same reader reads (see `synthetic_images`)."""
        return cls().with_synthetic_files(synthetic_images, side=7, validation_images=10)

    def expanded(self, rows: Tensor) -> Tensor:
        return rows.unsqueeze(2)


@dataset("psmnist")
class PermutedMNIST(SequentialMNIST):
    """Permuted sequential MNIST: the 784 pixels of `smnist` in a random order, the same for all images.

    x_t = p_π(t) / 255, where π is `RandomState(permutation).permutation(784)`, a stream that NumPy guarantees to keep.
    The authors of the paper draw an unseeded permutation in each run; here the seed is an option and part of a record.

    Args:
        permutation: seed of π.
        train, validation, test: as in `Images`.

    Source: Le, Jaitly and Hinton, arXiv:1504.00941 (2015).
    """

    files = mnist_files("psmnist")

    def __init__(
        self,
        *,
        permutation: Annotated[int, Field(ge=0, lt=2**32)] = 0,
        train: Train = None,
        validation: Validation = None,
        test: Test = None,
    ) -> None:
        super().__init__(train=train, validation=validation, test=test)
        self.permutation = permutation

    @cached_property
    def order(self) -> Tensor:
        """π, [steps]: the pixel at each step."""
        return torch.from_numpy(np.random.RandomState(self.permutation).permutation(self.steps))

    def expanded(self, rows: Tensor) -> Tensor:
        return rows.index_select(1, self.order).unsqueeze(2)


@dataset("rmnist")
class RowMNIST(SequentialMNIST):
    """MNIST row by row: 28 steps of 28 pixels, from the top.

    x_t = (p_t,1 ... p_t,28) / 255. `Images` describes splits and options.
    """

    files = mnist_files("rmnist")

    @computed
    def steps(self) -> int:
        return self.side

    @computed
    def inputs(self) -> int:
        return self.side

    def expanded(self, rows: Tensor) -> Tensor:
        return rows.view(-1, self.side, self.side)


@dataset("mnist")
class StaticMNIST(SequentialMNIST):
    """MNIST as an image that is shown unchanged for T steps, or as one spike of each bright pixel.

        values     x_t = (p_1 ... p_784) / 255 at every t, in row order
        latency    x_t,i = [t = ⌊τ ln(q / (q − θ))⌋],  q = p_i / 255 > θ          (`encoders.first_spike`)

    Args:
        steps: T; 20 in the model of the paper's authors.
        code: `values` or `latency`, in which brighter pixels spike earlier.
        tau: τ of `latency`, in steps; null: 20, as in SpyTorch.
        threshold: θ of `latency`; null: 0.2, as in SpyTorch. Darker pixels have no spike.
        train, validation, test: as in `Images`.
    """

    files = mnist_files("mnist")

    def __init__(
        self,
        *,
        steps: PositiveInt = 20,
        code: Literal["values", "latency"] = "values",
        tau: PositiveFloat | None = None,
        threshold: Annotated[float, Field(gt=0, lt=1)] | None = None,
        train: Train = None,
        validation: Validation = None,
        test: Test = None,
    ) -> None:
        super().__init__(train=train, validation=validation, test=test)
        refuse_unused("code: latency", code == "latency", tau=tau, threshold=threshold)
        self.shown, self.code = steps, code
        self.tau, self.threshold = or_default(tau, 20.0), or_default(threshold, 0.2)
        if code == "latency":
            self.unit = 1.0

    @cached_property
    def step_of_pixel(self) -> Tensor:
        """The step of the spike of each number of a pixel, [256]; T without one."""
        return torch.from_numpy(first_spike(np.arange(256) / 255, self.tau, self.threshold)).clamp(max=self.shown)

    @computed
    def steps(self) -> int:
        return self.shown

    @computed
    def inputs(self) -> int:
        return self.side**2

    @computed
    def layout(self) -> tuple[int, int, int]:
        return (1, self.side, self.side)

    @classmethod
    def tiny(cls) -> SequentialMNIST:
        """Return synthetic images of 7x7 pixels, shown for 4 steps."""
        return cls(steps=4).with_synthetic_files(synthetic_images, side=7, validation_images=10)

    def expanded(self, rows: Tensor) -> Tensor:
        if self.code == "values":
            return rows.unsqueeze(1).expand(-1, self.steps, -1)
        spikes = torch.zeros(len(rows), self.shown + 1, rows.shape[1], dtype=torch.uint8)
        return spikes.scatter_(1, self.step_of_pixel[rows.long()][:, None], 1)[:, : self.shown]


@dataset("sfashion_mnist")
class SequentialFashion(SequentialMNIST):
    """Fashion-MNIST, 60 000 + 10 000 pictures of clothes in 10 classes, as 784 steps of one pixel.

    Everything else is as in `smnist`. Source: Xiao, Rasul and Vollgraf, arXiv:1708.07747 (2017).
    """

    licence = "MIT"
    files = fashion_files("sfashion_mnist")


@dataset("psfashion_mnist")
class PermutedFashion(PermutedMNIST):
    """Fashion-MNIST pixel by pixel in a random order, the same for all images: see `psmnist`."""

    licence = "MIT"
    files = fashion_files("psfashion_mnist")


@dataset("rfashion_mnist")
class RowFashion(RowMNIST):
    """Fashion-MNIST row by row, 28 steps of 28 pixels: see `rmnist`."""

    licence = "MIT"
    files = fashion_files("rfashion_mnist")


@dataset("fashion_mnist")
class StaticFashion(StaticMNIST):
    """Fashion-MNIST as an image that is shown unchanged for T steps, or as spikes: see `mnist`."""

    licence = "MIT"
    files = fashion_files("fashion_mnist")
