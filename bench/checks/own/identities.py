"""Identities of single rules: between two rules, or between a rule and its written-out equation."""

from __future__ import annotations

from throughtime.checks.fact import Fact
from throughtime.checks.own.bptt import BPTT
from throughtime.checks.own.eligibility import DIAGONAL_RTRL, EPROP
from throughtime.checks.own.feedback import DECOLLE, RFLO
from throughtime.checks.own.fptt import FPTT
from throughtime.checks.own.influence import OSTL, SNAP_N
from throughtime.checks.own.presynaptic import OTTT, PP_PROP, PRESYNAPTIC_TRACE, S_TLLR, SLTT
from throughtime.checks.own.random_signs import SIGNS
from throughtime.checks.own.truncation import CHECKPOINTED, ROLLING, RTRL, TBPTT

BY_RULE: dict[str, tuple[Fact, ...]] = {
    "bptt": BPTT,
    "tbptt": TBPTT,
    "rolling_tbptt": ROLLING,
    "checkpointed_bptt": CHECKPOINTED,
    "rtrl": RTRL,
    "snap_n": SNAP_N,
    "ostl": OSTL,
    "uoro": SIGNS,
    "kf_rtrl": SIGNS,
    "fptt": FPTT,
    "eprop": EPROP,
    "diagonal_rtrl": DIAGONAL_RTRL,
    "presynaptic_trace": PRESYNAPTIC_TRACE,
    "sltt": SLTT,
    "ottt": OTTT,
    "s_tllr": S_TLLR,
    "pp_prop": PP_PROP,
    "rflo": RFLO,
    "decolle": DECOLLE,
}


def facts(rule: str) -> tuple[Fact, ...]:
    """Return the identities of the rule of this name; none for a rule that is not in the package."""
    return BY_RULE.get(rule, ())
