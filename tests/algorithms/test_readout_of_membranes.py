"""With a readout of membranes, rules whose credit stays in the own neuron of a synapse have no surrogate derivative."""

from __future__ import annotations

import pytest

import throughtime as tt
from throughtime.checks.tiny import error, learn, recurrent, sequence
from throughtime.registry import NEURONS

FOR_OWN_NEURON = ["eprop", "diagonal_rtrl", "ottt", "pp_prop"]
"""Rules whose credit follows a synapse to its own neuron alone."""


def change(rule, readout):
    """Return the change of the layer's gradient if the surrogate derivative is twice as high."""

    def gradient(height):
        def alif(size):
            surrogate = {"name": "triangle", "height": height}
            return NEURONS["alif"].factory(size, threshold=0.03, surrogate=surrogate)

        network = recurrent(alif, readout=readout, readout_tau=10)
        total = learn(tt.build_rule(rule), network, sequence()).total()
        return [g for (name, _), g in zip(network.named_parameters(), total, strict=True) if "readout" not in name]

    return error(gradient(0.6), gradient(0.3))


@pytest.mark.parametrize("rule", FOR_OWN_NEURON)
def test_the_gradient_of_membranes_has_no_surrogate_derivative(rule):
    assert change(rule, "membrane") == 0
    assert change(rule, "spikes") > 0.01


@pytest.mark.parametrize("rule", ["bptt", "snap1", "decolle"])
def test_that_of_credit_through_other_neurons_and_of_local_readouts_of_spikes_has_one(rule):
    assert change(rule, "membrane") > 0.01
