"""Penalties on numbers of spikes beside the loss of a rule."""

from throughtime.algorithms.penalised import penalised

__all__ = ["penalised"]
