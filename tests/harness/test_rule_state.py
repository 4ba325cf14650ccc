"""The state of a rule is restored in a fresh one: the same values, and shared objects stay shared."""

from __future__ import annotations

import collections
import enum
import math
import threading
import types
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from throughtime.algorithms.auxiliary_loss import AuxiliaryLoss
from throughtime.algorithms.bptt import BPTT
from throughtime.datasets.task import Classification
from throughtime.harness.rule_state import CannotKeepError, restore_attributes, saved_attributes
from throughtime.harness.tensor_file import packed, unpacked
from throughtime.networks.recurrent import Recurrent
from throughtime.neurons.lif import LIF


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Helper:
    values: list[Any]
    rule: Any = None


class Sloppy(Helper):
    __slots__ = ("hidden",)


class Table(dict):
    pass


class Colour(enum.Enum):
    RED = 1


class Rule(BPTT):
    """Its package is that of the classes here."""


def update() -> None:
    """Stands for the harness's."""


def started(**attributes: Any) -> BPTT:
    """A started rule with these attributes besides; values that are functions of the rule are called with it."""
    torch.manual_seed(3)
    rule = Rule()
    rule.start(Recurrent(2, 3, LIF, hidden=[4]), Classification(3), 5)
    rule.update = update
    for name, value in attributes.items():
        setattr(rule, name, value(rule) if isinstance(value, types.FunctionType) else value)
    return rule


def through_a_file(old: BPTT, new: BPTT) -> BPTT:
    """Return the fresh rule with the state of the old one."""
    node = unpacked(packed({"rule": saved_attributes(old, old.network, update)}))["rule"]
    restore_attributes(node, new, new.network, update)
    return new


def came_back(value: Any) -> Any:
    """A value that the fresh rule does not have."""
    return through_a_file(started(it=value), started()).it


PLAIN = {
    "None": None,
    "True": True,
    "large": 10**30,
    "infinity": -math.inf,
    "complex": 1 + 2j,
    "text": "ϱ",
    "bytes": b"\0",
    "dtype": torch.float16,
    "device": torch.device("cpu"),
    "list": [1, [2.5, []], "x"],
    "tuple": (1, (2, None)),
    "set": {1, "a"},
    "frozenset": frozenset({(1, 2)}),
    "dict": {"a": 1, 2: [3], (4, "b"): {}},
    "ordered": collections.OrderedDict(b=1, a=2),
    "counter": collections.Counter("aab"),
    "named tuple": Pair(1, Pair([2], "x")),
    "size": torch.zeros(2, 3).shape,
    "helper": Helper([1, Helper([])]),
}


@pytest.mark.parametrize("name", PLAIN)
def test_values_come_back_as_they_were(name):
    value = PLAIN[name]
    assert came_back(value) == value and type(came_back(value)) is type(value)


def test_containers_with_a_form_of_their_own():
    deque = came_back(collections.deque([1, 2, 3], maxlen=3))
    deque.append(4)
    assert deque == collections.deque([2, 3, 4])
    filled = came_back(collections.defaultdict(list, a=[1]))
    filled["b"].append(2)
    assert filled == {"a": [1], "b": [2]}
    assert list(came_back({"z": 1, "a": 2})) == ["z", "a"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint8, np.bool_, np.complex128, np.int64])
def test_numpy_arrays_and_numbers(dtype):
    array = came_back(np.arange(6).reshape(2, 3).astype(dtype))
    assert array.dtype == dtype and (array == np.arange(6).reshape(2, 3).astype(dtype)).all()
    array += array
    number = came_back(dtype(1))
    assert type(number) is dtype and number == 1


def test_generators_go_on_with_the_same_numbers():
    torch_generator = torch.Generator().manual_seed(4)
    torch.rand(3, generator=torch_generator)
    again = came_back(torch_generator)
    fresh = started(it=torch.Generator())
    own = fresh.it
    assert through_a_file(started(it=torch_generator), fresh).it is own
    expected = torch.rand(3, generator=torch_generator)
    assert torch.equal(torch.rand(3, generator=again), expected) and torch.equal(torch.rand(3, generator=own), expected)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).view(2, 3),
        torch.arange(6.0).view(2, 3).t(),
        torch.arange(6)[::2],
        torch.tensor(3.0, dtype=torch.bfloat16),
        torch.zeros(0, 3),
        torch.ones(1).expand(4),
        torch.tensor([True, False]),
        torch.tensor([1 + 2j]),
    ],
    ids=str,
)
@pytest.mark.parametrize("there", [False, True])
def test_tensors_with_their_strides(tensor, there):
    fresh = started(it=torch.zeros_like(tensor)) if there else started()
    again = through_a_file(started(it=tensor), fresh).it
    assert torch.equal(again, tensor) and again.dtype == tensor.dtype and again.stride() == tensor.stride()


def test_a_tensor_of_the_fresh_rule_is_filled_in_place():
    fresh = started(it=torch.zeros(3), same=lambda rule: rule.it, row=lambda rule: rule.it[1:])
    own, row = fresh.it, fresh.row
    old = started(it=torch.arange(3.0), same=lambda rule: rule.it, row=lambda rule: rule.it[1:])
    through_a_file(old, fresh)
    assert fresh.it is own and fresh.same is own and fresh.row is row
    assert row.tolist() == [1.0, 2.0]


def test_views_that_the_fresh_rule_does_not_have_are_views_again():
    old = started(it=torch.arange(4.0), row=lambda rule: rule.it[1:3], late=lambda rule: [rule.it, rule.row])
    new = through_a_file(old, started(it=torch.zeros(4)))
    new.it[1] = 7
    assert new.row.tolist() == [7.0, 2.0] and new.late[0] is new.it and new.late[1] is new.row


def test_what_is_two_things_in_the_old_rule_is_two_in_the_new_one():
    """The fresh rule starts with one thing under two names, the old one has parted them since."""
    fresh = started(one=torch.zeros(2), two=lambda rule: rule.one, a=[0], b=lambda rule: rule.a)
    through_a_file(started(one=torch.ones(2), two=torch.full((2,), 2.0), a=[1], b=[2]), fresh)
    assert (fresh.one.tolist(), fresh.two.tolist(), fresh.a, fresh.b) == ([1, 1], [2, 2], [1], [2])


def test_the_network_and_its_parts_are_those_of_the_fresh_rule():
    def weight(rule: BPTT) -> nn.Parameter:
        return rule.network.readout.linear.weight

    old = started(
        W=lambda rule: list(rule.network.parameters()),
        B=lambda rule: weight(rule).detach(),
        row=lambda rule: weight(rule).detach()[1],
        layer=lambda rule: rule.network.layers[0],
        traces=lambda rule: {p: torch.full_like(p, n) for n, p in enumerate(rule.network.parameters())},
    )
    new = through_a_file(old, started())
    assert all(a is b for a, b in zip(new.W, new.network.parameters(), strict=True))
    assert new.layer is new.network.layers[0] and new.network is not old.network
    assert [float(trace.mean()) for trace in new.traces.values()] == list(range(len(new.W)))
    assert all(a is b for a, b in zip(new.traces, new.W, strict=True))
    with torch.no_grad():
        weight(new).fill_(5.0)
    assert bool((new.B == 5).all()) and new.row.tolist() == [5.0] * 4
    assert float(weight(old).detach().max()) < 5


def test_a_copy_of_a_weight_does_not_write_into_the_network():
    fresh = started(B=lambda rule: rule.network.readout.linear.weight)
    before = fresh.B.detach().clone()
    through_a_file(started(B=torch.ones(3, 4)), fresh)
    assert torch.equal(fresh.network.readout.linear.weight, before) and bool((fresh.B == 1).all())


class Learns(BPTT):
    """Feedback of its own, in a module, in a dictionary before it is an attribute, and in an optimiser."""

    def start(self, network, task, steps):
        super().start(network, task, steps)
        self.net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        B = nn.Parameter(torch.randn(2))
        self.by_parameter = {B: 0}
        self.B, self.first = B, self.net[0].weight
        self.optimiser = torch.optim.Adam(self.net.parameters())

    def parameters(self):
        return [self.B]


def learns(seed: int) -> Learns:
    torch.manual_seed(seed)
    rule = Learns()
    rule.start(Recurrent(2, 3, LIF, hidden=[4]), Classification(3), 5)
    return rule


def test_what_the_rule_learns_stays_what_the_optimiser_steps():
    old, new = learns(1), learns(2)
    for _ in range(3):
        old.net(torch.randn(4, 3)).square().sum().backward()
        old.optimiser.step()
    old.B.grad = torch.ones(2)
    B, first = new.B, new.first
    through_a_file(old, new)
    assert new.B is B and list(new.by_parameter) == [B] and torch.equal(B, old.B) and B.grad.tolist() == [1, 1]
    assert new.first is first is new.net[0].weight
    assert new.optimiser.param_groups[0]["params"][0] is first
    for rule in (old, new):
        rule.net(torch.arange(12.0).view(4, 3)).square().sum().backward()
        rule.optimiser.step()
    for name, value in old.net.state_dict().items():
        assert torch.equal(value, new.net.state_dict()[name]), name


def test_helpers_are_filled_or_made_and_may_know_the_rule():
    table = AuxiliaryLoss(3, 2, 0, torch.zeros(()))
    table.Q += 1
    old = started(table=table, helper=lambda rule: Helper([1], rule), knot=[])
    old.knot.append((old.knot, old.helper))
    fresh = started(table=AuxiliaryLoss(3, 2, 0, torch.zeros(())), function=math.sqrt)
    own = fresh.table
    new = through_a_file(old, fresh)
    assert new.table is own and bool((own.Q == 1).all()), "callable, and no function"
    assert new.helper.rule is new and new.helper.values == [1]
    assert new.knot[0] == (new.knot, new.helper) or new.knot[0][0] is new.knot


def test_attributes_come_and_go_and_functions_stay():
    fresh = started(function=math.sqrt, gone=3)
    new = through_a_file(started(function=math.exp, late=4), fresh)
    assert new.function is math.sqrt and new.late == 4 and not hasattr(new, "gone")


def local() -> object:
    class Local:
        pass

    return Local()


REFUSED = {
    "a lock": threading.Lock(),
    "an iterator": iter([1]),
    "a graph": torch.ones(1, requires_grad=True) * 2,
    "a sparse tensor": torch.eye(2).to_sparse(),
    "texts of numpy": np.array(["a"]),
    "numpy's generator": np.random.default_rng(0),
    "of a local class": local(),
    "of a foreign class": threading.Event(),
    "slots": Sloppy([]),
    "a dict of its own class": Table(a=1),
    "an enumeration": Colour.RED,
    "a default of its own": collections.defaultdict(lambda: 3),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_kept_is_refused_by_its_name(what):
    rule = started(it={"deep": [0, REFUSED[what]]})
    with pytest.raises(CannotKeepError, match=r"^`it\['deep'\]\[1\]` of the rule \(\w+\) cannot be saved: \w+"):
        saved_attributes(rule, rule.network, update)


def test_a_file_cannot_ask_for_any_class_it_likes():
    """Classes of the rule's own packages alone, and no constructor is called."""
    rule = started(it=Helper([1]))
    node = saved_attributes(rule, rule.network, update)
    node["attributes"]["it"]["class"] = "subprocess:Popen"
    with pytest.raises(TypeError, match="no class subprocess:Popen"):
        restore_attributes(node, started(), rule.network, update)
