"""A window of one layer as one operation: the recurrent products, norms, and the kernel of the neurons."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from throughtime.networks.batch_norm import StepBatchNorm
from throughtime.networks.kernels.linear_window import as_bytes
from throughtime.networks.kernels.norm_window import NormWindow
from throughtime.neurons.base import Neuron
from throughtime.neurons.gate import is_dense
from throughtime.neurons.kernels.kernel import Kernel, kernel_of
from throughtime.neurons.surrogate import is_smoothed
from throughtime.numerics.alike_steps import fill_left_out, steps_to_execute
from throughtime.numerics.precision import products_of
from throughtime.numerics.spike_product import SpikeProduct, add_weight_gradient


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


class Recurrence(NamedTuple):
    """How the current of a layer follows from its drive: I_t = D_t + R z_{t−1}."""

    linear: nn.Linear | None
    """R; None: I_t = D_t."""
    norms: tuple[StepBatchNorm, ...] = ()
    """Norms of D_t and, if there is R, of R z_{t−1} with R's bias, which D_t contains if there is no norm; or none."""


def layer_window(
    neuron: Neuron, drive: Tensor, recurrence: Recurrence, state: Any, t: int, reads_v: bool
) -> LayerWindow | None:
    """Run I_t = D_t + R z_{t−1}, each term through its norm if it has one, and the kernel of the neurons.

    The forward pass takes one product per step for R z; the backward pass takes one per step for δI R and one for the
    gradient by R. Memory for the backward pass: that of the kernel, and z (a byte per spike); with norms also their
    inputs.

    Args:
        neuron: the neurons.
        drive: D, [steps, batch, currents · size], which the window overwrites.
        recurrence: R and norms.
        state: state before the first step.
        t: index of the first step of the window in the sequence.
        reads_v: whether to return membrane potentials.

    Returns:
        The results of the window; None if the neurons have no kernel that applies or the shape of images, if R is not
        dense, or if a norm in training has a single sample, which it refuses with an error.
    """
    (linear, norms), kind = recurrence, kernel_of(neuron)
    if kind is None or is_smoothed() or len(neuron.shape) > 1 or not (linear is None or is_dense(linear)):
        return None
    if drive.shape[1] == 1 and any(norm.training for norm in norms):
        return None
    neuron_parameters = _named(neuron)
    norm_parameters = [p for norm in norms for p in (norm.weight, norm.bias)]
    R, c_R = (None, None) if linear is None else (linear.weight, linear.bias if norms else None)
    learnt = (R, c_R, *norm_parameters, *neuron_parameters.values())
    keep = torch.is_grad_enabled() and any(p is not None and p.requires_grad for p in (drive, *learnt, *state))
    made = _Made(
        neuron, recurrence, kind, tuple(neuron_parameters), len(norm_parameters), type(state), t, keep, reads_v
    )
    z, bytes_of_z, v, *after = _LayerWindow.apply(made, drive, *learnt, *state)
    return LayerWindow(z, bytes_of_z, z if reads_v and v is None else v, type(state)(*after))


def _named(module: nn.Module, prefix: str = "") -> dict[str, nn.Parameter]:
    """Return `named_parameters` as a dictionary in a tenth of the time, since every window needs it."""
    named = {prefix + name: p for name, p in module._parameters.items() if p is not None}
    for name, part in module._modules.items():
        if part is not None:
            named |= _named(part, f"{prefix}{name}.")
    return named


class _Made(NamedTuple):
    """Arguments of a window that are not tensors."""

    neuron: Neuron
    recurrence: Recurrence
    kernel: type[Kernel]
    parameters: tuple[str, ...]
    """Names of the parameters of the neurons."""
    norm_parameters: int
    state: type[Any]
    t: int
    keep: bool
    reads_v: bool


class _LayerWindow(torch.autograd.Function):
    """Arguments: a _Made; the drive; R and its bias; the parameters of norms and neurons; the state before. Results:
    z and its bytes, v, the state after."""

    @staticmethod
    def forward(
        ctx: Any, made: _Made, drive: Tensor, R: Tensor | None, c_R: Tensor | None, *more: Tensor
    ) -> tuple[Tensor | None, ...]:
        neuron, (linear, term_norms), spiking = made.neuron, made.recurrence, made.neuron.spiking
        before = made.state(*more[made.norm_parameters + len(made.parameters) :])
        D = drive.detach()
        # Norms need their inputs unchanged in the backward pass.
        I = torch.empty_like(D) if term_norms else D
        Z = D.new_empty(*D.shape[:2], neuron.size)
        norms: tuple[NormWindow, ...] = ()
        P = D
        if term_norms:
            norms = (NormWindow(term_norms[0], D, I, adds=False),)
        if term_norms and R is not None:
            P = torch.zeros_like(D) if c_R is None else c_R.expand_as(D).clone()
            norms = (*norms, NormWindow(term_norms[1], P, I, adds=True))
        kernel = made.kernel(neuron, I, made.keep, made.reads_v)
        kernel.begin(before, Z)
        # Only spikes are worth a search for the few that are not zero.
        product = None
        if linear is not None and R is not None:
            product = SpikeProduct(R, products_of(linear), len(D) if spiking else 1)
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
            ctx.made, ctx.kernel, ctx.norms = made, kernel, norms
            ctx.set_materialize_grads(False)
            if bytes_of_z is not None:
                ctx.mark_non_differentiable(bytes_of_z)
            # Kernel and norms read their parameters directly; saving them makes autograd detect changes in place.
            read = (*more, *(tensor for norm in norms for tensor in norm.reads))
            stored_z = Z if bytes_of_z is None else bytes_of_z
            if product is None and not (spiking or kernel.loops.reads_z):
                stored_z = torch.empty_like(Z[:1])
            ctx.save_for_backward(R, before.z, stored_z, *read)
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
        R, z_before, Z, *_read = ctx.saved_tensors
        after, like = made.state(*δafter), z_before

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
        _, need_D, need_R, need_c_R, *need_more = ctx.needs_input_grad
        need_state = any(need_more[-len(made.state._fields) :])
        kernel.begin_back(after, Z, need_state, δz, δI)
        δD = δP = δI  # of the drive, and of R z_{t−1}
        if norms:
            δD, δP = torch.empty_like(δI), torch.empty_like(δI) if len(norms) > 1 else δI
            for norm, δ in zip(norms, (δD, δP), strict=False):
                norm.begin_back(δI, δ)
        linear = made.recurrence.linear
        later, products = None, None if linear is None else products_of(linear)
        R_once = None if products is None else products.operand(R)
        rows = [*zip(δz.unbind(0), δP.unbind(0), strict=True)]
        for t in reversed(steps_to_execute(len(rows))):
            δz_t, δP_t = rows[t]
            if later is not None and products is not None:
                products.addmm(δz_t, later, R_once, out=δz_t)  # through R z_t of the next step
            kernel.back(t, δz_t, δv[t])
            for norm in norms:
                norm.back(t)
            later = δP_t
        fill_left_out(δI, *kernel.δg)
        δbefore = (None,) * len(made.state._fields)
        if need_state:
            δbefore = kernel.state_gradient()
            if products is not None:
                δbefore = δbefore._replace(z=products.addmm(δbefore.z, later, R_once))

        δR = None
        if need_R and products is not None:
            δR = products.matmul(δP[0].t(), z_before)
            if len(δP) > 1 and made.neuron.spiking:
                add_weight_gradient(δR, δP[1:], Z[:-1], products)
            elif len(δP) > 1:
                products.addmm(δR, δP[1:].flatten(0, 1).t(), Z[:-1].flatten(0, 1), out=δR)
        δc_R = δP.sum((0, 1)) if need_c_R else None
        neuron_gradients = kernel.parameter_gradients()
        norm_gradients = (g for norm in norms for g in (norm.δw, norm.δc))
        parameter_gradients = (neuron_gradients.get(name) for name in made.parameters)
        return None, δD if need_D else None, δR, δc_R, *norm_gradients, *parameter_gradients, *δbefore


def _copied(made: Any) -> Any:
    """Return a shallow copy, without the overhead of `copy.copy`."""
    copied = object.__new__(type(made))
    copied.__dict__.update(made.__dict__)
    return copied
