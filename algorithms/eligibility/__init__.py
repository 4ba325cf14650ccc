"""Rules with eligibility traces."""

from throughtime.algorithms.eligibility.decolle import DECOLLE
from throughtime.algorithms.eligibility.diagonal_rtrl import DiagonalRTRL
from throughtime.algorithms.eligibility.eprop import EProp
from throughtime.algorithms.eligibility.rflo import RFLO

__all__ = ["DECOLLE", "RFLO", "DiagonalRTRL", "EProp"]
