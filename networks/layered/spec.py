"""Layers and readouts of the network `layered` as a suite writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from throughtime.errors import suggestion
from throughtime.networks.layer import INPUT
from throughtime.networks.readout import ReadoutSynapse
from throughtime.spec import Strict

Name = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$")]
Names = Annotated[list[Name], Field(min_length=1), BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class Pool(Strict):
    """Pooling of each channel of an image."""

    kind: Literal["max", "average"]
    """Largest number or mean of a window."""
    size: PositiveInt = 2
    """Side of the windows, which do not overlap."""


class LayerSpec(Strict):
    """A layer: I_t = resize(norm(Σ W view(z))) of all that it reads, and neurons."""

    name: Name | None = None
    """Unique name; null: `layer1`, `layer2`, ... by its place in the list."""
    conv: PositiveInt | None = None
    """Number of channels of a layer whose synapses are convolutions of images."""
    dense: PositiveInt | None = None
    """Number of neurons of a layer whose synapses are linear maps of vectors; images are read as vectors."""
    reads: Names | None = None
    """Sources: `input` and names of layers, in order; of several sources the result is that of their concatenation
    along the channels. A layer reads earlier layers in the same step, itself and later ones in the step before. null:
    the layer before, or the input."""
    channels: Annotated[list[NonNegativeInt], Field(min_length=2, max_length=2)] | None = None
    """First of the channels that it reads of each source, or of the numbers of a vector, and the one after the last;
    null: all."""
    pool_input: Pool | None = None
    """Pooling of what it reads."""
    dropout: Probability = 0.0
    """Probability with which a number that it reads is set to 0, in training."""
    dropout_channels: bool = False
    """Whether dropout sets whole channels to 0, in a convolutional layer."""
    recurrent: bool = False
    """Whether it also reads its own spikes of the step before, through weights without a bias, and without dropout."""
    kernel: PositiveInt | None = None
    """Side of the kernels of a convolution; null: 3."""
    stride: PositiveInt | None = None
    """Distance between two positions of a kernel; null: 1."""
    padding: NonNegativeInt | None = None
    """Zeros at each border of an image; null: half of the kernel, rounded down, so that images keep their size at
    stride 1 if the kernel is odd."""
    bias: bool = True
    """Whether the current has a bias."""
    norm_steps: PositiveInt | None = None
    """Number of time steps with separate statistics, for batch normalisation of the current; 1: all steps share them;
    null: no normalisation."""
    pool: Pool | None = None
    """Pooling of the current, after its norm."""
    upsample: PositiveInt | None = None
    """Factor by which the current's images grow, each position repeated; null: 1."""
    gate_kernel: PositiveInt | None = None
    """Side of the kernels of gates in a convolutional layer, which keep the size of images; odd; null: that of the
    layer. Neurons without gates ignore it."""
    gate_norm: bool | None = None
    """Whether the outputs of the gates are batch-normalised, with statistics that all steps share; null: yes in
    convolutional layers, no in dense ones. Neurons without gates ignore it."""

    @model_validator(mode="after")
    def _consistent(self) -> LayerSpec:
        if (self.conv is None) == (self.dense is None):
            raise ValueError("a layer has either conv, its channels, or dense, its neurons")
        if self.dense is not None:
            image_keys = ("kernel", "stride", "padding", "pool", "upsample", "gate_kernel")
            if unused := [key for key in image_keys if getattr(self, key) is not None]:
                raise ValueError(f"{', '.join(unused)} would do nothing in a dense layer")
            if self.dropout_channels:
                raise ValueError("dropout_channels would do nothing in a dense layer: it reads a vector of numbers")
        if self.pool is not None and self.upsample is not None:
            raise ValueError("a layer has pool or upsample, not both")
        if self.dropout_channels and not self.dropout:
            raise ValueError("dropout_channels would do nothing without dropout")
        if self.channels is not None and self.channels[0] >= self.channels[1]:
            raise ValueError("channels: the first must precede the one after the last")
        return self

    @property
    def called(self) -> str:
        """Its name, which `named` has set."""
        assert self.name is not None
        return self.name

    @property
    def sources(self) -> list[str]:
        """The names of its sources, which `named` has set."""
        assert self.reads is not None
        return self.reads

    @property
    def size(self) -> int:
        """Number of channels, or of neurons."""
        size = self.conv or self.dense
        assert size is not None, "validated"
        return size


class ReadoutSpec(Strict):
    """A readout: d_t = W o_t + c of the spikes or membranes o of one layer, and a leak."""

    name: Name = "readout"
    """Key of its output in a network with several readouts."""
    reads: Name | None = None
    """Name of the layer; null: the last."""
    of: Literal["spikes", "membrane"] = "spikes"
    """Variable of the layer that it reads."""
    grid: bool = False
    """Whether it reads an image and maps the channels of each position to an image of as many channels as there are
    outputs, without a leak: y_t = d_t."""
    dropout: Probability = 0.0
    """Probability with which a number that it reads is set to 0, in training."""
    norm_steps: PositiveInt | None = None
    """Number of time steps with separate statistics, for batch normalisation of d_t; null: no normalisation."""
    leak: Literal["constant", "trained", "sigmoid", "gated"] | None = None
    """Leak λ of y_t = y_{t−1} + λ (d_t − y_{t−1}): `constant`; `trained`, by a trained time constant of each output;
    `sigmoid`, that of a trained number of each output; `gated`, computed at each step. null: constant."""
    tau: NonNegativeFloat | None = None
    """Time constant of a constant leak in steps, λ = 1 − exp(−1/τ), or mean of the initial trained ones; 0: no memory,
    if it is constant; null: 20."""
    synapse: ReadoutSynapse | None = None
    """Synapse before a constant leak; null: none."""
    max: bool = False
    """Whether the output is the maximum over the steps so far, of a readout with a constant leak."""
    slope: Literal["trained", "fixed"] | None = None
    """Slope of the sigmoid of a gated leak, which starts at 1; null: trained."""

    @model_validator(mode="after")
    def _consistent(self) -> ReadoutSpec:
        constant_keys = [key for key in ("tau", "synapse", "max") if getattr(self, key) not in (None, False)]
        if self.grid and (self.leak or constant_keys or self.slope or self.norm_steps):
            raise ValueError("a grid has neither a leak nor a norm")
        if self.leak == "trained":
            if self.tau == 0:
                raise ValueError("leak: trained needs a tau above 0")
            constant_keys = [key for key in constant_keys if key != "tau"]
        if constant_keys and self.leak not in (None, "constant"):
            raise ValueError(f"{', '.join(constant_keys)} would do nothing without leak: constant")
        if self.slope is not None and self.leak != "gated":
            raise ValueError("slope would do nothing without leak: gated")
        return self


def _refused(number: int, items: object, why: str) -> ValidationError:
    """Return the error of one item of a list, with its place."""
    error = PydanticCustomError("value_error", "{error}", {"error": why})
    return ValidationError.from_exception_data("", [InitErrorDetails(type=error, loc=(number,), input=items)])


def named(layers: Sequence[LayerSpec]) -> list[LayerSpec]:
    """Return the layers with their names and sources.

    Raises:
        ValidationError: a name occurs twice, or a layer reads one that does not exist.
    """
    names = [layer.name or f"layer{n}" for n, layer in enumerate(layers, 1)]
    named: list[LayerSpec] = []
    for n, layer in enumerate(layers):
        if names[n] == INPUT or names[n] in names[:n]:
            raise _refused(n, layers, f'the name "{names[n]}" occurs twice')
        reads = layer.reads or [names[n - 1] if n else INPUT]
        for source in reads:
            if source not in (INPUT, *names):
                raise _refused(n, layers, f'it reads "{source}"; {suggestion(source, (INPUT, *names))}')
        if len({*reads}) < len(reads) or (layer.recurrent and names[n] in reads):
            raise _refused(n, layers, "it reads a layer twice")
        named.append(layer.model_copy(update={"name": names[n], "reads": reads}))
    return named


def _readouts(readouts: Sequence[ReadoutSpec]) -> Sequence[ReadoutSpec]:
    """Refuse readouts of one name."""
    for n, readout in enumerate(readouts):
        if readout.name in [other.name for other in readouts[:n]]:
            raise _refused(n, readouts, f'the name "{readout.name}" occurs twice')
    return readouts


Layers = Annotated[Sequence[LayerSpec], Field(min_length=1), AfterValidator(named)]
Readouts = Annotated[Sequence[ReadoutSpec], Field(min_length=1), AfterValidator(_readouts)]

# A run's spec is JSON: a network that is built from one gets mappings.
checked_layers = TypeAdapter[Sequence[LayerSpec]](Layers).validate_python
checked_readouts = TypeAdapter[Sequence[ReadoutSpec]](Readouts).validate_python
