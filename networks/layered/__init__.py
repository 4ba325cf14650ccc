"""Networks of convolutional and dense layers: `layered`, whose layers a suite writes, and the presets of the paper."""

from throughtime.networks.layered import presets, spyv4
from throughtime.networks.layered.layered import Layered

__all__ = ["Layered", "presets", "spyv4"]
