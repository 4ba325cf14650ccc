"""braintrace (JAX): UORO on our LIF and ALIF, one estimate for each sample, as ours.

The library's UORO has one product of two vectors for the whole batch, whose hidden state has batch × size numbers, and
the Jacobian of all of them. Mapped over the samples by `vmap` it has one product for each sample, from a Jacobian of
one sample: less noise, and less time. Its signs are those of v and a, ours those of the whole state with spikes and
readout. The two gradients agree in the mean over signs, which is BPTT's gradient.
"""

from __future__ import annotations

from typing import Any

import brainstate
import braintrace
import jax
import jax.numpy as jnp

from throughtime.peers.implementations.braintrace_online import BrainTraceNeurons, BrainTraceOnline
from throughtime.peers.job import Question


class BrainTraceUORO(BrainTraceOnline):
    """The mean of the gradients of the samples, then a step of Adam; each call draws new signs."""

    def __init__(self, question: Question) -> None:
        self.key = brainstate.ShortTermState(jax.random.key(1))
        super().__init__(question, "uoro")

    def gradient_of(self, question: Question) -> Any:
        model: BrainTraceNeurons = self.model
        learner = braintrace.compile(model, "uoro", self.x[0, :1], batch_size=1, vjp_method="single-step")

        def reset() -> None:
            model.reset_state(1)
            learner.reset_state(1)

        def of_sample(x: jax.Array, target: jax.Array, key: jax.Array) -> Any:
            def loss(x_t: jax.Array) -> jax.Array:
                return self.loss(learner(x_t[None]), target[None])

            reset()
            learner.projection_rng.value = key
            gradients = learner.etrace_grad(x, step_fn=loss, weights=self.weights)
            reset()  # no state of a sample may leave the map
            return gradients

        of_samples = brainstate.transform.vmap(of_sample, in_axes=(1, 0, 0))

        def gradient(x: jax.Array) -> Any:
            self.key.value, key = jax.random.split(self.key.value)
            gradients = of_samples(x, self.target, jax.random.split(key, len(self.target)))
            return jax.tree.map(lambda g: jnp.mean(g, 0), gradients)

        return gradient
