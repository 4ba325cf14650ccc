"""SPYv4, the spiking Tiny-YOLOv4 for detection: Yin, Corradi and Bohte 2023, as released."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, PositiveFloat

from throughtime.networks.layered.layered import Layered
from throughtime.networks.layered.presets import HALVED, conv, declare_unused_leak
from throughtime.networks.layered.spec import LayerSpec, ReadoutSpec
from throughtime.networks.setting import Setting, settings
from throughtime.neurons.base import Neuron, Shape
from throughtime.registry import network

NEURON: dict[str, Any] = {"adaptation": "off", "b0": 1.0, "initial": "random_membrane"}


@network("spyv4")
@settings(
    published=Setting((3, 416, 416), {"coarse": (75, 13, 13), "fine": (75, 26, 26)}, "ltc", NEURON),
    tiny=Setting((3, 32, 32), {"coarse": (6, 1, 1), "fine": (6, 2, 2)}, "ltc", NEURON, {"width": 1 / 16}),
)
def spyv4(
    inputs: Shape,
    outputs: Shape | Mapping[str, Shape],
    neuron: Callable[..., Neuron],
    *,
    width: PositiveFloat = 1.0,
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
) -> Layered:
    """The spiking Tiny-YOLOv4: 19 convolutional layers and two grids of outputs.

    The outputs are `coarse` and `fine`, [batch, anchors · (5 + classes), rows, columns] with a row for 32 and for 16
    pixels of the image, whose sides are multiples of 32. They read the spikes of the same step alone. With 20 classes
    and 3 anchors for each position, 75 channels, it has 13 956 216 parameters, of which 2 are not trained: the time
    constants of leaks that the released code declares and does not use. Each of the three blocks with n = 64, 128 and
    256 channels is

        c1 (n);  c2 (n/2) of the second half of c1;  c3 (n/2) of c2;  c4 (n, kernel 1) of c3 and c2;
        the next layer reads c1 and c4, each halved by its maxima.

    The paper's neurons are `{name: ltc, adaptation: off, b0: 1.0, initial: random_membrane}`. Source:
    yolo_demo_show/nets/snn_yolo_v4_less.py and yolo_layers.py.

    Args:
        width: factor of the numbers of channels.
        dropout: probability with which a colour of the image is set to 0.

    Example:
        >>> outputs = {"coarse": (6, 1, 1), "fine": (6, 2, 2)}
        >>> network = tt.build_network("spyv4", (3, 32, 32), outputs, neuron="ltc", width=1 / 16)
        >>> window = network.unroll(torch.rand(2, 4, 3072), network.initial_state(4))
        >>> window.outputs["fine"].shape  # [steps, batch, channels, rows, columns]
        torch.Size([2, 4, 6, 2, 2])

    References:
        Yin, Corradi and Bohte 2023: https://doi.org/10.1038/s42256-023-00650-4
    """
    layers = [
        conv(32 * width, name="conv1", stride=2, dropout=dropout, dropout_channels=dropout > 0),
        conv(64 * width, name="conv2", stride=2),
    ]
    reads, before = ["conv2"], None
    for n, planes in enumerate((64, 128, 256), 1):
        block = _block(f"block{n}", planes * width, reads, pool_input=before)
        layers += block
        reads, before = [str(block[0].name), str(block[-1].name)], HALVED
    feature = reads[1]
    layers += [
        conv(512 * width, name="conv3", reads=reads, pool_input=before),
        conv(256 * width, name="p5", kernel=1, gate_kernel=3),
        conv(512 * width, name="yolo1"),
        conv(128 * width, name="up", reads=["p5"], kernel=1, gate_kernel=3, upsample=2),
        conv(256 * width, name="yolo2", reads=["up", feature]),
    ]
    readouts = [
        ReadoutSpec(name="coarse", reads="yolo1", grid=True),
        ReadoutSpec(name="fine", reads="yolo2", grid=True),
    ]
    built = Layered(inputs, outputs, neuron, layers=layers, readouts=readouts, weights="glorot_normal")
    for readout in built.readouts:
        declare_unused_leak(readout, 1)
    return built


def _block(name: str, planes: float, reads: list[str], **options: Any) -> list[LayerSpec]:
    """Return the four layers of a block."""
    half = max(1, round(planes / 2))
    c1, c2, c3, c4 = (f"{name}_c{n}" for n in range(1, 5))
    return [
        conv(2 * half, name=c1, reads=reads, bias=False, **options),
        conv(half, name=c2, reads=[c1], channels=[half, 2 * half], bias=False),
        conv(half, name=c3, reads=[c2], bias=False),
        conv(2 * half, name=c4, reads=[c3, c2], kernel=1, gate_kernel=3, bias=False),
    ]
