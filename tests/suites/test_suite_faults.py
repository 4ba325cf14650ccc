"""Errors in a suite are reported with file, line, column and the nearest valid name."""

import pytest

from throughtime.errors import UsageError
from throughtime.suites.suite import load_suite

WRONG = {
    "unknown key": ({7: "replicate: 3"}, "7:1", 'unknown key "replicate"', 'did you mean "replicates"?'),
    "misspelt key": ({3: "ruels: [bptt]"}, "3:1", 'unknown key "ruels"', 'did you mean "rules"?'),
    "missing key": ({3: "# no rules"}, "1:1", '"rules" is missing', None),
    "repeated key": ({7: "rules: [bptt]"}, "7:1", 'the key "rules" is repeated', "it occurs first in line 3"),
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
        "\"optimiser\" should be 'adam', 'adam_tensorflow', 'adamw', 'adamax' or 'sgd', not \"adm\"",
        None,
    ),
    "precision": (
        {7: "training: {precision: float16}"},
        "7:23",
        "\"precision\" should be 'float32' or 'bfloat16', not \"float16\"",
        None,
    ),
    "key in training": ({7: "training: {epohcs: 3}"}, "7:12", 'unknown key "epohcs"', 'did you mean "epochs"?'),
    "pass": ({7: "passes: [tarin]"}, "7:10", None, None),
    "unknown component": ({4: "neurons: [lif, ltcc]"}, "4:16", 'no "ltcc" among the neurons', 'did you mean "ltc"?'),
    "unknown name in a mapping": (
        {3: "rules: [{name: bppt}]"},
        "3:16",
        'no "bppt" among the rules',
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
    "alignment beyond the last epoch": (
        {7: "training: {epochs: 3, alignment: [0, 3, 4]}"},
        "7:41",
        '"alignment" has epoch 4; at the scale "tiny" the last epoch is 3',
        None,
    ),
    "alignment beyond the epochs of a scale": (
        {6: "scales: {tiny: {}, laptop: {training: {epochs: 2}}, paper: {}}", 7: "training: {alignment: [0, 3]}"},
        "7:27",
        '"alignment" has epoch 3; at the scale "laptop" the last epoch is 2',
        None,
    ),
    "alignment beyond the epochs of an override": (
        {
            7: "training: {alignment: [0, 10]}",
            8: "overrides:",
            9: "  - {when: {rule: bptt}, training: {alignment: [5, 7]}}",
            10: "  - {when: {neuron: ltc}, training: {epochs: 6}}",
            11: "  - {when: {neuron: ltc, rule: fptt}, training: {alignment: []}}",
        },
        "9:52",
        '"alignment" has epoch 7; at the scale "tiny" the last epoch is 6',
        None,
    ),
    "setting of another schedule": (
        {7: "training: {schedule: linear, period: 3}"},
        "7:38",
        '"period" would do nothing without schedule: cosine',
        None,
    ),
    "factor of a constant rate": (
        {7: "training: {factor: 0.5}"},
        "7:20",
        '"factor" would do nothing without schedule: multistep or step',
        None,
    ),
    "momentum of Adam": (
        {7: "training: {momentum: 0.9}"},
        "7:22",
        '"momentum" would do nothing without optimiser: sgd',
        None,
    ),
    "Nesterov without momentum": (
        {7: "training: {optimiser: sgd, nesterov: true}"},
        "7:38",
        '"nesterov" needs "momentum"',
        None,
    ),
    "norm of gradients that are not clipped": (
        {7: "training: {clip: null, norm_in: float64}"},
        "7:33",
        '"norm_in" would do nothing without "clip"',
        None,
    ),
    "mean of more evaluations than epochs": (
        {7: "training: {epochs: 3, mean_of_last: 5}"},
        "7:37",
        '"mean_of_last" exceeds the 3 epochs of the scale "tiny"',
        None,
    ),
    "schedule without its setting": (
        {6: "scales: {tiny: {}, laptop: {training: {schedule: multistep}}, paper: {}}"},
        "6:50",
        'schedule: multistep needs "milestones"',
        None,
    ),
    "milestones in disorder": (
        {7: "training: {schedule: multistep, milestones: [20, 10]}"},
        "7:45",
        '"milestones" must increase',
        None,
    ),
    "epochs of the alignment in disorder": (
        {7: "training: {alignment: [2, 0]}"},
        "7:23",
        '"alignment" must increase',
        None,
    ),
    "no source of weights": ({7: 'training: {initial_weights: ""}'}, "7:29", None, None),
    "weights in another folder": ({7: "training: {initial_weights: ../x}"}, "7:29", None, None),
    "replicates without end": (
        {7: "replicates: 1000000000"},
        "7:13",
        '"replicates" should be less than or equal to 10000, not 1000000000',
        None,
    ),
    "threads without end": (
        {7: "threads: 200000"},
        "7:10",
        '"threads" should be less than or equal to 1024, not 200000',
        None,
    ),
    "unknown device": ({7: "device: gpu"}, "7:9", "\"device\" should be 'cpu' or 'cuda', not \"gpu\"", None),
    "overridden label": (
        {7: "overrides: [{when: {dataset: digit}, training: {epochs: 1}}]"},
        "7:30",
        'no dataset "digit" in the suite',
        'did you mean "digits"?',
    ),
    "pattern without a label": (
        {7: "overrides: [{when: {rule: fptt-*}, training: {epochs: 1}}]"},
        "7:27",
        'no rule "fptt-*" in the suite',
        'did you mean "fptt"?',
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


def test_all_faults_of_a_file_are_reported_by_their_places(suite, tmp_path):
    with pytest.raises(UsageError) as caught:
        suite({3: "rules: [bppt, {name: fptt, part: 3}]", 7: "replicates: 0", 8: "trainign: {epochs: 3}"})
    path = tmp_path / "s.yaml"
    assert str(caught.value).splitlines() == [
        f'{path}:3:9: no "bppt" among the rules',
        '  did you mean "bptt"?',
        f'{path}:3:28: fptt: unknown key "part"',
        '  did you mean "parts"?',
        f'{path}:7:13: "replicates" should be greater than 0, not 0',
        f'{path}:8:1: unknown key "trainign"',
        '  did you mean "training"?',
    ]


def test_faults_of_patterns_and_overrides_are_reported_together(suite, tmp_path):
    with pytest.raises(UsageError) as caught:
        suite({7: "exclude: [{rule: fpt}, {neuron: lfi}]", 8: "overrides: [{when: {dataset: digit}}]"})
    places = [error.where.removeprefix(str(tmp_path / "s.yaml")) for error in caught.value.errors]
    assert places == [":7:18", ":7:33", ":8:30"]
    with pytest.raises(UsageError) as caught:
        suite({7: "overrides:", 8: "  - rule: {alpha: 1}", 9: "  - {when: {rule: fptt}, rule: {parts: 0}}"})
    assert [error.where.partition("s.yaml")[2] for error in caught.value.errors] == [":8:12", ":9:40"]
