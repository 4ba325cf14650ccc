"""Rules whose only memory is a trace of each synapse's input."""

from throughtime.algorithms.presynaptic_trace.ottt import OTTT
from throughtime.algorithms.presynaptic_trace.pp_prop import PPProp
from throughtime.algorithms.presynaptic_trace.presynaptic_trace import PresynapticTrace
from throughtime.algorithms.presynaptic_trace.s_tllr import STLLR
from throughtime.algorithms.presynaptic_trace.sltt import SLTT

__all__ = ["OTTT", "SLTT", "STLLR", "PPProp", "PresynapticTrace"]
