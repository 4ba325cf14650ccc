"""Fast windows and single steps of the neurons; importing the package registers them."""

from throughtime.neurons.kernels import alif, asrnn, asrnn_one_step, lif, lif_one_step, ltc, ltc_one_step

__all__ = ["alif", "asrnn", "asrnn_one_step", "lif", "lif_one_step", "ltc", "ltc_one_step"]
