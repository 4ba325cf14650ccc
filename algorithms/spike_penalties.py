"""Penalties on numbers of spikes, as terms of a loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from throughtime.spec import Strict


class SpikePenalty(Strict):
    """c · mean_u [n_u − bound]₊^power over the neurons u of a layer, or of the layer as one unit, summed over layers.

    n_u is the number of spikes in a sequence, the mean over the batch and, for the population, over its neurons.
    """

    strength: PositiveFloat
    """c."""
    of: Literal["neuron", "population"] = "neuron"
    """Unit whose spikes are counted."""
    bound: NonNegativeFloat = 0.0
    """Largest number of spikes without a penalty; 0: every spike counts."""
    power: Annotated[int, Field(ge=1, le=2)] = 1
    """Exponent of the excess."""


Penalties = Annotated[Sequence[SpikePenalty], Field(min_length=1)]


def checked_penalties(penalties: Sequence[SpikePenalty | Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Return penalties of a suite with all their options, as values that a checkpoint can contain."""
    return [SpikePenalty.model_validate(penalty).model_dump() for penalty in penalties or ()]


def penalty_of(penalties: Sequence[Mapping[str, Any]], spikes: Sequence[Tensor]) -> Tensor:
    """Return the sum of the penalties, as `checked_penalties` returns them, of the spikes of each layer, [steps, batch,
    *shape]."""
    total = spikes[0].new_zeros(())
    for z in spikes:
        n = z.flatten(2).sum(0).mean(0)
        for penalty in penalties:
            units = n.mean() if penalty["of"] == "population" else n
            excess = (units - penalty["bound"]).clamp(min=0)
            total = total + penalty["strength"] * excess.pow(penalty["power"]).mean()
    return total
