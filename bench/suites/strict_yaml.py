"""Strict YAML parser that records the position of every key and value, and validation by a pydantic model.

In contrast to PyYAML it refuses a repeated key (PyYAML takes the last), a merge key `<<`, a key that is not a string,
a custom tag, a second document, an empty file, and a number too large for a float. Plain scalars follow the core
schema of YAML 1.2, not 1.1: `1e-3` is a number; `no`, `on`, `12:30` and `2024-01-01` are strings; `012` is twelve and
`0o17` fifteen. Aliases (`*name`) are allowed; their position is that of the anchor.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast, get_args

import pydantic
import yaml
from yaml._yaml import CParser
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError
from yaml.resolver import BaseResolver

from throughtime.errors import Faults, GroupedUsageError, UsageError, suggestion

if TYPE_CHECKING:
    from importlib.abc import Traversable

Model = TypeVar("Model", bound=pydantic.BaseModel)

Key = tuple[str | int, ...]
"""Path to a value from the root: keys of mappings, and indices of list items from 0."""

_TAG = "tag:yaml.org,2002:"
_CORE = {  # YAML 1.2, section 10.3.2; the order matters: the first that fits
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}


class _Composer(CParser, BaseResolver):
    """Composes a tree of nodes, each with its tag by the core schema and its position."""

    def __init__(self, text: str, name: str) -> None:
        stream = StringIO(text)
        stream.name = name  # marks have the name of the stream
        CParser.__init__(self, stream)
        BaseResolver.__init__(self)


for _name, _pattern in _CORE.items():
    _Composer.add_implicit_resolver(_TAG + _name, re.compile(rf"^(?:{_pattern})\Z"), None)


class Document:
    """A YAML file as plain data, with the position of each part.

    Attributes:
        data: dicts with string keys, lists, str, int, float, bool, None; an alias is the object of its anchor.
        name: name of the file in errors.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._plain: dict[Node, Any] = {}
        self._open: set[Node] = set()
        self._root = self._compose(text, name)
        self.data = self._plain_data()

    def set(self, path: Key, text: str, origin: str) -> None:
        """Set the value at `path`, whose missing parts are created, to that of a YAML text.

        Args:
            path: path of the value; the number of items of a list appends to it.
            text: the YAML of the value.
            origin: the place of this value in errors, such as an option of the command line.

        Raises:
            UsageError: the text is not strict YAML, or a part of the path is not a mapping or list.
        """
        parent, mark = self._root, yaml.Mark(origin, 0, 0, 0, None, 0)
        for part, after in zip(path, (*path[1:], None), strict=True):
            entry = self._entry(parent, part)
            child: Node
            if after is None:
                child = self._compose(text, origin)
            elif entry is not None and isinstance(entry[1], MappingNode | SequenceNode):
                parent = entry[1]
                continue
            elif isinstance(after, int):
                child = SequenceNode(_TAG + "seq", [], mark, mark)
            else:
                child = MappingNode(_TAG + "map", [], mark, mark)
            if isinstance(parent, MappingNode):
                others = [(key, value) for key, value in parent.value if key.value != part]
                parent.value = [*others, (ScalarNode(_TAG + "str", str(part), mark, mark), child)]
            elif isinstance(parent, SequenceNode):
                parent.value = [*parent.value, child]
            else:
                raise UsageError("the file is no mapping", where=self._position(parent.start_mark))
            parent = child
        self._plain.clear()
        self.data = self._plain_data()

    def position(self, path: Key, *, for_key: bool = False) -> str:
        """Return `file:line:column`, counted from 1, of the value at `path` or of its key.

        If the path leads to a key that is missing, return the position of the last part that exists.
        """
        key = value = self._root
        for part in self.nearest(path):
            key, value = self._entry(value, part) or (key, value)
        return self._position((key if for_key else value).start_mark)

    def nearest(self, path: Key) -> Key:
        """Return the longest prefix of `path` that exists in the file."""
        node = self._root
        for depth, part in enumerate(path):
            entry = self._entry(node, part)
            if entry is None:
                return path[:depth]
            node = entry[1]
        return path

    @staticmethod
    def _entry(node: Node, part: str | int) -> tuple[Node, Node] | None:
        """Return the key node (for a list item, the item itself) and the value node."""
        if isinstance(node, MappingNode):
            return next(((k, v) for k, v in node.value if k.value == part), None)
        if isinstance(node, SequenceNode) and isinstance(part, int) and 0 <= part < len(node.value):
            return node.value[part], node.value[part]
        return None

    def _position(self, mark: Any) -> str:
        return f"{mark.name}:{mark.line + 1}:{mark.column + 1}" if mark.name == self.name else mark.name

    def _refuse(self, what: str, node: Node, hint: str | None = None) -> NoReturn:
        raise UsageError(what, where=self._position(node.start_mark), hint=hint)

    def _compose(self, text: str, name: str) -> Node:
        try:
            composer = _Composer(text, name)
            root = composer.get_node() if composer.check_node() else None
            if root is not None and composer.check_node():
                second = cast(Any, composer.peek_event())  # an event, since there is a node
                where = self._position(second.start_mark)
                raise UsageError("a second document starts here; a file has one document", where=where)
        except yaml.MarkedYAMLError as error:
            what = f"{error.context}: {error.problem}" if error.context else str(error.problem)
            raise UsageError(f"not YAML: {what}", where=self._position(error.problem_mark)) from error
        except ReaderError as error:
            before = text.encode()[: error.position].decode()  # libyaml counts bytes
            where = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
            raise UsageError(f"not YAML: {error.reason}", where=where) from error
        except UnicodeEncodeError as error:
            raise UsageError("not YAML: text with half of a surrogate pair", where=name) from error
        if root is None:
            raise UsageError("the file is empty", where=f"{name}:1:1" if name == self.name else name)
        return root

    def _plain_data(self) -> Any:
        if self._root.tag == _TAG + "null":
            self._refuse("the file is empty", self._root)
        try:
            return self._value(self._root)
        except RecursionError as error:
            raise UsageError("nested too deeply", where=self.name) from error

    def _value(self, node: Node) -> Any:
        if node in self._open:
            self._refuse("this part contains itself, by an alias", node)
        if node not in self._plain:  # an alias has the node of its anchor, which is read once
            self._open.add(node)
            self._plain[node] = self._read(node)
            self._open.remove(node)
        return self._plain[node]

    def _read(self, node: Node) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, MappingNode) and kind == "map":
            return self._mapping(node)
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self._value(item) for item in node.value]
        if isinstance(node, ScalarNode) and kind == "str":
            return node.value
        if isinstance(node, ScalarNode) and kind in _CORE:
            return self._scalar(node, kind)
        self._refuse(f"the tag {node.tag.replace(_TAG, '!!')} is not allowed here", node)

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        first: dict[str, Node] = {}
        for key, _ in node.value:
            if not isinstance(key, ScalarNode) or key.tag != _TAG + "str":
                self._refuse("a key must be a string", key, hint="put it in quotes")
            if key.value == "<<" and not key.style:
                self._refuse("merge keys (<<) are not supported", key, "write the keys out")
            if key.value in first:
                line = first[key.value].start_mark.line + 1
                self._refuse(f'the key "{key.value}" is repeated', key, f"it occurs first in line {line}")
            first[key.value] = key
        return {key.value: self._value(value) for key, value in node.value}

    def _scalar(self, node: ScalarNode, kind: str) -> bool | int | float | None:
        text = node.value
        if not re.fullmatch(_CORE[kind], text) and not (kind == "float" and re.fullmatch(_CORE["int"], text)):
            self._refuse(f'"{text}" is not a YAML 1.2 {kind}', node)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            try:
                return int(text, base)
            except ValueError:
                self._refuse(f"a number of {len(text)} digits is too long", node)
        number = float(re.sub(r"\.(inf|nan)", r"\1", text.lower()))
        if math.isinf(number) and "inf" not in text.lower():
            self._refuse(f"{text} is too large for a float", node)
        return number


def load(path: str | Traversable) -> Document:
    """Read a YAML file.

    Raises:
        UsageError: the file cannot be read or is not strict YAML; `where` is `file:line:column`.
    """
    source = Path(path) if isinstance(path, str) else path
    try:
        text = source.read_bytes().decode("utf-8-sig")
    except OSError as error:
        beside: list[str] = []
        if isinstance(error, FileNotFoundError) and isinstance(source, Path):
            beside = [str(file) for file in source.parent.glob("*.y*ml")]
        hint = suggestion(str(path), beside) if beside else None
        raise UsageError(f"the file cannot be read: {error.strerror or error}", str(path), hint) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the file is not UTF-8 text: {error.reason}", where=str(path)) from error
    return Document(str(path), text)


def checked(document: Document, model: type[Model]) -> Model:
    """Validate the document by `model`.

    Raises:
        GroupedUsageError: all faults, each with its position.
    """
    try:
        return model.model_validate(document.data)
    except pydantic.ValidationError as error:
        raise refusal(error, document, model) from error


_IN_YAML_TERMS = {  # pydantic's messages are in terms of Python
    "model_type": "should be a mapping (key: value)",
    "dict_type": "should be a mapping (key: value)",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "string_type": "should be a string",
    "bool_type": "should be true or false",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "too_short": "should have at least one item",
    "string_too_short": "should have at least one letter",
}


def refusal(
    error: pydantic.ValidationError,
    document: Document,
    model: type[pydantic.BaseModel],
    place: Callable[[Key], Key] = lambda loc: loc,
    subject: str = "",
) -> GroupedUsageError:
    """Convert the faults of a validation to usage errors with their positions in the file.

    Args:
        error: exception of `model.model_validate`.
        document: the file that contains the data.
        model: the model that refused the data.
        place: maps a location in the data to a path in the document, if the two differ.
        subject: subject of the message, such as the name of a component.
    """
    subject = f"{subject}: " if subject else ""
    faults, collected = error.errors(include_url=False), Faults()
    misspelt = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    hints = [suggestion(str(fault["loc"][-1]), _fields(model, fault["loc"][:-1])) for fault in misspelt]
    for fault, hint in zip(misspelt, hints, strict=True):
        where = document.position(place(fault["loc"]), for_key=True)
        collected.add(UsageError(f'{subject}unknown key "{fault["loc"][-1]}"', where, hint))
    # A misspelt key makes the correct one missing, too.
    missing = [f for f in faults if f["type"] == "missing" and f'did you mean "{f["loc"][-1]}"?' not in hints]
    for fault in missing:
        collected.add(UsageError(f'{subject}"{fault["loc"][-1]}" is missing', document.position(place(fault["loc"]))))
    wrong: dict[Key, list[Any]] = {}
    for fault in faults:
        if fault["type"] not in ("extra_forbidden", "missing"):
            wrong.setdefault(document.nearest(place(fault["loc"])), []).append(fault)
    for path, alike in wrong.items():  # the branches of a union have a fault each
        collected.add(UsageError(subject + _wrong_value(alike, path), document.position(path)))
    return collected.together()


def _wrong_value(faults: list[Any], path: Key) -> str:
    """Return the fault of a value of the wrong type or out of bounds, from the faults of the branches of its type."""
    loc, value = faults[0]["loc"], faults[0]["input"]
    subject = _subject(path if loc and loc[0] in path else loc[:1])  # a default is not in the file
    if faults[0]["type"] == "value_error":  # the component's own message
        return f"{subject}: {faults[0]['ctx']['error']}"
    terms = (_IN_YAML_TERMS.get(f["type"]) or re.sub(r"^\w+ should", "should", f["msg"]) for f in faults)
    expected = dict.fromkeys(terms)
    return f"{subject} {' or '.join(expected).replace(' or should be', ' or')}, not {_shown(value)}"


def _fields(model: type[pydantic.BaseModel], inside: Key) -> Mapping[str, Any]:
    """Return the fields of the model at a location inside another model."""
    for part in inside:
        if isinstance(part, str) and part in model.model_fields:
            model = _inner(model.model_fields[part].annotation) or model
    return model.model_fields


def _inner(annotation: Any) -> type[pydantic.BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    return next(filter(None, map(_inner, get_args(annotation))), None)


def _subject(path: Key) -> str:
    match path:
        case (*_, str(key)):
            return f'"{key}"'
        case (*_, str(key), int(number)):
            return f'item {number + 1} of "{key}"'
    return "the file"


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'}" if value else json.dumps(value)
    return json.dumps(value, ensure_ascii=False, default=str)
