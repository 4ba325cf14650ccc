"""Rules that estimate how the spikes of a layer act on later steps of the layers above it."""

from throughtime.algorithms.otpe.approximate_otpe import ApproximateOTPE
from throughtime.algorithms.otpe.otpe import OTPE

__all__ = ["OTPE", "ApproximateOTPE"]
