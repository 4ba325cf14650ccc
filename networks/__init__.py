"""Networks: how neurons are wired and read out. The contract, defined in `base.py`, `layer.py` and `readout.py`, is
exported here.
"""

from throughtime.networks.base import Network, Step, Stepper, Window
from throughtime.networks.layer import Layer, Synapse
from throughtime.networks.readout import Readout

__all__ = ["Layer", "Network", "Readout", "Step", "Stepper", "Synapse", "Window"]
