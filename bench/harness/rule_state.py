"""Serialisation of a learning rule's attributes to plain values, and restoring them in a fresh rule.

A rule may have any attributes, so this module walks through them, and an author of a rule writes no code for it. Each
object gets a number at its first occurrence, so that two references to one object stay references to one object.
Objects that the rule refers to but does not own (network, task, update) are saved as names. Tensors are restored by
storage, into the memory of the fresh rule's tensors: a view stays a view, and the optimiser updates the same memory.

`pickle.Pickler` with `persistent_id` numbers objects, too, but knows no attribute paths: it can neither name what it
refuses, nor restore functions and tensors of nested objects in their places, and it calls constructors.
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
"""A plain value: a number, a string, None, or a dict of such values and tensors."""

PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)
FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial, type)
SEQUENCES: dict[str, type] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
MAPPINGS: dict[str, type] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter, "defaultdict": defaultdict}
FACTORIES: dict[str, type] = {made.__name__: made for made in (int, float, list, dict, set, tuple, str)}
"""Default factories that a defaultdict may have."""
SHAPELESS = (object, ABC, Generic, Protocol)
"""Base classes without instance attributes."""


class CannotKeepError(Exception):
    """A rule has an attribute that a checkpoint cannot contain; the message names it."""


class NotOwned:
    """Objects that a rule may refer to and does not own, by name: network with all parts, task, update."""

    def __init__(self, rule: LearningRule, network: nn.Module, update: Callable[[], None]) -> None:
        self.tensors = dict((*network.named_parameters(), *network.named_buffers()))
        self.objects: dict[str, Any] = {f"network {name}": module for name, module in network.named_modules()}
        self.objects |= {f"tensor {name}": tensor for name, tensor in self.tensors.items()}
        self.objects |= {"task": rule.task, "update": update}
        self.name_of = {id(value): name for name, value in self.objects.items()}
        self.tensor_of = {_storage(tensor)._cdata: name for name, tensor in self.tensors.items()}
        self.packages = {cls.__module__.partition(".")[0] for cls in type(rule).__mro__ if cls not in SHAPELESS}

    def class_named(self, name: str) -> type | None:
        """Return the class `module:Name` if it exists and is a named tuple or belongs to the rule's packages."""
        module, _, path = name.partition(":")
        named: Any = sys.modules.get(module)
        for part in path.split("."):
            named = getattr(named, part, None)
        return named if isinstance(named, type) and (_is_named_tuple(named) or self._own(named)) else None

    def _own(self, cls: type) -> bool:
        """Return whether instances have no state but attributes, and all base classes belong to the rule's packages."""
        bases = [base for base in cls.__mro__ if base not in SHAPELESS]
        return all(
            base.__module__.partition(".")[0] in self.packages and not base.__dict__.get("__slots__") for base in bases
        )


def saved_attributes(rule: LearningRule, network: nn.Module, update: Callable[[], None]) -> Node:
    """Return the attributes of a started rule, between two batches, without functions.

    The tensors are the rule's own, not copies. Time and memory are proportional to the size of the attributes.

    Raises:
        CannotKeepError: an attribute is not a number, string, tensor without a graph, numpy array, torch generator,
            module, optimiser, a container of these, or an object of the rule's own package.
    """
    keeper = _Keeper(NotOwned(rule, network, update))
    keeper.numbers[id(rule)] = 0
    learnt = keeper.keep(list(rule.parameters()), "parameters()")
    return {"learnt": learnt, "attributes": keeper.attributes(rule, "")}


def restore_attributes(node: Node, rule: LearningRule, network: nn.Module, update: Callable[[], None]) -> None:
    """Restore the attributes that `saved_attributes` returned in a rule that was just started on an equal network.

    Raises:
        Exception: of any type, if the node belongs to another rule; the rule is then restored in part.
    """
    restorer = _Restorer(NotOwned(rule, network, update))
    restorer.made[0] = rule
    # The optimiser's parameters first: the rule may refer to the same tensors by other attributes.
    restorer.restore(node["learnt"], list(rule.parameters()))
    restorer.fill(rule, node["attributes"])


class _Keeper:
    """Turns values into nodes."""

    def __init__(self, not_owned: NotOwned) -> None:
        self.not_owned = not_owned
        self.numbers: dict[int, int] = {}
        self._alive: list[Any] = []
        """Objects with a number, kept alive so that their ids stay unique."""

    def attributes(self, value: Any, where: str) -> dict[str, Node]:
        return {name: self.keep(item, f"{where}.{name}".lstrip(".")) for name, item in vars(value).items()}

    def keep(self, value: Any, where: str) -> Node:
        if type(value) in PLAIN:
            return value
        if id(value) in self.not_owned.name_of:
            return {"kind": "not owned", "name": self.not_owned.name_of[id(value)]}
        if isinstance(value, FUNCTIONS):
            return {"kind": "function"}
        if id(value) in self.numbers:
            return {"kind": "same", "number": self.numbers[id(value)]}
        number = self.numbers[id(value)] = len(self.numbers)
        self._alive.append(value)
        return {"number": number, **self._content(value, where)}

    def _content(self, value: Any, where: str) -> dict[str, Node]:
        cls = type(value)
        kind = cls.__name__
        if isinstance(value, Tensor):
            return self._tensor(value, where)
        if SEQUENCES.get(kind) is cls:
            items = [self.keep(item, f"{where}[{n}]") for n, item in enumerate(value)]
            return {"kind": kind, "items": items, "longest": value.maxlen if kind == "deque" else None}
        if MAPPINGS.get(kind) is cls:
            filled = value.default_factory if kind == "defaultdict" else None
            if filled is not None and FACTORIES.get(filled.__name__) is not filled:
                raise _cannot(where, value, f"it fills itself with {filled.__name__}")
            pairs = [[self.keep(k, f"a key of {where}"), self.keep(v, f"{where}[{k!r}]")] for k, v in value.items()]
            return {"kind": kind, "items": pairs, "filled": filled and filled.__name__}
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
        name = f"{cls.__module__}:{cls.__qualname__}"
        if self.not_owned.class_named(name) is not cls:
            raise _cannot(where, value, "not a number, tensor or container, and not of a class in the rule's package")
        if _is_named_tuple(cls):
            items = [self.keep(item, f"{where}.{field}") for field, item in zip(value._fields, value, strict=True)]
            return {"kind": "named tuple", "class": name, "items": items}
        return {"kind": "object", "class": name, "attributes": self.attributes(value, where)}

    def _tensor(self, value: Tensor, where: str) -> dict[str, Node]:
        if value.grad_fn is not None:
            raise _cannot(where, value, "it has a graph: detach it")
        if type(value) not in (Tensor, nn.Parameter) or value.layout is not torch.strided:
            raise _cannot(where, value, "not a plain tensor")
        node = {
            "kind": "tensor",
            "learnt": isinstance(value, nn.Parameter),
            "requires_grad": value.requires_grad,
            "grad": self.keep(value.grad, f"{where}.grad"),
        }
        name = self.not_owned.tensor_of.get(_storage(value)._cdata)
        if name is None:
            return {**node, "value": value.detach()}
        if value.dtype != self.not_owned.tensors[name].dtype:
            raise _cannot(where, value, "a view of the network's weights as numbers of another type")
        place = {"size": list(value.shape), "stride": list(value.stride()), "offset": value.storage_offset()}
        return {**node, "of": name, "place": place}


class _Restorer:
    """Turns nodes into values, in place of the fresh rule's value of the same name where that fits."""

    def __init__(self, not_owned: NotOwned) -> None:
        self.not_owned = not_owned
        self.made: dict[int, Any] = {}
        self._used = set(not_owned.name_of)
        """Ids of objects that must not be filled: those of others, and those that are filled already."""
        self._places: dict[int, UntypedStorage] = {}
        """New storage of each storage in the file, by address."""
        self._taken = set(not_owned.tensor_of)

    def fill(self, target: Any, nodes: dict[str, Node]) -> None:
        """Replace the attributes of an object by these; functions stay unchanged."""
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
        if kind == "not owned":
            return self.not_owned.objects[node["name"]]
        if kind == "same":
            return self.made[node["number"]]
        if kind == "function":
            if not isinstance(fresh, FUNCTIONS):
                raise TypeError("a function in a container cannot be restored")
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
                raise TypeError("modules and optimisers of a rule must be created in `start`")
            # Into its existing tensors, to which the rule may also refer by other attributes.
            fresh.load_state_dict(self.restore(node["state"], fresh.state_dict()))
            for parameter, gradient in zip(_parameters(fresh), self.restore(node["gradients"], None), strict=True):
                parameter.grad = gradient
            return fresh
        cls = self.not_owned.class_named(node["class"])
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
            named: Any = self.not_owned.class_named(node["class"])
            return tuple.__new__(named, items)
        empty: list[Any] | deque[Any] = [] if cls is list else deque(maxlen=node["longest"])
        self.made[node["number"]] = value = fresh if self._free(fresh, cls) else empty  # first: an item may refer to it
        items = [self.restore(item, old) for item, old in zip_longest(nodes, before[: len(nodes)])]
        value.clear()
        value.extend(items)
        return value

    def _mapping(self, cls: type, node: dict[str, Node], fresh: Any) -> Any:
        before = dict(fresh) if isinstance(fresh, dict) else {}
        empty = defaultdict(node["filled"] and FACTORIES[node["filled"]]) if cls is defaultdict else cls()
        self.made[node["number"]] = value = fresh if self._free(fresh, cls) else empty
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
            like = (
                self.not_owned.tensors[node["of"]].detach().as_strided(place["size"], place["stride"], place["offset"])
            )
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
        """Return the new storage for one of the file: that of the fresh tensor, if it fits and is not in use."""
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
        """Return whether the fresh value has this class and can be filled; it then counts as filled."""
        free = type(fresh) is cls and id(fresh) not in self._used
        if free:
            self._used.add(id(fresh))
        return free


def _kind(node: Node) -> str | None:
    return node["kind"] if isinstance(node, dict) else None


def _parameters(value: nn.Module | torch.optim.Optimizer) -> list[nn.Parameter]:
    """Return the parameters of a module; those of an optimiser belong to another object."""
    return list(value.parameters()) if isinstance(value, nn.Module) else []


def _storage(tensor: Tensor) -> UntypedStorage:
    return tensor.untyped_storage()


def _same_memory(a: Tensor, b: Tensor) -> bool:
    """Return whether both tensors are the same view of the same memory."""

    def place(t: Tensor) -> tuple[Any, ...]:
        return _storage(t)._cdata, t.dtype, t.size(), t.stride(), t.storage_offset()

    return a.layout is torch.strided and place(a) == place(b)


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _cannot(where: str, value: Any, why: str) -> CannotKeepError:
    return CannotKeepError(f"`{where}` of the rule ({type(value).__name__}) cannot be saved: {why}")
