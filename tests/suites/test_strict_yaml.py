"""Strict YAML: types of words, refused constructs, and source positions."""

import json
import math
from typing import Annotated, Literal

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from throughtime.errors import UsageError
from throughtime.suites.strict_yaml import Document, checked, load

unhurried = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(text):
    return Document("f.yaml", text)


def refused(text):
    with pytest.raises(UsageError) as caught:
        read(text)
    return caught.value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-3", 0.001),
        ("1.0e-3", 0.001),
        (".5", 0.5),
        ("5.", 5.0),
        ("2e3", 2000.0),
        ("-.5E+2", -50.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("12", 12),
        ("+1", 1),
        ("012", 12),
        ("08", 8),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b1", "0b1"),
        ("0o9", "0o9"),
        ("-0o1", "-0o1"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("None", "None"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("!!float 12", 12.0),
        ("=", "="),
        ("1e5x", "1e5x"),
        ("e5", "e5"),
        (".", "."),
    ],
)
def test_words_mean_what_yaml_1_2_says(word, value):
    read_value = read(f"a: {word}").data["a"]
    assert read_value == value
    assert type(read_value) is type(value)


def test_not_a_number_is_a_float():
    assert math.isnan(read("[.nan]").data[0])


@unhurried
@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**30), 10**30))
def test_every_number_that_python_writes_is_read_back(number):
    value = read(f"[{number!r}]").data[0]
    assert value == number
    assert type(value) is type(number)


plain = st.text(st.characters(min_codepoint=32, max_codepoint=126))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | plain,
    lambda inner: st.lists(inner) | st.dictionaries(plain, inner),
)


@unhurried
@given(st.dictionaries(plain, values, min_size=1))
def test_json_is_read_as_json_reads_it(data):
    assert read(json.dumps(data)).data == data


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "f.yaml:1:1", "the file is empty"),
        ("# only this\n", "f.yaml:1:1", "the file is empty"),
        ("---\n~\n", "f.yaml:2:1", "the file is empty"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1", 'the key "a" is repeated'),
        ("x:\n  - {a: 1, 'a': 2}\n", "f.yaml:2:12", 'the key "a" is repeated'),
        ("a: 1\n---\nb: 2\n", "f.yaml:3:1", "a second document starts here; a file has one document"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "f.yaml:3:3", "merge keys (<<) are not supported"),
        ("a: 1\n3: 2\n", "f.yaml:2:1", "a key must be a string"),
        ("a: 1\ntrue: 2\n", "f.yaml:2:1", "a key must be a string"),
        ("? [1]\n: 2\n", "f.yaml:1:3", "a key must be a string"),
        ("a: !mine 1\n", "f.yaml:1:4", "the tag !mine is not allowed here"),
        ("a: !!set {b}\n", "f.yaml:1:4", "the tag !!set is not allowed here"),
        ("a: !!python/object:os.x {}\n", "f.yaml:1:4", "the tag !!python/object:os.x is not allowed here"),
        ("a: !!int [1]\n", "f.yaml:1:4", "the tag !!int is not allowed here"),
        ("a: !!int five\n", "f.yaml:1:4", '"five" is not a YAML 1.2 int'),
        ("a: &x [1, *x]\n", "f.yaml:1:4", "this part contains itself, by an alias"),
        ("a: *x\n", "f.yaml:1:4", "not YAML: found undefined alias"),
        ("a: 1e400\n", "f.yaml:1:4", "1e400 is too large for a float"),
        ("a: " + 5000 * "9", "f.yaml:1:4", "a number of 5000 digits is too long"),
        ("a: b: c\n", "f.yaml:1:5", "not YAML: mapping values are not allowed in this context"),
        ("a:\n  b: \x01\n", "f.yaml:2:6", "not YAML: control characters are not allowed"),
        ("# é 神\na:\n  ü: \x01\n", "f.yaml:3:6", "not YAML: control characters are not allowed"),
        ("a: \udc80\n", "f.yaml", "not YAML: text with half of a surrogate pair"),
        (3000 * "[", "f.yaml:1:1001", "not YAML: while increasing flow level: exceeded maximum nesting depth"),
    ],
)
def test_what_is_refused_and_where(text, where, what):
    error = refused(text)
    assert (error.where, error.what) == (where, what)


def test_a_tab_is_named_with_its_place():
    assert refused("a:\n  b: 1\n\tc: 2\n").where == "f.yaml:3:1"


def test_a_repeated_key_names_the_first():
    assert refused("a: 1\nb: 2\na: 3\n").hint == "it occurs first in line 1"


def test_an_alias_is_the_anchors_object_and_has_its_place():
    document = read("a: &x [1, 2]\nb: *x\n")
    assert document.data["b"] is document.data["a"]
    assert document.position(("b", 1)) == "f.yaml:1:11"


def test_a_quoted_merge_key_is_a_key():
    assert read("'<<': 1").data == {"<<": 1}


NESTED = """\
a:
  - {b: 1, c: [x, y]}
d: z
"""


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ((), "1:1", "1:1"),
        (("a",), "2:3", "1:1"),
        (("a", 0), "2:5", "2:5"),
        (("a", 0, "c"), "2:15", "2:12"),
        (("a", 0, "c", 1), "2:19", "2:19"),
        (("d",), "3:4", "3:1"),
        (("a", 0, "missing"), "2:5", "2:5"),
        (("a", 7), "2:3", "1:1"),
        (("d", "str"), "3:4", "3:1"),
    ],
)
def test_positions_of_values_and_keys(path, value, key):
    document = read(NESTED)
    assert document.position(path) == f"f.yaml:{value}"
    assert document.position(path, for_key=True) == f"f.yaml:{key}"


def test_load_skips_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert load(path).data == {"a": 1}
    assert load(str(path)).position(("a",)) == f"{path}:1:4"


def test_load_tells_what_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.yaml: the file cannot be read: No such file"):
        load(tmp_path / "nowhere.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        load(tmp_path / "latin.yaml")


class Inner(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    width: int = 1
    size: pydantic.PositiveInt | Literal["all"] = 1
    even: Annotated[int, pydantic.AfterValidator(lambda n: n if n % 2 == 0 else _odd(n))] = 0


class Outer(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)
    parts: list[Inner]
    name: str


def _odd(n):
    raise ValueError("odd numbers do not go")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("parts: []\n", 'f:1:1: "name" is missing'),
        ("parts: [{width: 2}]\nname: 5\n", 'f:2:7: "name" should be a string, not 5'),
        ("parts: 3\nname: x\n", 'f:1:8: "parts" should be a list, not 3'),
        ("parts: [3]\nname: x\n", 'f:1:9: item 1 of "parts" should be a mapping (key: value), not 3'),
        ("parts: [{width: 2.0}]\nname: x\n", 'f:1:17: "width" should be a whole number, not 2.0'),
        ("parts: [{width: true}]\nname: x\n", 'f:1:17: "width" should be a whole number, not true'),
        ("parts: [{width: [1]}]\nname: x\n", 'f:1:17: "width" should be a whole number, not a list'),
        ("parts: [{size: 0}]\nname: x\n", "f:1:16: \"size\" should be greater than 0 or 'all', not 0"),
        ("parts: [{even: 3}]\nname: x\n", 'f:1:16: "even": odd numbers do not go'),
        ("parts: [{widht: 2}]\nname: x\n", 'f:1:10: unknown key "widht"\n  did you mean "width"?'),
        ("parts: []\nnmae: x\n", 'f:2:1: unknown key "nmae"\n  did you mean "name"?'),
        ("- 1\n", "f:1:1: the file should be a mapping (key: value), not a list"),
    ],
)
def test_faults_of_a_model_are_told_in_sentences(text, told):
    with pytest.raises(UsageError) as caught:
        checked(Document("f", text), Outer)
    assert str(caught.value) == told


def test_a_document_that_fits_is_the_model():
    outer = checked(Document("f", "parts: [{width: 2, size: all}]\nname: no\n"), Outer)
    assert outer == Outer(parts=[Inner(width=2, size="all")], name="no")
