"""`throughtime peers`: its comparisons, its rows, and the numbers of a row."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from types import ModuleType

import pytest
import torch

from tests.commands.test_cli import told
from throughtime.commands.main import main
from throughtime.datasets.files import fetch
from throughtime.measuring import floor
from throughtime.peers import child, run, table, workload
from throughtime.peers.compare import difference
from throughtime.peers.implementations import plain_loop
from throughtime.peers.implementations.unrolled import UnrolledJob
from throughtime.peers.job import question
from throughtime.peers.run import LeftOut, Measurement, PeerResults, rows_of
from throughtime.peers.workload import PEERS, WORKLOADS, Peer, Workload, entrants

TINY = Workload("train-tiny", "train", "lif", 30, 5, 8, 4)
LTC = Workload("fptt-tiny", "fptt", "ltc_smnist", 784, 1, 6, 24, timed_steps=4)
ADDING = Workload("adding-tiny", "adding", "ltc_adding", 20, 2, 6, 5, parts=4, drive=8.0)


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))


def compared(work: Workload, name: str) -> dict:
    """Return the difference of an implementation's answer from ours, computed in this process."""
    return child.answer({"do": "compare", "work": work._asdict(), "implementation": name, "threads": 1})


def in_this_process(order: dict) -> dict:
    """Answer in place of a fresh process; the floor is a constant, since the yardstick takes half a second."""
    if order["do"] == "floor":
        return {"floor": 1e-6, "contended": False}
    try:
        return child.answer(order)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def ran(*names: str, work: Workload = TINY, ask=in_this_process, rounds: int = 1, threads=(1,)) -> PeerResults:
    return run.side_by_side(work, names, threads=threads, rounds=rounds, ask=ask, tell=lambda line: None)


# ---- agreement ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neuron", ["lif", "alif"])
@pytest.mark.parametrize("does", ["train", "evaluate"])
def test_the_plain_loop_is_ours(neuron, does):
    assert compared(TINY._replace(neuron=neuron, does=does), "plain-loop")["size"] < 1e-12


@pytest.mark.parametrize("work", [LTC, ADDING])
def test_the_authors_form_is_ours_update_by_update(work):
    result = compared(work, "authors-form")
    assert result["size"] < 1e-10
    asked = question(work)
    before = dict(asked.network.named_parameters())
    after = child._job("ours", asked.to(torch.float64)).answer()
    assert all((after[name] - before[name]).abs().max() > 1e-6 for name in asked.determined(after)), "all have moved"


@pytest.mark.parametrize("fault", ["no regulariser", "slower mean", "empty table", "no clip"])
def test_a_fault_in_the_authors_form_is_seen(fault):
    asked = question(LTC)
    ours = child._job("ours", asked.to(torch.float64)).answer()
    job = child._job("authors_form", asked)
    if fault == "no regulariser":
        job.α = 1e-9
    elif fault == "slower mean":
        job.β = 0.4
    elif fault == "empty table":
        job._fill = lambda *_: None
    else:
        job.question = job.question._replace(training=job.question.training.model_copy(update={"clip": 1e-3}))
    assert difference(asked.determined(ours), asked.determined(job.answer())).size > 1e-6


@pytest.mark.filterwarnings("ignore")  # the libraries' own, at import and after
@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("snntorch", TINY),
        ("norse", TINY),
        ("spikingjelly", TINY),
        ("jax-scan", TINY),
        ("jax-scan", TINY._replace(neuron="alif")),
        ("braintrace-eprop", TINY._replace(does="eprop")),
        ("braintrace-eprop", TINY._replace(does="eprop", neuron="alif")),
        ("braintrace-d-rtrl", TINY._replace(does="eprop")),
        ("braintrace-pp-prop", TINY._replace(does="eprop")),
        ("braintrace-pp-prop", TINY._replace(does="pp_prop")),
        ("braintrace-pp-prop", TINY._replace(does="pp_prop", neuron="alif")),
        ("braintrace-snap1", TINY._replace(does="snap1")),
        ("braintrace-snap1", TINY._replace(does="snap1", neuron="alif")),
        ("spikingjelly-ottt", TINY._replace(does="ottt")),
        ("spikingjelly-sltt", TINY._replace(does="sltt")),
        ("spikingjelly-fptt", LTC),
    ],
)
def test_each_library_is_ours(name, work):
    if why := run.missing(PEERS[name]):
        pytest.skip(why)
    assert compared(work, name)["size"] < 1e-12


@pytest.mark.filterwarnings("ignore")
def test_pp_prop_as_eprop_of_adaptive_neurons_is_another_gradient_as_its_note_says():
    if why := run.missing(PEERS["braintrace-pp-prop"]):
        pytest.skip(why)
    assert compared(TINY._replace(does="eprop", neuron="alif"), "braintrace-pp-prop")["size"] > 1e-3
    assert ("eprop", "alif") in PEERS["braintrace-pp-prop"].no_pair


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("neuron", ["lif", "alif"])
def test_uoro_of_braintrace_is_bptt_in_the_mean_as_its_note_says(neuron):
    """The mean of 1000 gradients is within five standard errors of BPTT's, and one gradient is not BPTT's."""
    if why := run.missing(PEERS["braintrace-uoro"]):
        pytest.skip(why)
    asked = question(TINY._replace(does="uoro", neuron=neuron, steps=5, hidden=3, drive=4.0))
    exact = child._job("ours", asked._replace(work=asked.work._replace(does="train"))).answer()
    theirs, weight = child._job(PEERS["braintrace-uoro"].module, asked), "layers.0.recurrent.weight"
    samples, exact = torch.stack([theirs.answer()[weight] for _ in range(1000)]), exact[weight]
    z = (samples.mean(0) - exact) / (samples.std(0) / len(samples) ** 0.5)
    assert samples.std(0).min() > 0 and z.abs().max() < 5
    assert 0.2 < z.square().mean() < 4, "as random as the standard error says"


def test_every_neuron_of_every_work_spikes():
    """Without spikes gradients agree whatever the reset and the recurrence are."""
    for work in WORKLOADS.values():
        asked = question(work._replace(steps=min(work.steps, 100), batch=16))
        with torch.no_grad():
            z = asked.network.unroll(asked.batch.x, asked.network.initial_state(16)).spikes[0]
        assert 0.01 < z.mean() < 0.5, work.name


def test_a_difference_is_the_largest_of_all_tensors_over_the_largest_number_of_ours():
    a, b = {"x": torch.tensor([1.0, -4.0])}, {"x": torch.tensor([1.0, -3.0])}
    assert difference(a, b) == ("x", 0.25)
    more = {"y": torch.tensor([100.0])}
    assert difference({**a, **more}, {**b, "y": torch.tensor([101.0])}) == ("x", 0.25)
    assert difference(a, a) == ("x", 0.0)


@pytest.mark.parametrize(
    "theirs",
    [{}, {"x": torch.ones(3)}, {"x": torch.tensor([1.0, math.nan])}, {"x": torch.ones(2), "y": torch.ones(1)}],
)
def test_what_is_missing_misshapen_or_no_number_differs_infinitely(theirs):
    assert difference({"x": torch.ones(2)}, theirs).size == math.inf


def test_nothing_agrees_with_nothing():
    assert difference({}, {}).size == math.inf


# ---- who gets a row ----------------------------------------------------------------------------------------------


class Leaky(plain_loop.PlainLoop):
    """A twin that is right but for its leak."""

    def forward(self, x):
        self.α = 0.9 * self.α
        return super().forward(x)


class Steeper(plain_loop.PlainLoop):
    """A twin whose outputs are right and whose gradient is not: it is twice ours."""

    def forward(self, x):
        y = super().forward(x)
        return y + (y - y.detach())


@pytest.fixture
def twin(monkeypatch):
    """Enter a class of this file as an implementation."""

    def enter(model: type) -> None:
        module = ModuleType("throughtime.peers.implementations.twin")
        module.build = lambda asked: UnrolledJob(asked, model(asked))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(PEERS, "twin", Peer("library", "twin", ("train",), ("lif",)))

    return enter


def test_a_twin_that_is_right_gets_a_row(twin):
    twin(plain_loop.PlainLoop)
    outcome = ran("twin")
    assert [row.implementation for row in outcome.rows] == ["ours", "twin"]
    assert outcome.left_out == []
    assert outcome.rows[0].difference is None and outcome.rows[1].difference < 1e-12


@pytest.mark.parametrize(("model", "where"), [(Leaky, "."), (Steeper, "by 1 of the largest")])
def test_a_wrong_answer_gets_no_row_but_a_line_that_says_what_differs(twin, model, where):
    twin(model)
    outcome = ran("twin")
    assert [row.implementation for row in outcome.rows] == ["ours"]
    (left_out,) = outcome.left_out
    assert left_out.fault and "differs from ours by" in left_out.why and where in left_out.why
    assert "1e-08 allowed" in left_out.why


def test_a_library_that_is_not_installed_is_not_run_and_no_fault(twin, monkeypatch):
    twin(plain_loop.PlainLoop)
    monkeypatch.setitem(PEERS, "twin", PEERS["twin"]._replace(needs=("no-such-library",)))
    outcome = ran("twin")
    assert [row.implementation for row in outcome.rows] == ["ours"]
    assert outcome.left_out == [
        LeftOut("train-tiny", "twin", "not run here: no-such-library is not installed", fault=False)
    ]


def test_what_raises_gets_no_row_and_is_a_fault(twin):
    class Broken(plain_loop.PlainLoop):
        def forward(self, x):
            raise RuntimeError("no")

    twin(Broken)
    outcome = ran("twin")
    assert [row.implementation for row in outcome.rows] == ["ours"]
    assert outcome.left_out == [LeftOut("train-tiny", "twin", "failed: RuntimeError: no", fault=True)]


def test_what_fails_in_a_later_round_gets_no_row(twin):
    twin(plain_loop.PlainLoop)
    orders: list[dict] = []

    def ask(order):
        orders.append(order)
        asked = [(o["do"], o["implementation"]) for o in orders]
        return {"failed": "killed"} if asked.count(("time", "twin")) == 2 else in_this_process(order)

    outcome = ran("twin", ask=ask, rounds=2)
    assert [row.implementation for row in outcome.rows] == ["ours"]
    assert [left_out.why for left_out in outcome.left_out] == ["failed: killed"]


def test_implementations_are_compared_first_and_then_take_turns():
    orders: list[tuple[str, str, int]] = []

    def ask(order):
        orders.append((order["do"], order["implementation"], order["threads"]))
        return in_this_process(order)

    outcome = ran("plain-loop", ask=ask, rounds=2, threads=(1, 2))
    turn = [("floor", "ours"), ("time", "ours"), ("time", "plain-loop")]
    turns = [(*order, n) for n in (1, 1, 2, 2) for order in turn]
    assert orders == [("compare", "plain-loop", 2), *turns], "compared once, for all numbers of threads"
    assert [(row.threads, row.implementation, row.rounds) for row in outcome.rows] == [
        (n, name, 2) for n in (1, 2) for name in ("ours", "plain-loop")
    ]


def test_forward_pass_and_evaluation_share_the_comparison_of_training(monkeypatch):
    """It compares their outputs, and gradients besides; e-prop and other sizes have their own."""
    executed: list[dict] = []
    monkeypatch.setattr(run, "_answer_of_child", lambda order: executed.append(order) or in_this_process(order))
    run._comparison.cache_clear()
    works = [TINY._replace(name=does, does=does) for does in ("train", "forward", "evaluate")]
    for work in (*works, TINY._replace(steps=31), TINY._replace(does="eprop")):
        ran("plain-loop", work=work, ask=lambda order: run.in_fresh_process(order, print))
    compared = [(order["work"]["does"], order["work"]["steps"]) for order in executed if order["do"] == "compare"]
    assert compared == [("train", 30), ("train", 31)], "plain-loop does no e-prop"
    run._comparison.cache_clear()


# ---- the numbers of a row ----------------------------------------------------------------------------------------


def timing(*samples: float, first: float = 0.0, contended: bool = False) -> dict:
    return {"samples": [*samples], "first": first, "contended": contended}


def test_rows_from_numbers_made_by_hand():
    timings = {
        "ours": [timing(2.0, 3.0, first=4.0), timing(2.0, first=2.0)],
        "plain-loop": [timing(5.0, 9.0, first=5.0), timing(6.0, first=6.5, contended=True)],
    }
    floors = [{"floor": 1.0, "contended": False}, {"floor": 0.5, "contended": False}]
    ours, plain = rows_of(TINY, timings, floors, {"ours": None, "plain-loop": 1e-15}, threads=2)
    assert (ours.median, ours.min, ours.max, ours.n, ours.rounds) == (2.0, 2.0, 3.0, 3, 2)
    assert (plain.median, plain.min, plain.max, plain.n, plain.rounds) == (6.0, 5.0, 9.0, 3, 2)
    assert (ours.ratio, plain.ratio) == (1.0, 3.0)
    assert ours.floor == plain.floor == 0.5, "the least of all rounds"
    assert (ours.floor_ratio, plain.floor_ratio) == (4.0, 12.0)
    assert (ours.compile_seconds, plain.compile_seconds) == (1.0, 0.0), "median of the first calls less the median"
    assert (ours.contended, plain.contended) == (False, True)
    assert (ours.unit, ours.threads, plain.difference) == ("second a batch", 2, 1e-15)
    assert {"throughtime", "torch"} == {*ours.versions}


def test_rates_of_several_threads_that_others_disturbed_make_no_floor():
    floors = [{"floor": 0.25, "contended": True}, {"failed": "killed"}]
    for threads, expected in ((1, 0.25), (2, None)):
        (row,) = rows_of(TINY, {"ours": [timing(1.0)]}, floors, {"ours": None}, threads=threads)
        assert row.floor == expected


def test_a_time_a_step_has_the_compile_time_of_the_whole_call():
    (row,) = rows_of(LTC, {"ours": [timing(0.5, first=7.0)]}, [], {"ours": None}, threads=1)
    assert row.unit == "second a step" and row.compile_seconds == 7.0 - 4 * 0.5
    assert row.floor is None and row.floor_ratio is None


def test_without_ours_there_is_no_ratio():
    (row,) = rows_of(TINY, {"plain-loop": [timing(1.0)]}, [], {"plain-loop": None}, threads=1)
    assert row.ratio is None


def test_bytes_are_counted_once_and_have_no_floor():
    outcome = ran("plain-loop", work=TINY._replace(name="stored-tiny", does="stored"), rounds=3, threads=(1, 2))
    ours, plain = outcome.rows
    assert ours.unit == plain.unit == "byte" and ours.n == plain.n == 1
    assert ours.floor is ours.compile_seconds is None
    assert plain.ratio == plain.median / ours.median
    # By hand: a step keeps the surrogate's argument and the spikes that R z needs, both [4, 8] float32; the readout
    # keeps the stacked spikes, cross-entropy log p [120, 10]; once: the loss.
    steps, B, H = 30, 4, 8
    least = 4 * (3 * steps * B * H + steps * B * 10)
    assert least <= plain.median < 1.2 * least


def test_the_floor_of_a_forward_pass_is_its_products():
    network = question(TINY).to(torch.float32).network
    needed = floor.forward_operations(network, batch=4, steps=30)
    assert needed.flops == 2 * 4 * 30 * (5 * 8 + 8 * 8 + 8 * 10) and needed.moved == 0


@pytest.mark.parametrize("work", [TINY, TINY._replace(does="evaluate"), TINY._replace(does="eprop"), LTC, ADDING])
def test_every_kind_of_work_has_a_floor(work):
    result = child.answer({"do": "floor", "work": work._asdict(), "implementation": "ours", "threads": 1})
    assert result["floor"] > 0


# ---- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """The command with one tiny work, answered in this process."""
    monkeypatch.setattr(workload, "WORKLOADS", {"train-tiny": TINY})
    monkeypatch.setattr(run, "in_fresh_process", lambda order, tell: in_this_process(order))

    def call(*words: str) -> int:
        return main(["peers", "--threads", "1", "--rounds", "1", "--implementation", "twin", *words])

    return call


def test_json_rows_have_the_fields(quick, twin, capsys):
    twin(plain_loop.PlainLoop)
    assert quick("--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["implementation"] for row in rows] == ["ours", "twin"]
    for row in rows:
        assert {*row} == {*Measurement._fields}
        assert row["work"] == "train-tiny" and row["min"] <= row["median"] <= row["max"] and row["n"] >= 5
    assert rows[1]["ratio"] == rows[1]["median"] / rows[0]["median"]
    assert rows[1]["floor_ratio"] == rows[1]["median"] / 1e-6


def test_a_wrong_answer_ends_the_command_with_1(quick, twin, capsys):
    twin(Leaky)
    assert quick() == 1
    said = capsys.readouterr().out
    assert "train-tiny: twin: " in said and "differs from ours by" in said
    assert quick("--json") == 1
    said = capsys.readouterr()
    assert [row["implementation"] for row in json.loads(said.out)] == ["ours"] and "differs from ours" in said.err


def test_a_missing_library_ends_the_command_with_0(quick, twin, monkeypatch, capsys):
    twin(plain_loop.PlainLoop)
    monkeypatch.setitem(PEERS, "twin", PEERS["twin"]._replace(needs=("no-such-library",)))
    assert quick() == 0
    assert "train-tiny: twin: not run here: no-such-library is not installed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train-lif-h128-t10"], 'no workload "train-lif-h128-t10"\n  did you mean "train-lif-h128-t100"?'),
        (["--implementation", "nors"], 'no implementation "nors"\n  did you mean "norse"?'),
    ],
)
def test_wrong_names_are_wrong_use(words, expected, capsys):
    assert main(["peers", *words]) == 2
    said = capsys.readouterr()
    assert expected in told(said.err) and said.out == ""


def test_works_are_chosen_by_name_or_pattern():
    assert [w.name for w in workload.chosen(["adding-k10"])] == ["adding-k10"]
    assert {w.does for w in workload.chosen(["eprop-*", "fptt-*"])} == {"eprop", "fptt"}
    assert workload.chosen([]) == [*WORKLOADS.values()]


def test_ours_takes_part_whoever_is_named():
    assert entrants(TINY, ["norse"]) == ["ours", "norse"]
    assert entrants(ADDING, ["norse"]) == ["ours"]
    assert all("ours" in entrants(w, []) and len(entrants(w, [])) > 1 for w in WORKLOADS.values())


def test_table_rows_and_figure_are_written(tmp_path, twin):
    twin(plain_loop.PlainLoop)
    outcome = ran("twin")
    outcome.left_out.append(LeftOut("train-tiny", "norse", "not run here: norse is not installed", False))
    names = {path.name for path in table.write(outcome, tmp_path)}
    assert names == {"table.md", "rows.json", "peers.pdf", "peers.svg", "peers.png", "peers.csv"}
    written = (tmp_path / "table.md").read_text()
    assert "| train-tiny | 1 | twin |" in written and "norse: not run here" in written
    assert "times as fast as twin" in written
    assert json.loads((tmp_path / "rows.json").read_text())[1]["implementation"] == "twin"


def test_a_fresh_process_answers_and_tells_of_its_failure(monkeypatch):
    order = {"do": "compare", "work": TINY._asdict(), "implementation": "plain-loop", "threads": 1}
    assert run.in_fresh_process(order, print)["size"] < 1e-12
    broken = run.in_fresh_process({**order, "implementation": "nobody"}, print)
    assert broken == {"failed": "KeyError: 'nobody'"}
    monkeypatch.setattr(child, "main", killed)
    assert run._answer_of_child(order) == {"failed": "its process ended with -9"}
    monkeypatch.setattr(run, "TIMEOUT", 0.1)
    monkeypatch.setattr(child, "main", asleep)
    assert run._answer_of_child(order) == {"failed": "time limit of 0.1 s exceeded"}


def killed(order, sender):
    os.kill(os.getpid(), signal.SIGKILL)


def asleep(order, sender):
    time.sleep(1000)
