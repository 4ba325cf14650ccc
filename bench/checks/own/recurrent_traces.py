"""Identities of the rule with traces of recurrent weights alone: with e-prop and with SLTT."""

from __future__ import annotations

from throughtime.checks import tiny
from throughtime.checks.fact import Fact, Observed, worst
from throughtime.checks.own.presynaptic import NO_LEAK, differ
from throughtime.checks.two_layers import STEPS, TASK, total
from throughtime.registry import ALGORITHMS, Component


def has_eprops_recurrent_traces(component: Component) -> Observed:
    """Return the difference from e-prop's gradient of recurrent weights; those of others must differ."""
    rule, eprop = tiny.build(component), ALGORITHMS["eprop"].factory(loss_at="every")
    errors = []
    for name, network in tiny.supporting(rule, STEPS):
        if eprop.supports(network, TASK, STEPS) is not None:
            continue
        parameters = [name for name, p in network.named_parameters() if p.requires_grad]
        ours, theirs = (dict(zip(parameters, total(r, network), strict=True)) for r in (rule, eprop))
        R, W = "layers.0.recurrent.weight", "layers.0.inward.weight"
        errors += [(name, tiny.error([ours[R]], [theirs[R]])), differ(f"{name}, W", [ours[W]], [theirs[W]])]
    return worst(errors, "no neuron")


def is_sltt_without_recurrent_weights(component: Component) -> Observed:
    """Return the difference from SLTT on one layer without recurrent weights, and readouts without a leak."""
    rule, sltt = tiny.build(component), ALGORITHMS["sltt"].factory()
    errors = []
    for options in NO_LEAK:
        for name, network in tiny.supporting(rule, STEPS, recurrent_weights=False, **options):
            if sltt.supports(network, TASK, STEPS) is None:
                errors.append((name, tiny.error(total(rule, network), total(sltt, network))))
    return worst(errors, "no neuron")


RECURRENT_TRACES = (
    Fact("recurrent weights = e-prop's gradient, others not", 1e-10, has_eprops_recurrent_traces),
    Fact("= sltt without recurrent weights and a leak of the readout", 1e-10, is_sltt_without_recurrent_weights),
)
