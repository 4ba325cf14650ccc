"""The trials of a suite's tuning: an equal number for each cell, and errors with their places."""

from __future__ import annotations

import pytest

from throughtime.errors import UsageError

RULES = {3: "rules: [bptt, {name: fptt, label: ours}]"}


def trials(suite, scale="laptop"):
    """Values of all trials, by the labels of rule and neuron."""
    return {
        (cell.rule.label, cell.neuron.label): [trial.values for trial in cell_trials]
        for cell, cell_trials in zip(suite.cells[scale], suite.trials[scale], strict=True)
    }


def test_each_cell_tries_all_values_of_its_options(suite):
    tune = "tune: {options: {training.learning_rate: [1e-3, 1e-2], lif.tau: [5.0, 10.0]}, trials: 2}"
    by_cell = trials(suite({7: tune}))
    assert by_cell["bptt", "ltc"] == [{"training.learning_rate": 1e-3}, {"training.learning_rate": 1e-2}]
    lif_trials = by_cell["bptt", "lif"]
    assert len(lif_trials) == 2, "an equal budget, though lif has four combinations"
    assert all(values.keys() == {"training.learning_rate", "lif.tau"} for values in lif_trials)
    assert by_cell["fptt", "lif"] == lif_trials, "rules try the same values"


def test_the_budget_is_that_of_the_cell_with_the_fewest_combinations(suite):
    result = suite({**RULES, 7: "tune: {options: {training.epochs: [1, 2, 3], ours.alpha: [0.1, 0.5]}}"})
    assert {len(cell_trials) for cell_trials in trials(result).values()} == {3}
    assert {len(cell_trials) for cell_trials in trials(result, "tiny").values()} == {3}
    assert suite().trials["laptop"] == []


def test_a_trial_has_what_overrides_set_for_its_cell(suite):
    overrides = {8: "overrides:", 9: "  - {when: {rule: fptt}, training: {batch: 5}}"}
    result = suite({7: "tune: {options: {training.epochs: [2, 3]}}", **overrides})
    batches = {
        (t.cell.rule.label, t.cell.training.batch) for cell_trials in result.trials["laptop"] for t in cell_trials
    }
    assert {batch for rule, batch in batches if rule == "fptt"} == {5}
    assert 5 not in {batch for rule, batch in batches if rule != "fptt"}


def test_the_runs_of_a_trial_have_its_values_a_label_and_seeds_of_their_own(suite):
    result = suite(
        {**RULES, 7: "tune: {options: {training.epochs: [2], ours.alpha: [0.5]}, replicates: 2}", 8: "seed: 4"}
    )
    (trial,) = result.trials["laptop"][1]
    first, second = result.runs_of_trial("laptop", trial)
    assert (first.suite, first.label) == ("quick-tune", "ours epochs=2 alpha=0.5 lif digits #0")
    assert (first.rule.options["alpha"], first.training.epochs, first.passes) == (0.5, 2, ["train"])
    assert (first.seed, second.seed, second.replicate) == (5, 5, 1)
    assert first.trial == {"training.epochs": 2, "ours.alpha": 0.5}
    assert {run.seed for run in result.expand("laptop")} == {4}, "the runs have fresh seeds"


def test_an_id_does_not_depend_on_the_sign_of_zero(suite):
    ids = [suite({7: f"training: {{weight_decay: {zero}}}"}).expand("tiny")[0].id({}) for zero in ("0.0", "-0.0")]
    assert ids[0] == ids[1]


def test_an_id_does_not_depend_on_how_its_values_were_chosen(suite):
    result = suite({7: "tune: {options: {training.epochs: [10, 11]}}"})
    (run, *_) = result.runs_of("laptop", result.trials["laptop"][0][0].cell)
    assert run.id({}) == result.expand("laptop")[0].id({}), "ten epochs are the default"


WRONG = {
    "option": ("{options: {training.epohcs: [1]}}", "7:36", 'unknown key "epohcs"'),
    "name": ("{options: {rules.alpha: [1]}}", "7:31", 'no option "rules.alpha" in the suite'),
    "no part": ("{options: {fptt: [1]}}", "7:24", 'no option "fptt" in the suite'),
    "value": ("{options: {training.epochs: [1, 0]}}", "7:39", '"epochs" should be greater than 0, not 0'),
    "component's value": ("{options: {fptt.alpha: [1, -1]}}", "7:34", 'fptt: "alpha" should be greater than 0, not -1'),
    "component's option": ("{options: {bptt.alpha: [1]}}", "7:31", 'bptt: unknown key "alpha"'),
    "repeated value": (
        "{options: {training.learning_rate: [1e-3, 1e-2, 0.001]}}",
        "7:55",
        '"training.learning_rate" repeats the value 0.001',
    ),
    "option of a rule and of all rules": (
        "{options: {fptt.alpha: [1, 2], rule.alpha: [3, 4]}}",
        "7:50",
        '"rule.alpha" is the option of "fptt.alpha", too',
    ),
    "budget": (
        "{options: {training.epochs: [1, 2]}, trials: 3}",
        "7:52",
        "the cell bptt x lif x recurrent x digits has 2 combinations, fewer than 3 trials",
    ),
    "nothing": ("{options: {}}", "7:17", None),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_tuning_is_refused_with_its_place(case, suite, tmp_path):
    text, where, what = WRONG[case]
    with pytest.raises(UsageError) as caught:
        suite({7: f"tune: {text}"})
    assert caught.value.where == f"{tmp_path / 's.yaml'}:{where}"
    assert what is None or caught.value.what == what


def test_a_label_under_tuning_may_contain_a_dot(suite):
    result = suite({3: "rules: [{name: fptt, label: fptt-0.5}]", 7: "tune: {options: {fptt-0.5.alpha: [0.5, 1.0]}}"})
    assert trials(result)["fptt-0.5", "lif"] == [{"fptt-0.5.alpha": 0.5}, {"fptt-0.5.alpha": 1.0}]


def test_a_tuning_needs_training(suite):
    with pytest.raises(UsageError, match='"tune" needs the pass "train"'):
        suite({7: "tune: {options: {training.epochs: [1]}}", 8: "passes: [memory]"})


@pytest.mark.parametrize(
    "written, values",
    [
        ("{from: 1e-4, to: 1e-2, steps: 5, scale: log}", [1e-4, 3.162e-4, 1e-3, 3.162e-3, 1e-2]),
        ("{from: 1e-2, to: 1e-4, steps: 3, scale: log}", [1e-2, 1e-3, 1e-4]),
        ("{from: 0.001, to: 0.004, steps: 4}", [0.001, 0.002, 0.003, 0.004]),
        ("{from: 0.3, to: 0.7, steps: 2, scale: linear}", [0.3, 0.7]),
    ],
)
def test_a_range_is_the_list_of_its_values(written, values, suite):
    result = suite({7: f"tune: {{options: {{training.learning_rate: {written}}}}}"})
    tried = [trial["training.learning_rate"] for trial in trials(result)["bptt", "lif"]]
    assert tried == values and tried[0] == values[0] and tried[-1] == values[-1]


def test_a_range_of_whole_numbers_has_whole_numbers(suite):
    result = suite({7: "tune: {options: {training.epochs: {from: 1, to: 64, steps: 4, scale: log}}}"})
    tried = [trial["training.epochs"] for trial in trials(result)["bptt", "lif"]]
    assert tried == [1, 4, 16, 64] and all(isinstance(value, int) for value in tried)


@pytest.mark.parametrize(
    "written, what",
    [
        ("{from: 1, to: 2}", '"steps" is missing'),
        ("{from: 1, to: 2, step: 3}", '"step" is no key of a range'),
        ("{from: 1, to: 2, steps: 1}", '"steps" input should be greater than or equal to 2'),
        ("{from: 1, to: 3, steps: 4}", "4 steps from 1 to 3 repeat a value"),
        (f"{{from: 1, to: 1{'0' * 400}, steps: 3, scale: log}}", "a range needs ends of at most 1e+100"),
        ("{from: 0, to: 3, steps: 3, scale: log}", "a range with scale: log needs ends above 0"),
    ],
)
def test_a_wrong_range_is_refused_with_its_place(written, what, suite, tmp_path):
    with pytest.raises(UsageError) as caught:
        suite({7: f"tune: {{options: {{training.epochs: {written}}}}}"})
    assert what in caught.value.what and '"training.epochs"' in caught.value.what
    assert caught.value.where == f"{tmp_path / 's.yaml'}:7:35"
