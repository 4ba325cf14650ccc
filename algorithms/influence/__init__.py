"""Rules that carry the influence of the parameters on the state forward: all of it, a part, or an estimate."""

from throughtime.algorithms.influence.kf_rtrl import KFRTRL
from throughtime.algorithms.influence.ostl import OSTL
from throughtime.algorithms.influence.rtrl import RTRL
from throughtime.algorithms.influence.snap1 import SnAp1
from throughtime.algorithms.influence.snap_n import SnApN
from throughtime.algorithms.influence.uoro import UORO

__all__ = ["KFRTRL", "OSTL", "RTRL", "UORO", "SnAp1", "SnApN"]
