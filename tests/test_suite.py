"""Suites, worked by hand on components that do nothing."""

from typing import Literal

import pytest
from pydantic import PositiveFloat, PositiveInt

from throughtime import registry
from throughtime.errors import UsageError
from throughtime.spec import RunSpec
from throughtime.suite import load_suite, suite_names, suite_summary


class BPTT:
    pass


class TBPTT:
    def __init__(self, *, window: PositiveInt = 10, loss_at: Literal["end", "every"] = "end"):
        pass


class FPTT:
    def __init__(self, *, parts: PositiveInt | None = None, alpha: PositiveFloat = 1):
        pass


class LIF:
    def __init__(self, size, *, tau: PositiveFloat = 20.0):
        pass


class LTC:
    def __init__(self, size):
        pass


class Recurrent:
    def __init__(self, inputs, outputs, neuron, *, hidden: list[PositiveInt] = (64,)):
        pass


class Digits:
    def __init__(self, *, steps: PositiveInt = 64):
        pass


class Adding:
    def __init__(self, *, steps: PositiveInt = 100):
        pass


@pytest.fixture(autouse=True)
def components(monkeypatch):
    """The registries hold these and no others; afterwards they are as before."""
    for each in registry.REGISTRIES.values():
        monkeypatch.setattr(each, "_components", {})
        monkeypatch.setattr(each, "_loaded", True)
    for name, rule in {"bptt": BPTT, "tbptt": TBPTT, "fptt": FPTT}.items():
        registry.algorithm(name)(rule)
    for name, neuron in {"lif": LIF, "ltc": LTC}.items():
        registry.neuron(name)(neuron)
    registry.network("recurrent")(Recurrent)
    for name, dataset in {"digits": Digits, "adding": Adding}.items():
        registry.dataset(name)(dataset)


BASE = """\
suite: quick
summary: one line
rules: [bptt, fptt]
neurons: [lif, ltc]
datasets: [digits]
scales: {tiny: {}, laptop: {}, paper: {}}
"""


@pytest.fixture
def suite(tmp_path):
    """Load BASE with lines replaced (1: the first) or added (from 7 on)."""

    def load(changes=None):
        lines = dict(enumerate(BASE.splitlines(), 1)) | (changes or {})
        path = tmp_path / "s.yaml"
        path.write_text("\n".join(lines[number] for number in sorted(lines)), encoding="utf-8")
        return load_suite(path)

    return load


def labels(suite, scale="laptop"):
    return [run.label for run in suite.expand(scale)]


# What a suite means


def test_the_shortest_suite_has_all_defaults(suite):
    first = suite().expand("laptop")[0]
    assert first.model_dump() == {
        "suite": "quick",
        "scale": "laptop",
        "rule": {"name": "bptt", "options": {}, "label": "bptt"},
        "neuron": {"name": "lif", "options": {"tau": 20.0}, "label": "lif"},
        "network": {"name": "recurrent", "options": {"hidden": [64]}, "label": "recurrent"},
        "dataset": {"name": "digits", "options": {"steps": 64}, "label": "digits"},
        "training": {
            "epochs": 10,
            "batch": 64,
            "optimiser": "adam",
            "learning_rate": 1e-3,
            "schedule": "constant",
            "clip": 1.0,
            "alignment": [],
        },
        "passes": ["train", "time", "memory", "bytes"],
        "replicate": 0,
        "seed": 0,
        "threads": 1,
    }


def test_runs_come_by_dataset_network_neuron_rule_replicate(suite):
    nets = "networks: [recurrent, {name: recurrent, hidden: [8, 8], label: deep}]"
    s = suite({4: "neurons: [ltc, lif]", 5: "datasets: [digits, adding]", 7: nets, 8: "replicates: 2"})
    assert labels(s) == [
        f"{rule} {neuron}{network} {dataset} #{replicate}"
        for dataset in ("digits", "adding")
        for network in ("", " deep")
        for neuron in ("ltc", "lif")
        for rule in ("bptt", "fptt")
        for replicate in (0, 1)
    ]


def test_every_run_passes_the_strict_model_and_goes_through_json(suite):
    runs = suite({7: "replicates: 2", 8: "training: {clip: null, learning_rate: 1e-2}"}).expand("paper")
    assert [RunSpec.model_validate_json(run.model_dump_json()) for run in runs] == runs
    assert {run.training.clip for run in runs} == {None}
    assert {run.training.learning_rate for run in runs} == {0.01}


def test_one_component_twice_is_told_apart_by_its_label(suite):
    s = suite({3: "rules: [{name: tbptt, window: 16}, {name: tbptt, window: 8, label: tbptt-8}]", 4: "neurons: [lif]"})
    assert [(run.rule.label, run.rule.name, run.rule.options["window"]) for run in s.expand("tiny")] == [
        ("tbptt", "tbptt", 16),
        ("tbptt-8", "tbptt", 8),
    ]


def test_passes_come_in_one_order(suite):
    assert suite({7: "passes: [memory, train]"}).expand("tiny")[0].passes == ["train", "memory"]


def test_exclude_takes_cells_out(suite):
    s = suite({7: "exclude: [{rule: fptt, neuron: [ltc]}]"})
    assert labels(s) == ["bptt lif digits #0", "fptt lif digits #0", "bptt ltc digits #0"]


def test_excludes_may_overlap(suite):
    s = suite({7: "exclude: [{rule: fptt}, {rule: [fptt, bptt], neuron: ltc}]"})
    assert labels(s) == ["bptt lif digits #0"]


def test_include_adds_whole_cells_at_the_end(suite):
    s = suite({7: "include: [{rule: tbptt, neuron: ltc, dataset: {name: adding, steps: 400, label: adding-400}}]"})
    assert labels(s)[-2:] == ["fptt ltc digits #0", "tbptt ltc adding-400 #0"]
    last = s.expand("tiny")[-1]
    assert (last.dataset.options, last.rule.options["window"]) == ({"steps": 400}, 10)


def test_include_brings_an_excluded_cell_back(suite):
    s = suite({7: "exclude: [{rule: fptt}]", 8: "include: [{rule: fptt, neuron: lif, dataset: digits}]"})
    assert labels(s) == ["bptt lif digits #0", "bptt ltc digits #0", "fptt lif digits #0"]


def test_a_text_in_include_is_a_label_of_the_suite(suite):
    s = suite(
        {
            3: "rules: [{name: tbptt, window: 3}]",
            7: "networks: [{name: recurrent, hidden: [7]}]",
            8: "include: [{rule: tbptt, neuron: lif, dataset: adding}]",
        }
    )
    last = s.expand("tiny")[-1]
    assert (last.rule.options["window"], last.network.options["hidden"]) == (3, [7])


def test_overrides_change_matching_cells_and_the_later_wins(suite):
    s = suite(
        {
            7: "training: {epochs: 2, batch: 8}",
            8: "overrides:",
            9: "  - {when: {rule: fptt}, training: {epochs: 4, clip: null}, rule: {parts: 16, alpha: 0.5}}",
            10: "  - {when: {rule: fptt, neuron: ltc}, training: {epochs: 5}, rule: {parts: 32}}",
            11: "  - {dataset: {steps: 9}}",
        }
    )
    found = {
        run.cell[:2]: (run.training.epochs, run.training.batch, run.training.clip, run.rule.options.get("parts"))
        for run in s.expand("laptop")
    }
    assert found == {
        ("bptt", "lif"): (2, 8, 1.0, None),
        ("fptt", "lif"): (4, 8, None, 16),
        ("bptt", "ltc"): (2, 8, 1.0, None),
        ("fptt", "ltc"): (5, 8, None, 32),
    }
    assert {run.dataset.options["steps"] for run in s.expand("laptop")} == {9}
    assert {run.rule.options["alpha"] for run in s.expand("laptop") if run.rule.name == "fptt"} == {0.5}


def test_an_override_reaches_included_cells(suite):
    s = suite(
        {
            7: "include: [{rule: tbptt, neuron: lif, dataset: digits}]",
            8: "overrides: [{when: {rule: tbptt}, training: {epochs: 3}}]",
        }
    )
    assert [run.training.epochs for run in s.expand("tiny")] == [10, 10, 10, 10, 3]


def test_a_scale_replaces_lists_merges_training_and_appends_overrides(suite):
    s = suite(
        {
            6: "scales:",
            7: "  tiny: {rules: [tbptt], replicates: 2, training: {epochs: 1}, overrides: [{rule: {window: 3}}]}",
            8: "  laptop: {}",
            9: "  paper: {training: {epochs: 100}, exclude: [], seed: 5, threads: 2, passes: [train]}",
            10: "training: {epochs: 10, batch: 8}",
            11: "exclude: [{neuron: ltc}]",
            12: "overrides: [{when: {neuron: lif}, training: {learning_rate: 0.5}}]",
        }
    )
    tiny, laptop, paper = (s.expand(scale) for scale in ("tiny", "laptop", "paper"))
    assert [run.label for run in tiny] == ["tbptt lif digits #0", "tbptt lif digits #1"]
    assert (tiny[0].training.epochs, tiny[0].training.batch, tiny[0].training.learning_rate) == (1, 8, 0.5)
    assert tiny[0].rule.options["window"] == 3
    assert [run.label for run in laptop] == ["bptt lif digits #0", "fptt lif digits #0"]
    assert (laptop[0].training.epochs, laptop[0].seed, laptop[0].threads) == (10, 0, 1)
    assert len(paper) == 4
    assert (paper[0].training.epochs, paper[0].seed, paper[0].threads, paper[0].passes) == (100, 5, 2, ["train"])


def test_a_pattern_of_the_suite_may_be_without_effect_at_a_scale(suite):
    s = suite({6: "scales: {tiny: {rules: [bptt]}, laptop: {}, paper: {}}", 7: "exclude: [{rule: fptt, neuron: ltc}]"})
    assert [len(s.expand(scale)) for scale in ("tiny", "laptop", "paper")] == [2, 3, 3]


def test_the_same_labels_with_other_training_are_two_cells(suite):
    s = suite(
        {
            3: "rules: [bptt, {name: bptt, label: slow}]",
            7: "overrides: [{when: {rule: slow}, training: {learning_rate: 1e-4}}]",
        }
    )
    assert len(s.expand("tiny")) == 4


def test_a_hundred_thousand_runs(suite):
    rules = ", ".join(f"{{name: tbptt, window: {n}, label: t{n}}}" for n in range(1, 26))
    tasks = ", ".join(f"{{name: adding, steps: {n}, label: a{n}}}" for n in range(1, 21))
    runs = suite({3: f"rules: [{rules}]", 5: f"datasets: [{tasks}]", 7: "replicates: 100"}).expand("paper")
    assert len(runs) == 25 * 2 * 20 * 100
    assert len({run.label for run in runs}) == len(runs)
    assert runs[-1].label == "t25 ltc a20 #99"


# What is refused


WRONG = {
    "unknown key": ({7: "replicate: 3"}, "7:1", 'unknown key "replicate"', 'did you mean "replicates"?'),
    "misspelt key": ({3: "ruels: [bptt]"}, "3:1", 'unknown key "ruels"', 'did you mean "rules"?'),
    "missing key": ({3: "# no rules"}, "1:1", '"rules" is missing', None),
    "repeated key": ({7: "rules: [bptt]"}, "7:1", 'the key "rules" is repeated', "it is first given in line 3"),
    "empty list": ({3: "rules: []"}, "3:8", '"rules" should have at least one item, not []', None),
    "no list": ({3: "rules: bptt"}, "3:8", '"rules" should be a list, not "bptt"', None),
    "null": ({7: "exclude:"}, "7:9", '"exclude" should be a list, not null', None),
    "name": ({1: "suite: Quick!"}, "1:8", '"suite" should match pattern \'^[a-z0-9_-]+$\', not "Quick!"', None),
    "text for a number": ({7: "replicates: three"}, "7:13", '"replicates" should be a whole number, not "three"', None),
    "zero": ({7: "replicates: 0"}, "7:13", '"replicates" should be greater than 0, not 0', None),
    "quoted": (
        {7: 'training: {learning_rate: "1e-3"}'},
        "7:27",
        '"learning_rate" should be a number, not "1e-3"',
        None,
    ),
    "infinite": (
        {7: "training: {clip: .inf}"},
        "7:18",
        '"clip" should be a finite number, not Infinity',
        None,
    ),
    "choice": (
        {7: "training: {optimiser: adm}"},
        "7:23",
        "\"optimiser\" should be 'adam', 'adamax' or 'sgd', not \"adm\"",
        None,
    ),
    "key in training": ({7: "training: {epohcs: 3}"}, "7:12", 'unknown key "epohcs"', 'did you mean "epochs"?'),
    "pass": ({7: "passes: [tarin]"}, "7:10", None, None),
    "unknown component": ({4: "neurons: [lif, ltcc]"}, "4:16", 'no "ltcc" among the neurons', 'did you mean "ltc"?'),
    "unknown name in a mapping": (
        {3: "rules: [{name: bppt}]"},
        "3:16",
        'no "bppt" among the algorithms',
        'did you mean "bptt"?',
    ),
    "component without a name": ({3: "rules: [{window: 3}]"}, "3:9", '"name" is missing', None),
    "label of two words": ({3: "rules: [{name: bptt, label: a b}]"}, "3:29", None, None),
    "unknown option": (
        {3: "rules: [{name: fptt, part: 3}]"},
        "3:22",
        'fptt: unknown key "part"',
        'did you mean "parts"?',
    ),
    "no options at all": ({4: "neurons: [{name: ltc, tau: 3}]"}, "4:23", 'ltc: unknown key "tau"', "there is none"),
    "option's value": (
        {5: "datasets: [{name: digits, steps: -5}]"},
        "5:34",
        'digits: "steps" should be greater than 0, not -5',
        None,
    ),
    "value in a list": (
        {7: "networks: [{name: recurrent, hidden: [64, 0]}]"},
        "7:43",
        'recurrent: item 2 of "hidden" should be greater than 0, not 0',
        None,
    ),
    "option's choice": (
        {3: "rules: [{name: tbptt, loss_at: start}]"},
        "3:32",
        "tbptt: \"loss_at\" should be 'end' or 'every', not \"start\"",
        None,
    ),
    "twice": ({3: "rules: [bptt, bptt]"}, "3:15", 'the rule "bptt" comes twice', "tell one apart with `label:`"),
    "one label": (
        {3: "rules: [{name: tbptt, window: 2}, {name: tbptt, window: 3}]"},
        "3:35",
        'the rule "tbptt" comes twice',
        "tell one apart with `label:`",
    ),
    "missing scale": ({6: "scales: {tiny: {}, laptop: {}}"}, "6:9", '"paper" is missing', None),
    "unknown scale": (
        {6: "scales: {tiny: {}, laptop: {}, paper: {}, laptp: {}}"},
        "6:43",
        'unknown key "laptp"',
        'did you mean "laptop"?',
    ),
    "key that no scale may change": (
        {6: "scales: {tiny: {suite: x}, laptop: {}, paper: {}}"},
        "6:17",
        'unknown key "suite"',
        None,
    ),
    "value in a scale": (
        {6: "scales: {tiny: {}, laptop: {}, paper: {rules: [{name: tbptt, window: 0}]}}"},
        "6:70",
        'tbptt: "window" should be greater than 0, not 0',
        None,
    ),
    "excluded label": (
        {7: "exclude: [{rule: bptt, neuron: [lif, ltcc]}]"},
        "7:38",
        'no neuron "ltcc" in the suite',
        'did you mean "ltc"?',
    ),
    "excluded label, alone": ({7: "exclude: [{rule: fpt}]"}, "7:18", 'no rule "fpt" in the suite', None),
    "key of an exclude": ({7: "exclude: [{rules: fptt}]"}, "7:12", 'unknown key "rules"', 'did you mean "rule"?'),
    "exclude of nothing": (
        {7: "include: [{rule: tbptt, neuron: lif, dataset: digits}]", 8: "exclude: [{rule: tbptt}]"},
        "8:11",
        "this matches no cell",
        None,
    ),
    "exclude of everything": (
        {7: "exclude: [{}]"},
        "7:11",
        "this excludes everything; name at least one of rule, neuron, network, dataset",
        None,
    ),
    "all excluded": (
        {7: "exclude: [{rule: bptt}, {neuron: [lif, ltc]}]"},
        "7:10",
        'every cell is excluded at the scale "tiny"',
        None,
    ),
    "overridden label": (
        {7: "overrides: [{when: {dataset: digit}, training: {epochs: 1}}]"},
        "7:30",
        'no dataset "digit" in the suite',
        'did you mean "digits"?',
    ),
    "override of nothing": (
        {7: "exclude: [{rule: fptt}]", 8: "overrides:", 9: "  - when: {rule: fptt}"},
        "9:11",
        "this matches no cell",
        None,
    ),
    "override in a scale": (
        {6: "scales: {laptop: {}, paper: {}, tiny: {overrides: [{when: {rule: tbptt}}]}}"},
        "6:66",
        'no rule "tbptt" in the suite',
        None,
    ),
    "overriding option": (
        {7: "overrides:", 8: "  - {when: {rule: fptt}, rule: {part: 3}}"},
        "8:33",
        'fptt: unknown key "part"',
        'did you mean "parts"?',
    ),
    "option of only some": (
        {7: "overrides:", 8: "  - {when: {neuron: lif}, rule: {parts: 3}}"},
        "8:34",
        'bptt: unknown key "parts"',
        "there is none",
    ),
    "overriding value": (
        {7: "overrides:", 8: "  - rule: {alpha: -1}", 9: "    when: {rule: fptt}"},
        "8:19",
        'fptt: "alpha" should be greater than 0, not -1',
        None,
    ),
    "identical cells": (
        {3: "rules: [bptt, {name: bptt, label: same}]"},
        "3:15",
        "the cells bptt x lif x recurrent x digits and same x lif x recurrent x digits have the same options and "
        "training",
        None,
    ),
    "included twice": (
        {7: "include: [{rule: bptt, neuron: lif, dataset: digits}]"},
        "7:11",
        "the cell bptt x lif x recurrent x digits comes twice",
        None,
    ),
    "included under a taken label": (
        {7: "include: [{rule: bptt, neuron: lif, dataset: {name: digits, steps: 3}}]"},
        "7:46",
        'the dataset "digits" has other options',
        "tell this one apart with `label:`",
    ),
    "included unknown": (
        {7: "include: [{rule: bptt, neuron: lif, dataset: digit}]"},
        "7:46",
        'no "digit" among the datasets',
        'did you mean "digits"?',
    ),
    "included without a network": (
        {
            7: "networks: [recurrent, {name: recurrent, hidden: [8], label: small}]",
            8: "include:",
            9: "  - {rule: tbptt, neuron: lif, dataset: digits}",
        },
        "9:5",
        '"network" is missing',
        "the suite has several: recurrent, small",
    ),
    "included without a rule": ({7: "include: [{neuron: lif, dataset: digits}]"}, "7:11", '"rule" is missing', None),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_its_place(case, suite, tmp_path):
    changes, where, what, hint = WRONG[case]
    with pytest.raises(UsageError) as caught:
        suite(changes)
    error = caught.value
    assert error.where == f"{tmp_path / 's.yaml'}:{where}"
    if what is not None:
        assert error.what == what
    if hint is not None:
        assert error.hint == hint


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "e.yaml").write_text("")
    with pytest.raises(UsageError, match="the file is empty"):
        load_suite(tmp_path / "e.yaml")


def test_an_unknown_scale_is_refused(suite):
    with pytest.raises(UsageError, match='no scale "papre"\n  did you mean "paper"'):
        suite().expand("papre")


def test_shipped_suites_are_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "quick.yaml").write_text(BASE)
    (tmp_path / "suites" / "__init__.py").write_text("")
    (tmp_path / "reports" / "fptt").mkdir(parents=True)
    (tmp_path / "reports" / "fptt" / "suite.yaml").write_text(BASE.replace("one line", "a paper"))
    (tmp_path / "reports" / "tables.py").write_text("")
    monkeypatch.setattr("throughtime.suite.resources.files", lambda package: tmp_path / package.rpartition(".")[2])
    assert suite_names() == ["fptt", "quick"]
    assert [suite_summary(name) for name in suite_names()] == ["a paper", "one line"]
    assert load_suite("quick").name == "quick"
    with pytest.raises(UsageError, match='no suite "quikc"\n  did you mean "quick"'):
        load_suite("quikc")
    with pytest.raises(UsageError, match=r"^quick\.yml: the file cannot be read"):
        load_suite("quick.yml")
