"""What a learning rule keeps on itself, as plain values that a file can hold, and back into a fresh rule.

A rule keeps what it likes on itself, so its attributes are walked: whoever writes a rule does nothing for it. Each
object gets a number when it is met first, so that two names of one thing stay two names of one thing, and what the rule
refers to but does not own (network, task, update) is kept as its name. Tensors are put back storage by storage, into
the memory that the fresh rule has for them: a view stays a view, and what the optimiser steps is what the rule learns.
"""

from __future__ import annotations

import functools
import sys
import types
from abc import ABC
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from itertools import zip_longest
from typing import Any, Generic, Protocol

import numpy as np
import torch
from torch import Tensor, UntypedStorage, nn

from throughtime.algorithms.base import LearningRule
from throughtime.errors import first_line

Node = Any
"""A plain value: a number, a text, None, or a dict of such values and tensors."""

PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial, type)
SEQUENCES: dict[str, type] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
MAPPINGS: dict[str, type] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter, "defaultdict": defaultdict}
FACTORIES: dict[str, type] = {made.__name__: made for made in (int, float, list, dict, set, tuple, str)}
"""What a defaultdict may fill itself with."""
SHAPELESS = (object, ABC, Generic, Protocol)
"""Bases that put nothing into their instances."""


class CannotKeepError(Exception):
    """Something on a rule that no checkpoint can hold; the message names the attribute."""


class Outside:
    """What a rule may refer to and does not own, by name: its network with all parts, its task, its update."""

    def __init__(self, rule: LearningRule, network: nn.Module, update: Callable[[], None]) -> None:
        self.tensors = dict((*network.named_parameters(), *network.named_buffers()))
        self.objects: dict[str, Any] = {f"network {name}": module for name, module in network.named_modules()}
        self.objects |= {f"tensor {name}": tensor for name, tensor in self.tensors.items()}
        self.objects |= {"task": rule.task, "update": update}
        self.name_of = {id(value): name for name, value in self.objects.items()}
        self.tensor_of = {_storage(tensor)._cdata: name for name, tensor in self.tensors.items()}
        self.packages = {cls.__module__.partition(".")[0] for cls in type(rule).__mro__ if cls not in SHAPELESS}

    def class_named(self, name: str) -> type | None:
        """The class `module:Name`, if it is there: a named tuple, or one of the packages that the rule comes from."""
        module, _, path = name.partition(":")
        found: Any = sys.modules.get(module)
        for part in path.split("."):
            found = getattr(found, part, None)
        return found if isinstance(found, type) and (_is_named_tuple(found) or self._own(found)) else None

    def _own(self, cls: type) -> bool:
        """Whether all that an instance holds lies in its attributes, and no code but the rule's is behind it."""
        bases = [base for base in cls.__mro__ if base not in SHAPELESS]
        return all(
            base.__module__.partition(".")[0] in self.packages and not base.__dict__.get("__slots__") for base in bases
        )


def kept(rule: LearningRule, network: nn.Module, update: Callable[[], None]) -> Node:
    """All that a started rule keeps on itself, between two batches. Functions are left out.

    The tensors in it are the rule's own, not copies. Time and memory: of what is kept.

    Raises:
        CannotKeepError: an attribute holds something else than numbers, texts, tensors without a graph, numpy arrays,
            torch's generators, modules and optimisers, containers of them, and objects of the rule's own package.
    """
    keeper = _Keeper(Outside(rule, network, update))
    keeper.numbers[id(rule)] = 0
    learnt = keeper.keep(list(rule.parameters()), "parameters()")
    return {"learnt": learnt, "attributes": keeper.attributes(rule, "")}


def put_back(node: Node, rule: LearningRule, network: nn.Module, update: Callable[[], None]) -> None:
    """Give a rule that was just started what `kept` took from another one, whose network had the same parts.

    Raises:
        Exception: of any kind, where the node is not what `kept` made of such a rule; the rule is then half filled.
    """
    restorer = _Restorer(Outside(rule, network, update))
    restorer.made[0] = rule
    # What the optimiser holds first: the same tensors may have other names on the rule.
    restorer.restore(node["learnt"], list(rule.parameters()))
    restorer.fill(rule, node["attributes"])


class _Keeper:
    """Turns values into nodes."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.numbers: dict[int, int] = {}
        self._alive: list[Any] = []
        """What has a number: an id names nothing else as long as it lives."""

    def attributes(self, value: Any, where: str) -> dict[str, Node]:
        return {name: self.keep(item, f"{where}.{name}".lstrip(".")) for name, item in vars(value).items()}

    def keep(self, value: Any, where: str) -> Node:
        if type(value) in PLAIN:
            return value
        if id(value) in self.outside.name_of:
            return {"kind": "outside", "name": self.outside.name_of[id(value)]}
        if isinstance(value, FUNCTIONS):
            return {"kind": "function"}
        if id(value) in self.numbers:
            return {"kind": "same", "number": self.numbers[id(value)]}
        number = self.numbers[id(value)] = len(self.numbers)
        self._alive.append(value)
        return {"number": number, **self._content(value, where)}

    def _content(self, value: Any, where: str) -> dict[str, Node]:
        kind = type(value).__name__
        if isinstance(value, Tensor):
            return self._tensor(value, where)
        if SEQUENCES.get(kind) is type(value):
            items = [self.keep(item, f"{where}[{n}]") for n, item in enumerate(value)]
            return {"kind": kind, "items": items, "longest": value.maxlen if kind == "deque" else None}
        if MAPPINGS.get(kind) is type(value):
            filled = value.default_factory if kind == "defaultdict" else None
            if filled is not None and FACTORIES.get(filled.__name__) is not filled:
                raise _cannot(where, value, f"it fills itself with {filled.__name__}")
            items = [[self.keep(k, f"a key of {where}"), self.keep(v, f"{where}[{k!r}]")] for k, v in value.items()]
            return {"kind": kind, "items": items, "filled": filled and filled.__name__}
        if isinstance(value, np.ndarray | np.generic):
            try:
                numbers = torch.tensor(value)
            except (TypeError, ValueError) as error:
                raise _cannot(where, value, first_line(error)) from error
            return {"kind": "array", "value": numbers, "scalar": isinstance(value, np.generic)}
        if isinstance(value, torch.Generator):
            return {"kind": "generator", "state": value.get_state(), "device": value.device}
        if isinstance(value, nn.Module | torch.optim.Optimizer):
            state = self.keep(value.state_dict(), f"{where}.state_dict()")
            gradients = self.keep([p.grad for p in _parameters(value)], f"{where}.parameters()")
            return {"kind": "stateful", "state": state, "gradients": gradients}
        name = f"{type(value).__module__}:{type(value).__qualname__}"
        if self.outside.class_named(name) is not type(value):
            raise _cannot(
                where, value, "no number, tensor or container, nor of a class of a module that the rule is from"
            )
        if _is_named_tuple(type(value)):
            items = [self.keep(item, f"{where}.{field}") for field, item in zip(value._fields, value, strict=True)]
            return {"kind": "named tuple", "class": name, "items": items}
        return {"kind": "object", "class": name, "attributes": self.attributes(value, where)}

    def _tensor(self, value: Tensor, where: str) -> dict[str, Node]:
        if value.grad_fn is not None:
            raise _cannot(where, value, "a graph hangs on it: keep it detached")
        if type(value) not in (Tensor, nn.Parameter) or value.layout is not torch.strided:
            raise _cannot(where, value, "not a plain tensor")
        node = {
            "kind": "tensor",
            "learnt": isinstance(value, nn.Parameter),
            "requires_grad": value.requires_grad,
            "grad": self.keep(value.grad, f"{where}.grad"),
        }
        name = self.outside.tensor_of.get(_storage(value)._cdata)
        if name is None:
            return {**node, "value": value.detach()}
        if value.dtype != self.outside.tensors[name].dtype:
            raise _cannot(where, value, "a view of the network's weights as numbers of another type")
        place = {"size": list(value.shape), "stride": list(value.stride()), "offset": value.storage_offset()}
        return {**node, "of": name, "place": place}


class _Restorer:
    """Turns nodes into values, in the place of what a fresh rule has under the same name wherever that fits."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.made: dict[int, Any] = {}
        self._used = set(outside.name_of)
        """Ids of what must not be filled: others', and what has been filled already."""
        self._places: dict[int, UntypedStorage] = {}
        """Where a storage of the file has gone, by its address."""
        self._taken = set(outside.tensor_of)

    def fill(self, target: Any, nodes: dict[str, Node]) -> None:
        """Give an object these attributes and no others; functions stay what they are."""
        attributes = vars(target)
        for name in attributes.keys() - nodes.keys():
            del attributes[name]
        for name, node in nodes.items():
            if _kind(node) != "function":
                attributes[name] = self.restore(node, attributes.get(name))

    def restore(self, node: Node, fresh: Any) -> Any:
        kind = _kind(node)
        if kind is None:
            return node
        if kind == "outside":
            return self.outside.objects[node["name"]]
        if kind == "same":
            return self.made[node["number"]]
        if kind == "function":
            if not isinstance(fresh, FUNCTIONS):
                raise TypeError("a function in a container cannot be had again")
            return fresh
        value = self._content(kind, node, fresh)
        self.made[node["number"]] = value
        return value

    def _content(self, kind: str, node: dict[str, Node], fresh: Any) -> Any:
        if kind == "tensor":
            return self._tensor(node, fresh)
        if kind in MAPPINGS:
            return self._mapping(MAPPINGS[kind], node, fresh)
        if kind in SEQUENCES or kind == "named tuple":
            return self._sequence(SEQUENCES.get(kind), node, fresh)
        if kind == "array":
            array = node["value"].numpy()
            return array[()] if node["scalar"] else array
        if kind == "generator":
            generator = fresh if self._free(fresh, torch.Generator) else torch.Generator(node["device"])
            return generator.set_state(node["state"])
        if kind == "stateful":
            if not isinstance(fresh, nn.Module | torch.optim.Optimizer):
                raise TypeError("modules and optimisers of a rule must be made in `start`")
            # Into the tensors that it has, which may have other names on the rule.
            fresh.load_state_dict(self.restore(node["state"], fresh.state_dict()))
            for parameter, gradient in zip(_parameters(fresh), self.restore(node["gradients"], None), strict=True):
                parameter.grad = gradient
            return fresh
        cls = self.outside.class_named(node["class"])
        if cls is None:
            raise TypeError(f"there is no class {node['class']}")
        self.made[node["number"]] = value = fresh if self._free(fresh, cls) else object.__new__(cls)
        self.fill(value, node["attributes"])
        return value

    def _sequence(self, cls: type | None, node: dict[str, Node], fresh: Any) -> Any:
        before = list(fresh) if isinstance(fresh, list | tuple | deque) else []
        nodes = node["items"]
        if cls not in (list, deque):
            items = [self.restore(item, old) for item, old in zip_longest(nodes, before[: len(nodes)])]
            if cls is not None:
                return cls(items)
            return tuple.__new__(self.outside.class_named(node["class"]), items)
        made = cls() if cls is list else deque(maxlen=node["longest"])
        self.made[node["number"]] = value = fresh if self._free(fresh, cls) else made  # now: it may hold itself
        items = [self.restore(item, old) for item, old in zip_longest(nodes, before[: len(nodes)])]
        value.clear()
        value.extend(items)
        return value

    def _mapping(self, cls: type, node: dict[str, Node], fresh: Any) -> Any:
        before = dict(fresh) if isinstance(fresh, dict) else {}
        made = defaultdict(node["filled"] and FACTORIES[node["filled"]]) if cls is defaultdict else cls()
        self.made[node["number"]] = value = fresh if self._free(fresh, cls) else made
        keys = [
            self.restore(key, old) for (key, _), old in zip_longest(node["items"], list(before)[: len(node["items"])])
        ]
        items = [(key, self.restore(item, before.get(key))) for key, (_, item) in zip(keys, node["items"], strict=True)]
        value.clear()
        for key, item in items:  # a Counter's update adds
            value[key] = item
        return value

    def _tensor(self, node: dict[str, Node], fresh: Any) -> Tensor:
        if "of" in node:
            place = node["place"]
            like = self.outside.tensors[node["of"]].detach().as_strided(place["size"], place["stride"], place["offset"])
        else:
            value = node["value"]
            storage = self._place(_storage(value), fresh)
            like = value.new_empty(0).set_(storage, value.storage_offset(), value.size(), value.stride())
        tensor = fresh
        cls = nn.Parameter if node["learnt"] else Tensor
        if not (type(fresh) is cls and _same_memory(fresh, like) and self._free(fresh, cls)):
            tensor = nn.Parameter(like, False) if node["learnt"] else like
        tensor.requires_grad_(node["requires_grad"])
        tensor.grad = self.restore(node["grad"], tensor.grad)
        return tensor

    def _place(self, storage: UntypedStorage, fresh: Any) -> UntypedStorage:
        """Where the numbers of a storage of the file go: into the fresh tensor's, if it fits and is no one else's."""
        if storage._cdata not in self._places:
            place = storage
            if isinstance(fresh, Tensor) and fresh.layout is torch.strided:
                there = _storage(fresh)
                fits = there.nbytes() == storage.nbytes() and there.device == storage.device
                if fits and there._cdata not in self._taken:
                    place = there.copy_(storage)
            self._places[storage._cdata] = place
            self._taken.add(place._cdata)
        return self._places[storage._cdata]

    def _free(self, fresh: Any, cls: type) -> bool:
        """Whether the fresh value is of this very class and can be filled; it then counts as filled."""
        free = type(fresh) is cls and id(fresh) not in self._used
        if free:
            self._used.add(id(fresh))
        return free


def _kind(node: Node) -> str | None:
    return node["kind"] if isinstance(node, dict) else None


def _parameters(value: nn.Module | torch.optim.Optimizer) -> list[nn.Parameter]:
    """Of a module; those of an optimiser belong to someone else."""
    return list(value.parameters()) if isinstance(value, nn.Module) else []


def _storage(tensor: Tensor) -> UntypedStorage:
    return tensor.untyped_storage()


def _same_memory(a: Tensor, b: Tensor) -> bool:
    """Whether both are the same numbers in the same places."""

    def place(t: Tensor) -> tuple[Any, ...]:
        return _storage(t)._cdata, t.dtype, t.size(), t.stride(), t.storage_offset()

    return a.layout is torch.strided and place(a) == place(b)


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _cannot(where: str, value: Any, why: str) -> CannotKeepError:
    return CannotKeepError(f"`{where}` of the rule ({type(value).__name__}) cannot be kept: {why}")
