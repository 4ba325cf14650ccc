"""JAX: the same loop as a `scan`, the whole step of training under one `jit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from throughtime.peers.job import Question

ScanWeights = dict[str, jax.Array]


@jax.custom_jvp
def spike(x: jax.Array) -> jax.Array:
    """H(x), whose gradient is 0.3 max(0, 1 − |x|)."""
    return (x > 0).astype(x.dtype)


@spike.defjvp
def _(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    return spike(x), 0.3 * jax.nn.relu(1 - jnp.abs(x)) * dx


def no_moments(W: Any) -> Any:
    """Return the state of Adam before its first step: m, u and the number of steps."""
    zeros = jax.tree.map(jnp.zeros_like, W)
    return zeros, zeros, jnp.zeros((), jax.tree.leaves(W)[0].dtype)


def adam(W: Any, gradient: Any, moments: Any, learning_rate: float) -> tuple[Any, Any]:
    """Return the weights and moments after one step of Adam, as in PyTorch."""
    m, u, n = moments
    n = n + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
    u = jax.tree.map(lambda u, g: 0.999 * u + 0.001 * g**2, u, gradient)

    def stepped(w: jax.Array, m: jax.Array, u: jax.Array) -> jax.Array:
        return w - learning_rate * (m / (1 - 0.9**n)) / (jnp.sqrt(u / (1 - 0.999**n)) + 1e-8)

    return jax.tree.map(stepped, W, m, u), (m, u, n)


class JAXScan:
    """LIF or ALIF by the equations in their docstrings."""

    def __init__(self, question: Question) -> None:
        self.does = question.work.does
        _, self.α, self.θ, adaptation = question.lif()
        self.ρ, self.β = adaptation or (0.0, 0.0)
        self.learning_rate = question.training.learning_rate
        jax.config.update("jax_enable_x64", question.batch.x.dtype == torch.float64)
        self.x, self.target = jnp.asarray(question.batch.x.numpy()), jnp.asarray(question.batch.target.numpy())
        self.W = {name: jnp.asarray(p.detach().numpy()) for name, p in question.network.named_parameters()}
        self.moments = no_moments(self.W)
        self.step, self.outputs_of = jax.jit(self._step), jax.jit(self._outputs)
        # The results of vjp include all that the backward pass needs, so XLA cannot drop its computation.
        self.forward = jax.jit(lambda W, x, target: jax.vjp(lambda W: self._loss(W, x, target), W))

    def _outputs(self, W: ScanWeights, x: jax.Array) -> jax.Array:
        α, θ, ρ, β = self.α, self.θ, self.ρ, self.β
        R = W["layers.0.recurrent.weight"].T
        drive = x @ W["layers.0.inward.weight"].T + W["layers.0.inward.bias"]

        def step(state: tuple[jax.Array, ...], drive_t: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
            v, a, z = state
            v = α * v + (1 - α) * (drive_t + z @ R) - jax.lax.stop_gradient(z) * θ
            if β:
                a = ρ * a + (1 - ρ) * z
            z = spike((v - θ - β * a) / θ)
            return (v, a, z), z

        zeros = jnp.zeros_like(drive[0])
        _, z = jax.lax.scan(step, (zeros, zeros, zeros), drive)
        return z @ W["readout.linear.weight"].T + W["readout.linear.bias"]

    def _loss(self, W: ScanWeights, x: jax.Array, target: jax.Array) -> jax.Array:
        log_p = jax.nn.log_softmax(self._outputs(W, x))
        return -jnp.take_along_axis(log_p, jnp.broadcast_to(target[:, None], (*log_p.shape[:2], 1)), 2).mean()

    def _step(
        self, W: ScanWeights, moments: Any, x: jax.Array, target: jax.Array
    ) -> tuple[ScanWeights, Any, jax.Array]:
        loss, gradient = jax.value_and_grad(self._loss)(W, x, target)
        W, moments = adam(W, gradient, moments, self.learning_rate)
        return W, moments, loss

    def once(self) -> object:
        if self.does == "evaluate":
            return jax.block_until_ready(self.outputs_of(self.W, self.x))
        if self.does == "forward":
            return jax.block_until_ready(self.forward(self.W, self.x, self.target))
        self.W, self.moments, loss = jax.block_until_ready(self.step(self.W, self.moments, self.x, self.target))
        return loss

    def answer(self) -> dict[str, Tensor]:
        tensors: dict[str, Any] = {"outputs": self.outputs_of(self.W, self.x)}
        if self.does != "evaluate":
            gradient: Callable[..., ScanWeights] = jax.jit(jax.grad(self._loss))
            tensors |= gradient(self.W, self.x, self.target)
        return {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}


def build(question: Question) -> JAXScan:
    return JAXScan(question)
