"""Learning rules: each file or folder holds one. The package exports the contract of `base.py`."""

from throughtime.algorithms.base import Claims, LearningRule, LossAt, Observation
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.algorithms.credit import Credit

__all__ = ["Claims", "Coordinates", "Cost", "Credit", "LearningRule", "LossAt", "Observation"]
