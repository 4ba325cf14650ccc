"""Fast windows and single steps of the neurons; importing the package registers the hand-written ones."""

from throughtime.neurons.kernels import ltc, ltc_one_step

__all__ = ["ltc", "ltc_one_step"]
