"""A window of one recurrent layer as one operation: its neurons' kernel between the synapses' products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from throughtime.networks.spike_linear import as_bytes, product_with_spikes
from throughtime.neurons.base import Neuron
from throughtime.neurons.kernel import Kernel, kernel_of
from throughtime.neurons.surrogate import is_smoothed


class LayerWindow(NamedTuple):
    """What a layer shows in a window."""

    z: Tensor
    """[steps, batch, size]."""
    bytes_of_z: Tensor | None
    """The same without a graph, where they are spikes and a gradient will be asked for."""
    v: Tensor | None
    """Membranes, where they were asked for."""
    state: Any
    """After the last step."""


def layer_window(
    inward: nn.Linear,
    recurrent: nn.Linear,
    neuron: Neuron,
    x: Tensor,
    bytes_of_x: Tensor | None,
    state: Any,
    reads_v: bool,
) -> LayerWindow | None:
    """I_t = W x_t + c + R z_{t−1} and the neurons' steps, by their kernel; None where they have none that applies.

    Forward: one product for all W x, one a step for R z. Backward: one a step for δI R, one each for the gradients by W
    and R. Kept: what the kernel keeps, a byte a spike, and x, or its bytes if there are any.

    Args:
        x: [steps, batch, inputs].
        bytes_of_x: the same, of spikes.
        reads_v: whether membranes are wanted.
    """
    kind = kernel_of(neuron)
    if kind is None or is_smoothed():
        return None
    named = dict(neuron.named_parameters())
    tensors = (x, bytes_of_x, inward.weight, inward.bias, recurrent.weight, recurrent.bias, *named.values(), *state)
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
    layer = _Layer(kind, neuron, type(state), tuple(named), keep, reads_v)
    z, bytes_of_z, v, *after = _LayerWindow.apply(layer, *tensors)
    return LayerWindow(z, bytes_of_z, v, type(state)(*after))


class _Layer(NamedTuple):
    """What of a layer is no tensor."""

    kernel: type[Kernel]
    neuron: Neuron
    state: type
    parameters: tuple[str, ...]
    """Names of the neuron's own."""
    keep: bool
    reads_v: bool


class _LayerWindow(torch.autograd.Function):
    """Arguments: a _Layer; x and its bytes, W, c, R and its bias; the neuron's parameters; its state. Results: z and
    its bytes, v, the neuron's state."""

    @staticmethod
    def forward(
        ctx: Any,
        layer: _Layer,
        x: Tensor,
        bytes_of_x: Tensor | None,
        W: Tensor,
        c: Tensor,
        R: Tensor,
        c_R: Tensor | None,
        *own: Tensor,
    ) -> tuple[Tensor | None, ...]:
        before = layer.state(*own[len(layer.parameters) :])
        I = F.linear(x, W, c if c_R is None else c + c_R)
        Z = torch.empty_like(I)
        kernel = layer.kernel(layer.neuron, I, layer.keep, layer.reads_v)
        kernel.begin(before)
        z, R_t = before.z, R.t()
        for t, (I_t, z_t) in enumerate(zip(I.unbind(0), Z.unbind(0), strict=True)):
            torch.addmm(I_t, z, R_t, out=I_t)
            kernel.step(t, I_t, z, z_t)
            z = z_t
        # Not the kernel's own tensor: a result that its graph refers to would never be freed.
        v = kernel.membranes().detach() if layer.reads_v else None
        after = kernel.end(z)
        bytes_of_z = None
        if layer.keep:
            bytes_of_z = as_bytes(Z)
            ctx.layer, ctx.kernel, ctx.x_is_bytes, ctx.has_own_bias = layer, kernel, bytes_of_x is not None, c_R is not None
            ctx.set_materialize_grads(False)
            ctx.mark_non_differentiable(bytes_of_z)
            ctx.save_for_backward(x if bytes_of_x is None else bytes_of_x, W, R, before.z, bytes_of_z, *own)
        return Z, bytes_of_z, v, *after

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, δZ: Tensor | None, _bytes: None, δV: Tensor | None, *δafter: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        layer: _Layer = ctx.layer
        kernel: Kernel = ctx.kernel
        x, W, R, z_before, Z, *_own = ctx.saved_tensors
        after = layer.state(*δafter)

        δI = torch.zeros_like(kernel.I) if δZ is None else δZ.clone(memory_format=torch.contiguous_format)
        δv = [None] * len(δI) if δV is None else list(δV.unbind(0))
        if after.z is not None:
            δI[-1] += after.z
        if after.v is not None:
            δv[-1] = after.v if δv[-1] is None else δv[-1] + after.v
        kernel.begin_back(after, Z)
        later = None
        for t, δz in reversed([*enumerate(δI.unbind(0))]):
            if later is not None:
                torch.addmm(δz, later, R, out=δz)  # what reads z_t in the next step
            kernel.back(t, δz, δv[t])
            later = δz
        δbefore, δown = kernel.end_back()
        δbefore = δbefore._replace(z=torch.addmm(δbefore.z, δI[0], R))

        _, need_x, _, need_W, need_c, need_R, need_c_R, *_ = ctx.needs_input_grad
        δx = δI @ W if need_x else None
        δW = None
        if need_W:
            δW = product_with_spikes(δI, x) if ctx.x_is_bytes else δI.flatten(0, 1).t() @ x.flatten(0, 1)
        δc = δI.sum((0, 1)) if need_c or need_c_R else None
        δR = None
        if need_R:
            δR = product_with_spikes(δI[1:], Z[:-1]).addmm_(δI[0].t(), z_before)
        δc_R = δc if ctx.has_own_bias else None
        return None, δx, None, δW, δc, δR, δc_R, *(δown.get(name) for name in layer.parameters), *δbefore
