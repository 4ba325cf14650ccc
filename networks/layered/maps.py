"""Synapses, pooling and gates of the network `layered`, and the shapes between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.layered.spec import LayerSpec, Pool

Weights = Literal["uniform", "glorot_uniform", "glorot_normal"]
"""Initial distribution of maps: PyTorch's, U(±1/√fan-in) for weights and biases; or Glorot's, with biases 0."""
Sizes = tuple[int, ...]
"""(channels, rows, columns) of an image, or the number of numbers of a vector."""


class Channels(nn.Module):
    """Channels first ... last − 1 of [batch, channels, ...]."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.first, self.last = first, last

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.first : self.last]


def pooling(pool: Pool) -> nn.Module:
    """Return the module of a pooling."""
    return nn.MaxPool2d(pool.size) if pool.kind == "max" else nn.AvgPool2d(pool.size)


def pooled(sizes: Sizes, pool: Pool) -> Sizes:
    """Return the sizes of an image after pooling.

    Raises:
        ValueError: the windows are larger than the image.
    """
    if len(sizes) != 3:
        raise ValueError("pooling needs an image, and this is a vector")
    if min(sizes[1:]) < pool.size:
        raise ValueError(f"windows of {pool.size} are larger than an image of {sizes[1]} x {sizes[2]}")
    return (sizes[0], sizes[1] // pool.size, sizes[2] // pool.size)


def view_of(layer: LayerSpec, source: Sizes, flat: bool) -> tuple[nn.Module | None, Sizes]:
    """Return the map of a source before a layer's synapse, None if it changes nothing, and the sizes that it returns.

    Args:
        layer: the layer.
        source: sizes of the source.
        flat: whether the source is the network's input, which is a vector in memory.
    """
    parts: list[nn.Module] = [nn.Unflatten(1, source)] if flat and len(source) > 1 else []
    sizes = source
    if layer.channels is not None:
        first, last = layer.channels
        if last > sizes[0]:
            raise ValueError(f"channels ends at {last}, and what it reads has {sizes[0]}")
        parts.append(Channels(first, last))
        sizes = (last - first, *sizes[1:])
    if layer.pool_input is not None:
        sizes = pooled(sizes, layer.pool_input)
        parts.append(pooling(layer.pool_input))
    if layer.dense is not None and len(sizes) > 1:
        parts.append(nn.Flatten(1))
        sizes = (math.prod(sizes),)
    if flat and sizes == (math.prod(source),):
        parts = []  # an image in memory, read as a vector
    return (nn.Sequential(*parts) if parts else None), sizes


def synapse_map(layer: LayerSpec, sizes: Sizes, currents: int, bias: bool) -> nn.Linear | nn.Conv2d:
    """Return the map of one source, with sizes as `view_of` returns them, to the current of a layer."""
    if layer.dense is not None:
        return nn.Linear(sizes[0], currents * layer.size, bias=bias)
    k = layer.kernel or 3
    padding = k // 2 if layer.padding is None else layer.padding
    return nn.Conv2d(sizes[0], currents * layer.size, k, layer.stride or 1, padding, bias=bias)


def sizes_after(layer: LayerSpec, sizes: Sizes) -> tuple[Sizes, Sizes]:
    """Return the sizes of a layer's current, before and after its pooling or upsampling, for one current per neuron.

    Raises:
        ValueError: a convolution reads a vector, or a kernel or window is larger than the image.
    """
    if layer.dense is not None:
        return (layer.size,), (layer.size,)
    if len(sizes) != 3:
        raise ValueError(
            "a convolution needs an image, and what it reads is a vector: a dense layer, or data without a layout"
        )
    k, stride = layer.kernel or 3, layer.stride or 1
    padding = k // 2 if layer.padding is None else layer.padding
    if min(sizes[1:]) + 2 * padding < k:
        raise ValueError(f"a kernel of {k} is larger than an image of {sizes[1]} x {sizes[2]} with its padding")
    rows, columns = ((n + 2 * padding - k) // stride + 1 for n in sizes[1:])
    current = (layer.size, rows, columns)
    if layer.pool is not None:
        return current, pooled(current, layer.pool)
    factor = layer.upsample or 1
    return current, (layer.size, rows * factor, columns * factor)


def resize_of(layer: LayerSpec) -> nn.Module | None:
    """Return the pooling or upsampling of a layer's current."""
    if layer.pool is not None:
        return pooling(layer.pool)
    return nn.Upsample(scale_factor=float(layer.upsample), mode="nearest") if layer.upsample else None


@torch.no_grad()
def draw(maps: Sequence[nn.Linear | nn.Conv2d], weights: Weights) -> None:
    """Draw the weights of maps whose outputs are added as those of one map of the concatenated inputs."""
    fan_in = sum(map.weight[0].numel() for map in maps)
    fan_out = len(maps[0].weight) * maps[0].weight[0, 0].numel()
    for map in maps:
        if weights == "glorot_normal":
            map.weight.normal_(0, math.sqrt(2 / (fan_in + fan_out)))
        else:
            bound = 1 / math.sqrt(fan_in) if weights == "uniform" else math.sqrt(6 / (fan_in + fan_out))
            map.weight.uniform_(-bound, bound)
        if map.bias is not None and weights == "uniform":
            map.bias.uniform_(-bound, bound)
        elif map.bias is not None:
            map.bias.zero_()


class ConvGate(nn.Module):
    """Gate of a convolutional layer: norm(K ∗ q + b), the norm with statistics that all steps share.

    Args:
        inputs: channels of q.
        outputs: channels of the result, an image of the same size.
        kernel: side of the kernels K, odd.
        normed: whether it has a norm.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, normed: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = StepBatchNorm(outputs, 1, weight=1.0) if normed else None

    @property
    def bias(self) -> Tensor | None:
        """The number that is added to each channel of the result."""
        return self.conv.bias if self.norm is None else self.norm.bias

    def forward(self, q: Tensor) -> Tensor:
        g: Tensor = self.conv(q)
        return g if self.norm is None else self.norm(g, 0)


class NormedLinear(nn.Module):
    """Gate of a dense layer with batch normalisation: norm(W q + b)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, outputs), StepBatchNorm(outputs, 1, weight=1.0)

    @property
    def bias(self) -> Tensor:
        """The number that is added to each result."""
        return self.norm.bias

    def forward(self, q: Tensor) -> Tensor:
        return self.norm(self.linear(q.flatten(1)), 0)


@dataclass(frozen=True)
class GateMaps:
    """The maps of gates that a layer supplies to its neurons (`neurons/gate.py`).

    Args:
        layer: the layer.
        weights: initial distribution of the maps.
    """

    layer: LayerSpec
    weights: Weights

    @property
    def summed(self) -> bool:
        """Whether the inputs of the gates are sums: in convolutional layers."""
        return self.layer.conv is not None

    @property
    def normed(self) -> bool:
        """Whether the gates have norms."""
        return self.layer.conv is not None if self.layer.gate_norm is None else self.layer.gate_norm

    def __call__(self, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> nn.Module:
        if self.layer.conv is not None:
            kernel = self.layer.gate_kernel or self.layer.kernel or 3
            if kernel % 2 == 0:
                raise ValueError(f"gates keep the size of images: gate_kernel must be odd, and is {kernel}")
            gate: nn.Module = ConvGate(inputs[0], outputs[0], kernel, self.normed)
        elif self.normed:
            gate = NormedLinear(math.prod(inputs), math.prod(outputs))
        else:
            gate = nn.Linear(math.prod(inputs), math.prod(outputs))
        draw([map for map in gate.modules() if isinstance(map, (nn.Linear, nn.Conv2d))], self.weights)
        return gate
