"""Fast windows and single steps of the neurons; importing the package registers those that are written by hand."""

from throughtime.neurons.kernels import ltc, ltc_one_step

__all__ = ["ltc", "ltc_one_step"]
