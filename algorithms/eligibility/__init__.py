"""Rules with eligibility traces."""

from throughtime.algorithms.eligibility.diagonal_rtrl import DiagonalRTRL
from throughtime.algorithms.eligibility.eprop import EProp

__all__ = ["DiagonalRTRL", "EProp"]
