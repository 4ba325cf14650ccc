"""A window of one layer as one operation: the products of the synapses and the kernel of the neurons."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.kernels.norm_window import NormWindow
from throughtime.networks.kernels.spike_linear import as_bytes
from throughtime.neurons.base import Neuron
from throughtime.neurons.gate import is_dense
from throughtime.neurons.kernels.kernel import Kernel, kernel_of
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.precision import products_of
from throughtime.numerics.spike_product import SpikeProduct, add_weight_gradient


class Maps(NamedTuple):
    """The linear maps of a layer: I_t = W x_t + c + R z_{t−1}."""

    inward: nn.Linear | None
    """W and c; None: x are W x_t + c, and the window overwrites them."""
    recurrent: nn.Linear | None
    """R, with or without a bias; None: none."""
    norms: tuple[StepBatchNorm, ...] = ()
    """Norms of W x_t + c and, if there is R, of R z_{t−1}; or none."""


class LayerWindow(NamedTuple):
    """Results of a layer for a window."""

    z: Tensor
    """[steps, batch, size]."""
    bytes_of_z: Tensor | None
    """z as bytes without a graph, if z are spikes and a gradient is needed."""
    v: Tensor | None
    """Membrane potentials, if requested."""
    state: Any
    """State after the last step."""


def layer_window(
    neuron: Neuron, maps: Maps, x: Tensor, bytes_of_x: Tensor | None, state: Any, t: int, reads_v: bool
) -> LayerWindow | None:
    """Run I_t = W x_t + c + R z_{t−1}, each product through its norm if it has one, and the kernel of the neurons.

    The forward pass takes one product for all W x and one per step for R z; the backward pass takes one per step for
    δI R and one each for the gradients by W and R. Memory for the backward pass: that of the kernel, z (a byte per
    spike), and x, or its bytes if given; with norms also their inputs.

    Args:
        neuron: the neurons.
        maps: W and R.
        x: [steps, batch, inputs].
        bytes_of_x: x as bytes, if x are spikes.
        t: index of the first step of the window in the sequence.
        reads_v: whether to return membrane potentials.

    Returns:
        The results of the window; None if the neurons have no kernel that applies, if a map is not dense, or if a norm
        in training has a single sample, which it refuses with an error.
    """
    kind = kernel_of(neuron)
    if kind is None or is_smoothed() or not all(map is None or is_dense(map) for map in maps[:2]):
        return None
    if x.shape[1] == 1 and any(norm.training for norm in maps.norms):
        return None
    of_neuron = _named(neuron)
    of_norms = [p for norm in maps.norms for p in (norm.weight, norm.bias)]
    of_maps = [p for map in maps[:2] for p in ((None, None) if map is None else (map.weight, map.bias))]
    learnt = (*of_maps, *of_norms, *of_neuron.values())
    keep = torch.is_grad_enabled() and any(p is not None and p.requires_grad for p in (x, *learnt, *state))
    made = _Made(neuron, maps, kind, tuple(of_neuron), len(of_norms), type(state), t, keep, reads_v)
    z, bytes_of_z, v, *after = _LayerWindow.apply(made, x, bytes_of_x, *learnt, *state)
    return LayerWindow(z, bytes_of_z, z if reads_v and v is None else v, type(state)(*after))


def _named(module: nn.Module, prefix: str = "") -> dict[str, nn.Parameter]:
    """Return `named_parameters` as a dictionary in a tenth of the time, since every window needs it."""
    found = {prefix + name: p for name, p in module._parameters.items() if p is not None}
    for name, part in module._modules.items():
        if part is not None:
            found |= _named(part, f"{prefix}{name}.")
    return found


class _Made(NamedTuple):
    """Arguments of a window that are not tensors."""

    neuron: Neuron
    maps: Maps
    kernel: type[Kernel]
    parameters: tuple[str, ...]
    """Names of the parameters of the neurons."""
    norm_parameters: int
    state: type[Any]
    t: int
    keep: bool
    reads_v: bool


class _LayerWindow(torch.autograd.Function):
    """Arguments: a _Made; x and its bytes; W, c, R and its bias; the parameters of norms and neurons; the state before.
    Results: z and its bytes, v, the state after."""

    @staticmethod
    def forward(
        ctx: Any,
        made: _Made,
        x: Tensor,
        bytes_of_x: Tensor | None,
        W: Tensor | None,
        c: Tensor | None,
        R: Tensor | None,
        c_R: Tensor | None,
        *more: Tensor,
    ) -> tuple[Tensor | None, ...]:
        neuron, maps, normed, spiking = made.neuron, made.maps, made.norm_parameters > 0, made.neuron.spiking
        before = made.state(*more[made.norm_parameters + len(made.parameters) :])
        D = x.detach()
        if maps.inward is not None and W is not None:
            both = c if c_R is None or normed else c_R if c is None else c + c_R
            D = products_of(maps.inward).linear(x, W, both)
        elif c_R is not None:
            D += c_R
        # Norms need their inputs unchanged in the backward pass.
        I = torch.empty_like(D) if normed else D
        Z = D.new_empty(*D.shape[:2], neuron.size)
        norms: tuple[NormWindow, ...] = ()
        P = D
        if normed:
            norms = (NormWindow(maps.norms[0], D, I, adds=False),)
        if normed and R is not None:
            P = torch.zeros_like(D) if c_R is None else c_R.expand_as(D).clone()
            norms = (*norms, NormWindow(maps.norms[1], P, I, adds=True))
        kernel = made.kernel(neuron, I, made.keep, made.reads_v)
        kernel.begin(before, Z)
        # Only spikes are worth a search for the few that are not zero.
        product = None
        if maps.recurrent is not None and R is not None:
            product = SpikeProduct(R, products_of(maps.recurrent), len(x) if spiking else 1)
        if not norms:
            kernel.take_steps(product, before.z, Z)
        else:
            z = before.z
            for t, (P_t, I_t, z_t) in enumerate(zip(P.unbind(0), I.unbind(0), Z.unbind(0), strict=True)):
                if product is not None:
                    product.add(P_t, z)
                for norm in norms:
                    norm.step(t, made.t)
                kernel.step(t, I_t, z, z_t)
                z = z_t
            for norm in norms:
                norm.end()
        # v may be z. Detached: a result to which its own graph refers would never be freed.
        v = kernel.membranes().detach() if made.reads_v and "v" not in kernel.loops.copies else None
        after = kernel.end(Z[-1])
        bytes_of_z = None
        if made.keep:
            bytes_of_z = as_bytes(Z) if spiking else None
            ctx.made, ctx.kernel, ctx.norms, ctx.x_is_bytes = made, kernel, norms, bytes_of_x is not None
            ctx.set_materialize_grads(False)
            if bytes_of_z is not None:
                ctx.mark_non_differentiable(bytes_of_z)
            # Kernel and norms read their parameters directly; saving them makes autograd detect changes in place.
            read = (*more, *(tensor for norm in norms for tensor in norm.reads))
            stored_x = None if W is None else x if bytes_of_x is None else bytes_of_x
            stored_z = Z if bytes_of_z is None else bytes_of_z
            if product is None and not (spiking or kernel.loops.reads_z):
                stored_z = torch.empty_like(Z[:1])
            ctx.save_for_backward(stored_x, W, R, before.z, stored_z, *read)
        return Z, bytes_of_z, v, *after

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, δZ: Tensor | None, _bytes: None, δV: Tensor | None, *δafter: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        made: _Made = ctx.made
        # Copies, so that buffers of the backward pass are freed with it and not with the graph.
        kernel: Kernel = _copied(ctx.kernel)
        norms: tuple[NormWindow, ...] = tuple(map(_copied, ctx.norms))
        x, W, R, z_before, Z, *_read = ctx.saved_tensors
        after = made.state(*δafter)
        maps, like = made.maps, z_before

        shape = (kernel.steps, *like.shape)
        δz = like.new_zeros(shape) if δZ is None else δZ.clone(memory_format=torch.contiguous_format)
        # With a single current one replaces the other.
        currents = made.neuron.currents
        δI = δz if currents == 1 else like.new_empty(*shape[:2], currents * shape[2])
        δv = [None] * len(δI) if δV is None else list(δV.unbind(0))
        if after.z is not None:
            δz[-1] += after.z
        if after.v is not None:
            δv[-1] = after.v if δv[-1] is None else δv[-1] + after.v
        _, need_x, _, need_W, need_c, need_R, need_c_R, *need_more = ctx.needs_input_grad
        need_state = any(need_more[-len(made.state._fields) :])
        kernel.begin_back(after, Z, need_state, δz, δI)
        δD = δP = δI  # of W x_t + c, and of R z_{t−1}
        if norms:
            δD, δP = torch.empty_like(δI), torch.empty_like(δI) if len(norms) > 1 else δI
            for norm, δ in zip(norms, (δD, δP), strict=False):
                norm.begin_back(δI, δ)
        later, of_R = None, None if maps.recurrent is None else products_of(maps.recurrent)
        R_once = None if of_R is None else of_R.operand(R)
        for t, (δz_t, δP_t) in reversed([*enumerate(zip(δz.unbind(0), δP.unbind(0), strict=True))]):
            if later is not None and of_R is not None:
                of_R.addmm(δz_t, later, R_once, out=δz_t)  # through R z_t of the next step
            kernel.back(t, δz_t, δv[t])
            for norm in norms:
                norm.back(t)
            later = δP_t
        δbefore = (None,) * len(made.state._fields)
        if need_state:
            δbefore = kernel.state_gradient()
            if of_R is not None:
                δbefore = δbefore._replace(z=of_R.addmm(δbefore.z, later, R_once))

        δx, δW, δR = δD if need_x else None, None, None
        if maps.inward is not None:
            of_W = products_of(maps.inward)
            δx = of_W.matmul(δD, W) if need_x else None
            if need_W and ctx.x_is_bytes:
                δW = add_weight_gradient(torch.zeros_like(W), δD, x, of_W)
            elif need_W:
                δW = of_W.matmul(δD.flatten(0, 1).t(), x.flatten(0, 1))
        if need_R and of_R is not None:
            δR = of_R.matmul(δP[0].t(), z_before)
            if len(δP) > 1 and made.neuron.spiking:
                add_weight_gradient(δR, δP[1:], Z[:-1], of_R)
            elif len(δP) > 1:
                of_R.addmm(δR, δP[1:].flatten(0, 1).t(), Z[:-1].flatten(0, 1), out=δR)
        δc = δD.sum((0, 1)) if need_c else None
        δc_R = δP.sum((0, 1)) if need_c_R else None
        of_neuron = kernel.parameter_gradients()
        of_norms = (g for norm in norms for g in (norm.δw, norm.δc))
        return None, δx, None, δW, δc, δR, δc_R, *of_norms, *(of_neuron.get(n) for n in made.parameters), *δbefore


def _copied(made: Any) -> Any:
    """Return a shallow copy, without the overhead of `copy.copy`."""
    copied = object.__new__(type(made))
    copied.__dict__.update(made.__dict__)
    return copied
