"""braintrace (JAX): online rules of the library on our LIF and ALIF, the whole batch under one `jit`.

EProp carries a trace of each synapse by the diagonal of the step's Jacobian, D, and takes the learning signal by a
backward pass through one step. Without its κ filter, and with symmetric feedback:

    e^t = D^t e^{t−1} + D_f^t x^t,      dE/dW = Σ_t (∂l_t/∂h^t) e^t

is our e-prop behind a readout without memory; D_RTRL has the same gradient. pp_prop keeps e as a product of a trace of
the input and one of the neuron, ε_x^t = λ_x ε_x^{t−1} + x^t and ε_f^t = λ_f D^t ε_f^{t−1} + (1 − λ_f) D_f^t. With
λ_x = λ_f = α_p it is our pp-prop. With λ_x = α and λ_f = 0 it is e-prop for LIF, whose D is α and whose D_f is 1 − α;
for ALIF it drops the credit through the adaptation. OSTLRecurrent, the library's OSTL with H, has the block diagonal of
the whole Jacobian, with the synapse of a neuron on itself: our SnAp-1. Our OSTL with H is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import brainstate
import braintrace
import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from throughtime.peers.implementations.jax_scan import adam, no_moments, spike
from throughtime.peers.job import PP_PROP_DECAY, Question


class BrainTraceNeurons(brainstate.nn.Module):
    """One step of the layer; its synapses are one map of [x ; z ; 1], much as in the library's own cells.

    The bias is a synapse with an input of 1, because pp_prop has no trace for a separate bias. The readout is not part
    of the step: the library's learner computes no gradient of a map on which no state depends.
    """

    def __init__(self, question: Question) -> None:
        super().__init__()
        weights = {name: jnp.asarray(p.detach().numpy()) for name, p in question.network.named_parameters()}
        self.size, self.α, self.θ, self.adaptation = question.lif()
        self.dtype = weights["readout.linear.bias"].dtype
        W, R, c = (weights[f"layers.0.{name}"] for name in ("inward.weight", "recurrent.weight", "inward.bias"))
        self.synapses = brainstate.ParamState(jnp.concatenate([W, R, c[:, None]], 1).T)
        self.readout = brainstate.ParamState(
            {"weight": weights["readout.linear.weight"].T, "bias": weights["readout.linear.bias"]}
        )

    def init_state(self, batch_size: int | None = None, **_: Any) -> None:
        zeros = jnp.zeros((batch_size, self.size), self.dtype)
        self.v = brainstate.HiddenState(zeros)
        if self.adaptation is not None:
            self.a = brainstate.HiddenState(zeros)

    def reset_state(self, batch_size: int | None = None, **_: Any) -> None:
        for state in self.states(brainstate.HiddenState).values():
            state.value = jnp.zeros((batch_size, self.size), self.dtype)

    def spikes(self) -> jax.Array:
        A = self.θ
        if self.adaptation is not None:
            A = self.θ + self.adaptation[1] * self.a.value
        return spike((self.v.value - A) / self.θ)

    def update(self, x: jax.Array) -> jax.Array:
        α, θ = self.α, self.θ
        # Before the first step v = 0 < θ: no spikes.
        z = self.spikes()
        current = braintrace.matmul(jnp.concatenate([x, z, jnp.ones_like(x[:, :1])], 1), self.synapses.value)
        self.v.value = α * self.v.value + (1 - α) * current - jax.lax.stop_gradient(z) * θ
        if self.adaptation is not None:
            ρ, _ = self.adaptation
            self.a.value = ρ * self.a.value + (1 - ρ) * z
        return self.spikes()

    def outputs(self, z: jax.Array) -> jax.Array:
        return z @ self.readout.value["weight"] + self.readout.value["bias"]


class BrainTraceOnline:
    """The gradient of a batch by the library's own loop over the sequence, then a step of Adam."""

    def __init__(self, question: Question, algorithm: str) -> None:
        jax.config.update("jax_enable_x64", question.batch.x.dtype == torch.float64)
        self.x, self.target = jnp.asarray(question.batch.x.numpy()), jnp.asarray(question.batch.target.numpy())
        self.inputs, self.algorithm = question.work.inputs, algorithm
        model = self.model = BrainTraceNeurons(question)
        gradient = self.gradient_of(question)
        self.weights = model.states(brainstate.ParamState)
        self.moments = no_moments({key: state.value for key, state in self.weights.items()})

        def step(x: jax.Array, moments: Any) -> Any:
            W = {key: state.value for key, state in self.weights.items()}
            W, moments = adam(W, gradient(x), moments, question.training.learning_rate)
            for key, state in self.weights.items():
                state.value = W[key]
            return moments

        def outputs(x: jax.Array) -> jax.Array:
            model.reset_state(question.work.batch)
            return model.outputs(brainstate.transform.for_loop(model, x))

        self.gradient, self.step, self.outputs = (brainstate.transform.jit(f) for f in (gradient, step, outputs))

    def gradient_of(self, question: Question) -> Callable[[jax.Array], Any]:
        """Return the function of x that computes the gradient of a batch."""
        model, batch = self.model, question.work.batch
        traces = (PP_PROP_DECAY, PP_PROP_DECAY) if question.work.does == "pp_prop" else (model.α, 0.0)
        options = {"decay_or_rank": traces} if self.algorithm == "pp_prop" else {}
        learner = braintrace.compile(model, self.algorithm, self.x[0], batch_size=batch, **options)

        def gradient(x: jax.Array) -> Any:
            model.reset_state(batch)
            learner.reset_state(batch)
            # Up to step 1000 the library divides ε_f by 1 − λ_f^t, which the equation above does not have.
            if question.work.does == "pp_prop":
                learner.running_index.value = jnp.full_like(learner.running_index.value, 1000)
            return learner.etrace_grad(
                x, step_fn=lambda x_t: self.loss(learner(x_t), self.target), weights=self.weights
            )

        return gradient

    def loss(self, z: jax.Array, target: jax.Array) -> jax.Array:
        """Return the cross-entropy of a step, the mean over the batch."""
        log_p = jax.nn.log_softmax(self.model.outputs(z))
        return -jnp.take_along_axis(log_p, target[:, None], 1).mean()

    def once(self) -> object:
        self.moments = jax.block_until_ready(self.step(self.x, self.moments))
        return self.moments

    def answer(self) -> dict[str, Tensor]:
        tensors: dict[str, Any] = {"outputs": self.outputs(self.x)}
        for key, gradient in self.gradient(self.x).items():
            if self.weights[key] is self.model.synapses:
                W, R, c = jnp.split(gradient.T, [self.inputs, self.inputs + self.model.size], 1)
                tensors |= {
                    "layers.0.inward.weight": W,
                    "layers.0.recurrent.weight": R,
                    "layers.0.inward.bias": c[:, 0],
                }
            else:
                tensors |= {"readout.linear.weight": gradient["weight"].T, "readout.linear.bias": gradient["bias"]}
        return {name: torch.from_numpy(np.array(value)) for name, value in tensors.items()}


eprop, d_rtrl, pp_prop, snap1 = (
    partial(BrainTraceOnline, algorithm=name) for name in ("eprop", "d_rtrl", "pp_prop", "ostl_recurrent")
)
