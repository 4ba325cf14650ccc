"""Identities of single rules: between two rules, or between a rule and its written-out equation."""

from __future__ import annotations

from throughtime.checks import tiny
from throughtime.checks.fact import Fact
from throughtime.checks.own.bptt import BPTT
from throughtime.checks.own.eligibility import DIAGONAL_RTRL, EPROP
from throughtime.checks.own.feedback import DECOLLE, RFLO
from throughtime.checks.own.fptt import FPTT
from throughtime.checks.own.influence import OSTL, SNAP_N
from throughtime.checks.own.postsynaptic import APPROXIMATE_OTPE, OTPE
from throughtime.checks.own.presynaptic import OTTT, PP_PROP, PRESYNAPTIC_TRACE, S_TLLR, SLTT
from throughtime.checks.own.random_signs import SIGNS
from throughtime.checks.own.recurrent_traces import RECURRENT_TRACES
from throughtime.checks.own.truncation import CHECKPOINTED, ROLLING, RTRL, TBPTT
from throughtime.registry import ALGORITHMS, Component

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
    "otpe": OTPE,
    "approximate_otpe": APPROXIMATE_OTPE,
    "recurrent_traces": RECURRENT_TRACES,
    "rflo": RFLO,
    "decolle": DECOLLE,
}


def facts(component: Component) -> tuple[Fact, ...]:
    """Return the identities of the rule that a rule names as its family, or else of the rule of its name.

    Where the two are not the same rule, it must have the options of its family, which identities vary; its updates are
    compared with that rule's in any case.
    """
    family = tiny.build(component).claims.same_as or component.name
    options = component.options.model_fields.keys()
    is_varied = family in BY_RULE and ALGORITHMS[family].options.model_fields.keys() <= options
    return BY_RULE[family] if is_varied else ()
