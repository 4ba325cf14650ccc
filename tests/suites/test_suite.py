"""Suites, worked by hand on components that do nothing."""

import pytest

from tests.suite_components import BASE, loader
from throughtime.errors import UsageError
from throughtime.spec import RunSpec, Training
from throughtime.suites.schema import ComponentEntry, Include, Override, Scales, SuiteFile, Tune, When
from throughtime.suites.suite import exclusions, load_suite, suite_names, suite_summary


def labels(suite, scale="laptop"):
    return [run.label for run in suite.expand(scale)]


# Meaning of a suite


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
            "patience": None,
            "stop_at": None,
            "batch": 64,
            "drop_last": False,
            "optimiser": "adam",
            "learning_rate": 1e-3,
            "weight_decay": 0.0,
            "momentum": 0.0,
            "nesterov": False,
            "schedule": "constant",
            "period": None,
            "milestones": [],
            "step_size": None,
            "factor": None,
            "clip": 1.0,
            "norm_in": "float32",
            "precision": "float32",
            "mean_of_last": 1,
            "initial_weights": None,
            "alignment": [],
        },
        "passes": ["train", "time", "memory", "bytes"],
        "replicate": 0,
        "seed": 0,
        "threads": 1,
        "device": "cpu",
        "keep_weights": False,
        "trial": {},
        "tuning": None,
        "initial_weights": None,
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


@pytest.mark.parametrize("scale", ["tiny", "laptop", "paper"])
def test_each_cell_that_a_suite_leaves_out_has_a_reason(scale):
    """Tables and the page show it."""
    left_out = [(name, pattern) for name in suite_names() for pattern in exclusions(name, scale)]
    assert len(left_out) > 30 and [name for name, pattern in left_out if not pattern.reason] == []


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
    result = {
        run.cell[:2]: (run.training.epochs, run.training.batch, run.training.clip, run.rule.options.get("parts"))
        for run in s.expand("laptop")
    }
    assert result == {
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


def test_a_pattern_matches_labels_and_a_label_with_brackets_matches_itself(suite):
    s = suite(
        {
            3: "rules: [bptt, {name: tbptt, label: tbptt-2}, {name: tbptt, label: 'tbptt-[3]'}]",
            7: "exclude: [{rule: 'tbptt-*', neuron: 'lt?'}]",
            8: "overrides:",
            9: "  - {when: {rule: 'tbptt-*'}, training: {epochs: 3}}",
            10: "  - {when: {rule: 'tbptt-[3]'}, training: {epochs: 4}}",
        }
    )
    epochs = {(run.rule.label, run.neuron.label): run.training.epochs for run in s.expand("tiny")}
    assert epochs == {("bptt", "lif"): 10, ("bptt", "ltc"): 10, ("tbptt-2", "lif"): 3, ("tbptt-[3]", "lif"): 4}


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


def test_shipped_suites_are_found_by_name(tmp_path, monkeypatch):
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "quick.yaml").write_text(BASE)
    (tmp_path / "suites" / "__init__.py").write_text("")
    (tmp_path / "reports" / "fptt" / "suites").mkdir(parents=True)
    (tmp_path / "reports" / "fptt" / "suites" / "fptt.yaml").write_text(BASE.replace("one line", "a paper"))
    (tmp_path / "reports" / "fptt" / "targets.yaml").touch()
    (tmp_path / "reports" / "tables.py").write_text("")
    monkeypatch.setattr(
        "throughtime.suites.suite.resources.files", lambda package: tmp_path / package.rpartition(".")[2]
    )
    assert suite_names() == ["fptt", "quick"]
    assert [suite_summary(name) for name in suite_names()] == ["a paper", "one line"]
    assert load_suite("quick").name == "quick"
    with pytest.raises(UsageError, match='no suite "quikc"\n  did you mean "quick"'):
        load_suite("quikc")
    with pytest.raises(UsageError, match=r"^quick\.yml: the file cannot be read"):
        load_suite("quick.yml")


# A suite without its optional keys, and changes from outside its file


def test_a_suite_needs_neither_summary_nor_scales(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("suite: s\nrules: [bptt]\nneurons: [lif]\ndatasets: [digits]\nscales: {paper: {replicates: 3}}\n")
    result = load_suite(path)
    assert result.summary == ""
    assert [len(result.expand(scale)) for scale in ("tiny", "laptop", "paper")] == [1, 1, 3]
    path.write_text("suite: s\nrules: [bptt]\nneurons: [lif]\ndatasets: [digits]\n")
    assert len(load_suite(path).expand("laptop")) == 1


OVERRIDDEN = {
    3: "rules: [tbptt, fptt]",
    6: "scales: {tiny: {training: {epochs: 1}, overrides: [{rule: {}, training: {epochs: 2}}]}}",
    7: "overrides: [{when: {rule: tbptt}, rule: {window: 5}, training: {epochs: 3}}]",
}


@pytest.mark.parametrize(
    "change, value",
    [
        ("training.epochs=7", lambda run: run.training.epochs == 7),
        ("training.learning_rate=1e-2", lambda run: run.training.learning_rate == 0.01),
        ("dataset.steps=8", lambda run: run.dataset.options["steps"] == 8),
        ("fptt.alpha=0.5", lambda run: run.rule.name != "fptt" or run.rule.options["alpha"] == 0.5),
        ("tbptt.window=9", lambda run: run.rule.name != "tbptt" or run.rule.options["window"] == 9),
        ("replicates=2", lambda run: run.replicate in (0, 1)),
        ("passes=[train]", lambda run: run.passes == ["train"]),
        ("rules=[bptt]", lambda run: run.rule.name == "bptt"),
    ],
)
def test_a_change_takes_precedence_over_everything_in_the_file(change, value, tmp_path):
    loader(tmp_path)(OVERRIDDEN)  # without the rules that its patterns name they match no cell
    runs = load_suite(tmp_path / "s.yaml", "tiny", [change]).expand("tiny")
    assert runs and all(map(value, runs))


def test_changes_are_applied_in_order_and_to_one_scale(suite, tmp_path):
    suite()
    changed = load_suite(tmp_path / "s.yaml", "tiny", ["training.epochs=2", "training.epochs=3", "lif.tau=5"])
    assert {run.training.epochs for run in changed.expand("tiny")} == {3}
    assert {run.training.epochs for run in changed.expand("laptop")} == {10}
    assert {run.neuron.options["tau"] for run in changed.expand("tiny") if run.neuron.name == "lif"} == {5.0}


def test_a_change_reaches_a_component_that_only_an_included_cell_has(suite, tmp_path):
    suite({7: "include: [{rule: bptt, neuron: lif, dataset: adding}]"})
    runs = load_suite(tmp_path / "s.yaml", "tiny", ["adding.steps=20"]).expand("tiny")
    assert [run.dataset.options["steps"] for run in runs if run.dataset.name == "adding"] == [20]


@pytest.mark.parametrize("model", [SuiteFile, ComponentEntry, Training, Tune, When, Include, Override, Scales])
def test_every_key_of_a_suite_has_a_description(model):
    assert [name for name, field in model.model_fields.items() if not field.description] == []
