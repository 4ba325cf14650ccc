"""Components by name: what does not fit is refused in one or two lines."""

from __future__ import annotations

import numpy as np
import pytest

import throughtime as tt
from throughtime.errors import UsageError


@pytest.mark.parametrize(
    ("arguments", "options", "what"),
    [
        ((-3, 2), {}, "recurrent: inputs and outputs are whole numbers above 0, not -3"),
        (("3", 2), {}, "not '3'"),
        ((3, 0), {}, "not 0"),
        ((3, {}), {}, "not {}"),
        ((3, {"a": 2, "b": 1.0}), {}, "not 1.0"),
        ((3, {"a.b": 2}), {}, "module name can"),
        ((3, 2), {"neuron": None}, "a neuron is a name, a mapping or a constructor, not None"),
        ((3, 2), {"neuron": {"name": "adlif", "tau_min": 9.0, "tau_max": 2.0}}, "recurrent: tau_min is 9"),
        ((3, 2), {"readout_leak": "gated", "readout_tau": 3.0}, "readout_tau would do nothing"),
        ((3, 2), {"hidden": [np.int64(3)]}, "int64 is not JSON serializable"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(arguments, options, what):
    with pytest.raises(UsageError) as refused:
        tt.build_network("recurrent", *arguments, **options)
    assert what in str(refused.value) and len(str(refused.value).splitlines()) <= 2


def test_options_of_a_rule_that_exclude_each_other_are_refused():
    with pytest.raises(UsageError, match="eprop: update_every needs loss_at: every"):
        tt.build_rule("eprop", update_every=3)
