"""The plan: facts about runs before they start, and refusals before the start of a sweep, not in its middle."""

from contextlib import contextmanager

import pytest
import torch

from throughtime import registry
from throughtime.datasets.adding import Adding
from throughtime.errors import UsageError
from throughtime.records.code_digest import code_of
from throughtime.records.record import Failure, Record, write_record
from throughtime.records.store import Store
from throughtime.running.plan import by_cell, plan, prepare_data, to_run
from throughtime.suites.suite import load_suite, suite_names

STEPS = {"smnist": 784, "psmnist": 784, "smnist_pooled": 196}
"""Steps of data sets without an option for them; 28 for all others."""

SUITE = """\
suite: s
summary: one line
rules: [{rules}]
neurons: [{neurons}]
networks: [{networks}]
datasets: [{datasets}]
replicates: 3
scales: {{tiny: {{}}, laptop: {{}}, paper: {{}}}}
"""
PLUGIN = """\
from throughtime import algorithm, dataset, neuron
from throughtime.algorithms.bptt import BPTT
from throughtime.datasets.adding import Adding
from throughtime.errors import UsageError
from throughtime.neurons.lif import LIF
"""


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture
def specs(tmp_path):
    """Runs of a small suite."""

    def give(
        rules="bptt",
        neurons="lif",
        datasets="{name: adding, steps: 6}",
        networks="{name: recurrent, hidden: [2]}",
    ):
        path, lists = tmp_path / "s.yaml", {"rules": rules, "neurons": neurons, "networks": networks}
        path.write_text(SUITE.format(**lists, datasets=datasets), encoding="utf-8")
        return load_suite(path).expand("tiny")

    return give


@pytest.fixture
def plugin(tmp_path):
    """Load a plugin of this text, after the imports; return its path and the number of its first line."""

    def load(text):
        path = tmp_path / "plugged.py"
        path.write_text(PLUGIN + text, encoding="utf-8")
        registry.load_plugin(path)
        return path, PLUGIN.count("\n") + 1

    with registry.isolated():
        yield load


def keep(planned, store, status, reason=""):
    failure = Failure(reason=reason) if reason else None
    record = Record(id=planned.id, label=planned.spec.label, spec=planned.spec, status=status, failure=failure)
    write_record(record, store.run_folder(planned.spec.suite, planned.id))


def networks_built(monkeypatch) -> list[str]:
    """Return a list to which each construction of a network with memory adds the label of its run."""
    from throughtime.harness import build

    built, whole = [], build.build_network

    def counted(spec, *shape):
        built.extend([spec.label] * (torch.get_default_device().type != "meta"))
        return whole(spec, *shape)

    monkeypatch.setattr(build, "build_network", counted)
    return built


def test_a_network_is_built_once_and_each_run_has_its_id(specs, store, monkeypatch):
    built = networks_built(monkeypatch)
    planned = plan(specs(rules="bptt, eprop", neurons="lif, alif"), store)
    assert len(planned) == len({p.id for p in planned}) == 12
    assert built == ["bptt lif adding #0", "bptt alif adding #0"]
    assert {p.unsupported for p in planned} == {p.recorded for p in planned} == {None}
    assert planned[0].code.keys() == {"rule", "neuron", "network", "dataset", "harness"}
    assert all(p.id == p.spec.id(p.code) and p.code == code_of(p.spec) for p in planned)
    assert len({p.code["rule"] for p in planned}) == len({p.code["neuron"] for p in planned}) == 2
    assert len({p.code["harness"] for p in planned}) == 1


def test_cells_of_many_rules_and_datasets_share_few_networks(specs, store, monkeypatch):
    """240 cells of two neurons and of datasets with 2 inputs share two networks; `supports` is called for each cell."""
    from throughtime.algorithms.fptt import FPTT

    built, asked = networks_built(monkeypatch), []
    monkeypatch.setattr(FPTT, "supports", lambda self, network, task, steps: asked.append(steps) or f"{steps}")
    rules = ", ".join(f"{{name: fptt, parts: 2, label: f{i}, alpha: 0.{i + 10}}}" for i in range(30))
    datasets = ", ".join(f"{{name: adding, steps: {steps}, label: a{steps}}}" for steps in (6, 7, 8, 9))
    planned = plan(specs(rules=rules, neurons="lif, alif", datasets=datasets), store)
    assert len(planned) == 3 * 240 and len(built) == 2 and len(asked) == 240
    assert all(p.unsupported == str(p.spec.dataset.options["steps"]) for p in planned)


def test_the_plan_says_what_is_there_and_what_cannot_be(specs, store):
    runs = specs(rules="bptt, {name: fptt, parts: 8}")
    first = plan(runs, store)
    for p, status in zip(first, ("ok", "oom", "skipped"), strict=False):
        keep(p, store, status, "" if status == "ok" else "no room")
    planned = plan(runs, store)
    assert [(p.recorded, p.reason) for p in planned[:4]] == [
        ("ok", ""),
        ("oom", "no room"),
        ("skipped", "no room"),
        (None, ""),
    ]
    why = planned[3].unsupported
    assert "6 steps cannot be cut into 8 parts" in why
    assert [tuple(cell.row().values()) for cell in by_cell(planned)] == [
        ("bptt lif adding", 1, "done"),
        ("bptt lif adding", 1, "failed before: no room"),
        ("bptt lif adding", 1, "run again: no room"),  # the rule supports the cell now
        ("fptt lif adding", 3, f"skip: {why}"),
    ]


@pytest.mark.parametrize("status", [None, "ok", "skipped", "oom", "error"])
def test_the_plan_says_run_of_what_is_run_and_of_nothing_else(specs, store, status):
    runs = specs()
    for p in plan(runs, store) if status else ():
        keep(p, store, status)
    planned = plan(runs, store)
    (cell,) = by_cell(planned)
    assert (cell.fate == "run") == bool(to_run(planned, "none"))


# Stale records


def put_with_other_code(planned, store, changed, status="ok", started="2026-01-01T00:00:00+00:00", **more):
    """A record of this run as other code made it."""
    code = {**planned.code, **dict.fromkeys(changed, "000000000000")}
    record = Record(
        id=planned.spec.id(code),
        label=planned.spec.label,
        spec=planned.spec,
        status=status,
        code={**code, "commit": "abc", "changed": True},
        started=started,
        **more,
    )
    write_record(record, store.run_folder(planned.spec.suite, record.id))


def test_a_record_of_other_code_is_stale_and_says_what_changed(specs, store):
    runs = specs()
    first, second, third = plan(runs, store)
    put_with_other_code(first, store, ["rule", "harness"])
    put_with_other_code(second, store, ["neuron"])
    planned = plan(runs, store)
    assert [p.recorded for p in planned] == ["ok", "ok", None]
    assert [p.stale for p in planned] == [
        "the code of bptt, harness changed since",
        "the code of lif changed since",
        None,
    ]
    assert to_run(planned, "none") == to_run(planned, "failed") == [planned[2]]
    assert to_run(planned, "stale") == to_run(planned, "all") == planned
    assert [cell.fate for cell in by_cell(planned)] == [
        "stale: the code of bptt, harness changed since",
        "stale: the code of lif changed since",
        "run",
    ]
    keep(third, store, "ok")
    keep(first, store, "ok")
    assert [p.stale for p in plan(runs, store)] == [None, "the code of lif changed since", None]


def test_what_other_code_failed_at_is_tried_again(specs, store):
    runs = specs()
    first, second, _ = plan(runs, store)
    put_with_other_code(first, store, ["rule"], "error", failure=Failure(reason="a weight fell off"))
    put_with_other_code(second, store, ["rule"], "skipped", failure=Failure(reason="no"))
    assert to_run(plan(runs, store), "none") == plan(runs, store)


def test_a_result_of_other_code_is_kept_if_it_diverged(specs, store):
    runs = specs()
    first, *_ = planned = plan(runs, store)
    put_with_other_code(first, store, ["rule"], "diverged", failure=Failure(reason="loss is nan"))
    assert to_run(plan(runs, store), "none") == planned[1:]


def test_a_record_from_before_an_option_was_added_is_stale(specs, store):
    runs = specs(rules="{name: fptt, parts: 2}")
    first, second, _ = plan(runs, store)
    rule = first.spec.rule
    older = {name: value for name, value in rule.options.items() if name != "update_alpha"}
    for planned, options in ((first, older), (second, {**older, "alpha": 0.25}), (second, {**rule.options, "gone": 1})):
        spec = planned.spec.model_copy(update={"rule": rule.model_copy(update={"options": options})})
        put_with_other_code(planned._replace(spec=spec), store, ["rule"])
    assert [p.stale for p in plan(runs, store)] == ["the code of fptt changed since", None, None]


def test_a_committed_record_counts_without_its_weights(specs, store):
    runs = [spec.model_copy(update={"keep_weights": True}) for spec in specs()]
    first, second, _ = plan(runs, store)
    put_with_other_code(first, store, [])
    put_with_other_code(second, store, [], command="throughtime run s")
    assert [p.recorded for p in plan(runs, store)] == ["ok", None, None]


def test_of_several_stale_records_the_newest_counts(specs, store):
    runs = specs()
    first, *_ = plan(runs, store)
    put_with_other_code(first, store, ["rule"], "ok", "2026-02-02T00:00:00+00:00")
    put_with_other_code(first, store, ["neuron"], "oom", "2026-01-01T00:00:00+00:00", failure=Failure(reason="no room"))
    assert plan(runs, store)[0].recorded == "ok"


def test_a_record_of_other_data_is_stale(specs, store):
    runs = specs(datasets="{name: digits, steps: 8}")
    first, second, _ = plan(runs, store)
    put_with_other_code(first, store, [], dataset_sha256="0" * 64)
    put_with_other_code(second, store, [], dataset_sha256=None)
    planned = plan(runs, store)
    assert planned[0].stale == "the data of digits changed since"
    assert planned[1].stale is None and planned[1].recorded == "ok"
    assert to_run(planned, "stale") == [planned[0], planned[2]]


# Exceptions of components


def test_what_a_constructor_raises_names_the_cell_and_the_line(specs, store, plugin):
    path, line = plugin(
        "@neuron('late')\nclass Late(LIF):\n    def __init__(self, size):\n        super().__init__(size, tua=3)\n"
    )
    with pytest.raises(UsageError) as caught:
        plan(specs(neurons="lif, late"), store)
    assert caught.value.where == f"{path}:{line + 3}"
    assert caught.value.what.startswith("the cell bptt x late x recurrent x adding cannot be built: TypeError: ")
    assert "'tua'" in caught.value.what


@pytest.mark.parametrize(
    ("raised", "told", "hint"),
    [
        ("ValueError('more parts than steps')", "more parts than steps", None),
        ("ValueError()", "ValueError", None),
        ("ZeroDivisionError", "ZeroDivisionError", None),
        ("RuntimeError('one\\ntwo')", "RuntimeError: one", None),
        ("UsageError('no such file', hint='get it')", "no such file", "get it"),
    ],
)
def test_whatever_a_rule_raises_when_built_or_asked(specs, store, plugin, raised, told, hint):
    path, line = plugin(
        f"@algorithm('made')\nclass Made(BPTT):\n    def __init__(self):\n        raise {raised}\n\n"
        f"@algorithm('asked')\nclass Asked(BPTT):\n    def supports(self, *about):\n        raise {raised}\n"
    )
    for rule, place in (("made", line + 3), ("asked", line + 8)):
        with pytest.raises(UsageError) as caught:
            plan(specs(rules=rule), store)
        assert caught.value.what == f"the cell {rule} x lif x recurrent x adding cannot be built: {told}"
        assert (caught.value.where, caught.value.hint) == (f"{path}:{place}", hint)


def test_supports_returns_a_reason_or_none(specs, store, plugin):
    plugin("@algorithm('sure')\nclass Sure(BPTT):\n    def supports(self, *about):\n        return True\n")
    with pytest.raises(UsageError, match="supports returned True, neither a reason nor None"):
        plan(specs(rules="sure"), store)


def test_a_metric_has_a_name_of_its_own(specs, store, plugin):
    plugin(
        "@dataset('lossy')\nclass Lossy(Adding):\n    def __init__(self, *, steps: int = 10):\n"
        "        super().__init__(steps=steps)\n        self.task.metric = self.task.metric._replace(name='loss')\n"
    )
    with pytest.raises(UsageError, match='the metric "loss" has the name of a measure or column of every run'):
        plan(specs(datasets="lossy"), store)


def test_two_readouts_on_a_task_that_reads_one_are_refused(specs, store):
    layered = "{name: layered, layers: [{dense: 3}], readouts: [{name: a}, {name: b}]}"
    with pytest.raises(UsageError) as caught:
        plan(specs(networks=layered), store)
    told = "the cell bptt x lif x layered x adding cannot be built: Regression reads one readout; the network has a, b"
    assert caught.value.what == told


def test_a_call_that_does_not_fit_is_told_with_the_line_of_the_call(specs, store, plugin):
    plugin("@neuron('sizeless')\nclass Sizeless(LIF):\n    def __init__(self):\n        pass\n")
    with pytest.raises(
        UsageError, match=r"recurrent\.py:\d+: the cell .* x sizeless x .*: TypeError: .*__init__"
    ) as told:
        plan(specs(neurons="sizeless"), store)
    assert len(str(told.value).splitlines()) == 1


# Data


def test_each_dataset_of_the_runs_is_prepared_once_and_those_of_skipped_runs_are_not(specs, store, monkeypatch):
    prepared = []
    monkeypatch.setattr(Adding, "prepare", lambda self: prepared.append(self.steps))
    datasets = ", ".join(f"{{name: adding, steps: {steps}, label: a{steps}}}" for steps in (4, 5, 6))
    planned = plan(specs(rules="bptt, {name: fptt, parts: 5}", datasets=datasets), store)
    prepare_data(planned)
    assert prepared == [4, 5, 6]
    prepared.clear()

    @contextmanager
    def shown(dataset):
        prepared.append(f"{dataset} begins")
        yield
        prepared.append("ends")

    prepare_data((p for p in planned if p.spec.rule.name == "fptt"), shown)
    assert prepared == ["adding begins", 5, "ends", "adding begins", 6, "ends"]


def test_data_that_cannot_be_had_are_told(specs, store, plugin):
    _, line = plugin(
        "@dataset('away')\nclass Away(Adding):\n    def prepare(self):\n        raise UsageError('away: gone')\n\n"
        "@dataset('bad')\nclass Bad(Adding):\n    def prepare(self):\n        open('/nowhere/at/all')\n"
    )
    with pytest.raises(UsageError, match=r"^away: gone$"):
        prepare_data(plan(specs(datasets="away"), store))
    with pytest.raises(
        UsageError, match=rf"plugged\.py:{line + 8}: the data of bad cannot be prepared: FileNotFoundError"
    ):
        prepare_data(plan(specs(datasets="bad"), store))


# The suites that ship


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_are_possible_and_cut_sequences_at_scale_tiny_too(name, store):
    for scale in ("tiny", "laptop"):
        planned = plan(load_suite(name).expand(scale), store)
        assert {p.spec.cell[:2] for p in planned if p.unsupported} <= {("eprop", "lstm"), ("eprop", "rnn")}
    for rule, dataset in ((s.rule, s.dataset) for s in load_suite(name).expand("tiny")):
        assert rule.options.get("window", 1) < dataset.options.get("steps", STEPS.get(dataset.name, 28))
        ends_a_series = rule.label.removeprefix("fptt-").partition("-")[0] == "K1"
        assert rule.options.get("parts") != 1 or ends_a_series, "K = 1 is the end of a series over K"


def test_a_machine_without_a_gpu_plans_runs_on_one_and_makes_none(specs, store, monkeypatch):
    """Cells are built on the processor: a submit node has no GPU, and no CUDA context may run beside a measurement."""
    import torch

    from throughtime.harness.build import build

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_gpu = [spec.model_copy(update={"device": "cuda"}) for spec in specs("bptt, s_tllr", "lif, ltc")]
    planned = plan(on_gpu, store)
    assert {p.spec.device for p in planned} == {"cuda"} and len(planned) == 12
    assert {p.spec.rule.name for p in planned if p.unsupported} == {"s_tllr"}, "the rule was asked"
    with pytest.raises(UsageError, match="device cuda: not available"):
        build(on_gpu[0])
