"""Networks: synapses and readouts around neurons. This package exports the contract from `base.py`, `layer.py` and
`readout.py`.
"""

from throughtime.networks.base import Network, Step, Stepper, Window
from throughtime.networks.layer import Layer, Synapse
from throughtime.networks.readout import Readout

__all__ = ["Layer", "Network", "Readout", "Step", "Stepper", "Synapse", "Window"]
