"""Learning rules: one a file. The contract, defined in `base.py`, is exported here."""

from throughtime.algorithms.base import Claims, LearningRule, LossAt, Observation
from throughtime.algorithms.credit import Credit

__all__ = ["Claims", "Credit", "LearningRule", "LossAt", "Observation"]
