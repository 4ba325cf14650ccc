"""`gates.yaml`: read strictly, the first match decides, a gate that matches nothing is an error."""

from __future__ import annotations

import pytest

from tests.synthetic_records import run_spec
from throughtime.comparing.gates import Amount, Gates
from throughtime.errors import UsageError

GATE = "{metric: loss, compare: tolerance, better: lower, fail: 5 %, why: because}"


def loaded(folder, text):
    path = folder / "gates.yaml"
    path.write_text(text, encoding="utf-8")
    return Gates.load(path)


@pytest.mark.parametrize(
    "line, place, what, hint",
    [
        ("gats: []", "1:1", 'unknown key "gats"', 'did you mean "gates"?'),
        ("gates: []", "1:8", "at least one item", None),
        (
            "gates: [{metric: loss, better: lower, why: a, compar: exact}]",
            "1:47",
            'unknown key "compar"',
            'did you mean "compare"?',
        ),
        (f"gates: [{GATE}, {{metric: loss}}]", None, '"compare" is missing', None),
        (
            GATE.replace("tolerance", "toleranse"),
            "1:33",
            "'exact', 'tolerance', 'test', 'cells' or 'ratio_to_bptt'",
            None,
        ),
        (GATE.replace("5 %", "five"), "1:65", "'five' is no amount; for example 0.03, 5 %", None),
        (GATE.replace("5 %", "-1"), "1:65", "-1 is no amount", None),
        (GATE.replace("5 %", "false"), "1:65", "False is no amount", None),
        (GATE.replace("5 %", "true"), None, '"warn" and "fail" are an amount', None),
        (GATE.replace("tolerance", "exact"), None, '"warn" and "fail" are true: any change counts', None),
        (GATE.replace("fail: 5 %, ", ""), None, 'a gate needs "warn" or "fail"', None),
        (GATE.replace("5 %", "0.03").replace("tolerance", "ratio_to_bptt"), None, "are shares, such as 25 %", None),
        (GATE.replace("5 %", "5 %, alpha: 0.01"), None, '"alpha" would do nothing without "compare: test"', None),
        (GATE.replace("why: because", 'why: ""'), None, "at least one letter", None),
        (GATE.replace("5 %", "5 %, same: [tosch]"), "1:77", '"same" knows no "tosch"', 'did you mean "torch"?'),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path, line, place, what, hint):
    text = line if line.startswith("gat") else f"gates: [{line}]"
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, text)
    assert what in caught.value.what, caught.value.what
    assert caught.value.where.startswith(str(tmp_path / "gates.yaml") + ":" + (place or ""))
    assert caught.value.hint == hint


def test_the_first_gate_that_matches_decides(tmp_path):
    gates = loaded(
        tmp_path,
        """gates:
  - {metric: "peak_*", compare: exact, better: lower, warn: true, why: a, when: {rule: [fptt, eprop]}}
  - {metric: peak_live_bytes, compare: tolerance, better: lower, fail: 1 %, why: b}
  - {metric: "peak_*", compare: exact, better: lower, fail: true, why: c}
""",
    )
    fptt, bptt = run_spec("fptt lif digits"), run_spec("bptt lif digits")
    assert gates.match("peak_live_bytes", fptt).why == "a"
    assert gates.match("peak_live_bytes", bptt).why == "b"
    assert gates.match("loss", bptt) is None
    with pytest.raises(UsageError, match="matched nothing") as caught:
        gates.refuse_unmatched()
    assert caught.value.where.endswith("gates.yaml:4:5")
    assert gates.match("peak_process_bytes", bptt).why == "c"
    gates.refuse_unmatched()


def test_amounts_and_severity(tmp_path):
    gate = loaded(
        tmp_path, "gates: [{metric: mse, compare: test, better: lower, warn: 10 %, fail: 30 %, why: x}]"
    ).gates[0]
    assert gate.minimum() == Amount(0.1, True) and str(gate.minimum()) == "10 %" and gate.level == 0.01
    assert [gate.severity(change, 2.0) for change in (0.2, 0.3, 0.7)] == ["", "warn", "fail"]
    absolute = loaded(
        tmp_path, "gates: [{metric: a, compare: test, better: lower, alpha: 0.05, fail: 3, why: x}]"
    ).gates[0]
    assert (
        absolute.minimum(1000.0).absolute(1000.0) == 3
        and absolute.level == 0.05
        and absolute.severity(3.1, 1000.0) == "fail"
    )


def test_throughtimes_own_gates_may_match_nothing():
    Gates.load().refuse_unmatched()


def test_bptt_has_no_ratio_to_itself():
    gates = Gates.load()
    assert gates.match("wall_time", run_spec("bptt lif digits")) is None
    assert gates.match("wall_time", run_spec("fptt lif digits")).compare == "ratio_to_bptt"
