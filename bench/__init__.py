"""throughtime: a benchmark and reproduction suite for learning rules of spiking networks.

The four registries are the four folders `algorithms`, `neurons`, `networks` and `datasets`; a component joins one with
a decorator, from inside the package or from any file named with `--plugin`:

    from throughtime import algorithm, dataset, network, neuron
"""

from throughtime.registry import algorithm, dataset, network, neuron

__version__ = "0.1.0"
__all__ = ["algorithm", "dataset", "network", "neuron"]
