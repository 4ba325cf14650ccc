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
from throughtime.neurons.kernel import CHUNK, Kernel, kernel_of
from throughtime.neurons.surrogate import is_smoothed


class LayerWindow(NamedTuple):
    """What a layer shows in a window."""

    z: Tensor
    """[steps, batch, size]."""
    v: Tensor | None
    """Likewise, where it was asked for."""
    state: Any
    """After the last step."""


def layer_window(
    inward: nn.Linear, recurrent: nn.Linear, neuron: Neuron, x: Tensor, state: Any, *, of_spikes: bool, reads_v: bool
) -> LayerWindow | None:
    """I_t = W x_t + c + R z_{t−1} and the neurons' steps, by their kernel; None where they have none that applies.

    Forward: one product for all W x, one a step for R z. Backward: one a step for δI R, one each for the gradients by W
    and R. Kept: what the kernel keeps, and x.

    Args:
        x: [steps, batch, inputs].
        of_spikes: whether x is spikes: then it is kept as bytes.
        reads_v: whether membranes are wanted.
    """
    kind = kernel_of(neuron)
    if kind is None or is_smoothed():
        return None
    named = dict(neuron.named_parameters())
    tensors = (x, inward.weight, inward.bias, recurrent.weight, recurrent.bias, *named.values(), *state)
    keep = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
    layer = _Layer(kind, neuron, type(state), tuple(named), keep, of_spikes, reads_v)
    z, v, *after = _LayerWindow.apply(layer, *tensors)
    return LayerWindow(z, v, type(state)(*after))


class _Layer(NamedTuple):
    """What of a layer is no tensor."""

    kernel: type[Kernel]
    neuron: Neuron
    state: type
    parameters: tuple[str, ...]
    """Names of the neuron's own."""
    keep: bool
    of_spikes: bool
    reads_v: bool


class _LayerWindow(torch.autograd.Function):
    """Arguments: a _Layer; x, W, c, R and its bias; the neuron's parameters; its state. Results: z, v, its state."""

    @staticmethod
    def forward(ctx: Any, layer: _Layer, x: Tensor, W: Tensor, c: Tensor, R: Tensor, c_R: Tensor | None, *own: Tensor):
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
        v = kernel.membranes() if layer.reads_v else None
        after = kernel.end(z)
        if layer.keep:
            ctx.layer, ctx.has_own_bias = layer, c_R is not None
            ctx.set_materialize_grads(False)
            x = as_bytes(x) if layer.of_spikes else x
            ctx.save_for_backward(x, W, R, *own, *(getattr(kernel, name) for name in kernel.kept))
        return Z, v, *after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, δZ: Tensor | None, δV: Tensor | None, *δafter: Tensor | None):
        layer: _Layer = ctx.layer
        names, fields = layer.parameters, layer.state._fields
        x, W, R, *rest = ctx.saved_tensors
        before = layer.state(*rest[len(names) : len(names) + len(fields)])
        kernel = layer.kernel(layer.neuron, rest[len(names) + len(fields)], True, layer.reads_v)
        for name, tensor in zip(kernel.kept, rest[len(names) + len(fields) :], strict=True):
            setattr(kernel, name, tensor)
        after = layer.state(*δafter)

        δI = torch.empty_like(kernel.I)
        steps, slots = len(δI), δI.unbind(0)
        kernel.begin_back(after._replace(v=None, z=None))
        for t in reversed(range(steps)):
            δz, δv = slots[t], None if δV is None else δV[t]
            if t + 1 < steps:
                _product(δZ, t, slots[t + 1], R, out=δz)
            else:
                δz.copy_(_sum(None if δZ is None else δZ[t], after.z, δz))
                δv = after.v if δv is None else _sum(δv, after.v, δv)
            kernel.back(t, δz, δv)
        δbefore, δown = kernel.end_back()
        δbefore = δbefore._replace(z=torch.addmm(δbefore.z, δI[0], R))

        need = ctx.needs_input_grad[1:]
        δx = δI @ W if need[0] else None
        δW = None
        if need[1]:
            δW = product_with_spikes(δI, x) if layer.of_spikes else δI.flatten(0, 1).t() @ x.flatten(0, 1)
        δc = δI.sum((0, 1)) if need[2] or need[4] else None
        δR = _recurrent_gradient(δI, before.z, kernel) if need[3] else None
        return None, δx, δW, δc, δR, δc if ctx.has_own_bias else None, *(δown[name] for name in names), *δbefore


def _product(δZ: Tensor | None, t: int, δI: Tensor, R: Tensor, out: Tensor) -> None:
    """∂E/∂z_t through what reads it directly and, by R, in the next step."""
    if δZ is None:
        torch.mm(δI, R, out=out)
    else:
        torch.addmm(δZ[t], δI, R, out=out)


def _sum(a: Tensor | None, b: Tensor | None, like: Tensor) -> Tensor:
    """Of what is there."""
    there = [tensor for tensor in (a, b) if tensor is not None]
    return sum(there) if there else torch.zeros_like(like)


def _recurrent_gradient(δI: Tensor, z_before: Tensor, kernel: Kernel) -> Tensor:
    """∂E/∂R = Σ_t δI_t z_{t−1}ᵀ, many steps to a product; the spikes are made again, some steps at a time."""
    δR = δI[0].t() @ z_before
    for begin in range(1, len(δI), CHUNK):
        end = min(begin + CHUNK, len(δI))
        δR.addmm_(δI[begin:end].flatten(0, 1).t(), kernel.spikes(begin - 1, end - 1).flatten(0, 1))
    return δR
