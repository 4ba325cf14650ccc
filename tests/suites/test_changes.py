"""Changes of a suite from outside its file."""

import pytest

from throughtime.errors import UsageError
from throughtime.suites.suite import load_suite


def test_a_label_may_contain_a_dot(suite, tmp_path):
    suite({3: "rules: [{name: fptt, label: fptt-0.5}]"})
    changed = load_suite(tmp_path / "s.yaml", "tiny", ["fptt-0.5.parts=3"])
    assert {run.rule.options["parts"] for run in changed.expand("tiny")} == {3}


def test_an_option_is_changed_after_the_list_that_adds_its_component(suite, tmp_path):
    suite()
    changed = load_suite(tmp_path / "s.yaml", "tiny", ["tbptt.window=3", "rules=[tbptt]"])
    assert {run.rule.options["window"] for run in changed.expand("tiny")} == {3}


def test_a_value_under_tuning_is_changed_only_without_the_tuning(suite, tmp_path):
    suite({7: "tune: {options: {training.epochs: [1, 2]}}"})
    with pytest.raises(UsageError, match=r"tuning chooses training\.epochs\n  add --set tune=null"):
        load_suite(tmp_path / "s.yaml", "tiny", ["training.epochs=3"])
    result = load_suite(tmp_path / "s.yaml", "tiny", ["training.epochs=3", "tune=null"])
    assert {run.training.epochs for run in result.expand("tiny")} == {3} and result.trials["tiny"] == []


@pytest.mark.parametrize("tuned, change", [("fptt.parts", "rule.parts=3"), ("rule.parts", "fptt.parts=3")])
def test_a_value_under_tuning_is_not_changed_by_another_name(tuned, change, suite, tmp_path):
    """The value of a trial would come after that of the change."""
    suite({3: "rules: [fptt]", 7: f"tune: {{options: {{{tuned}: [2, 4]}}}}"})
    with pytest.raises(UsageError, match=f"tuning chooses {tuned}"):
        load_suite(tmp_path / "s.yaml", "tiny", [change])
    changed = load_suite(tmp_path / "s.yaml", "tiny", ["fptt.alpha=0.25", "tune=null", change])
    assert {(run.rule.options["parts"], run.rule.options["alpha"]) for run in changed.expand("tiny")} == {(3, 0.25)}


@pytest.mark.parametrize(
    "change, what, hint",
    [
        ("training.learning_rate", "a change has the form NAME=VALUE", None),
        ("training.learning_rate=", "a change has the form NAME=VALUE", None),
        ("training.learning_rate=fast", '"learning_rate" should be a number, not "fast"', None),
        ('training.learning_rate="1e-2"', '"learning_rate" should be a number, not "1e-2"', None),
        ("training.learnign_rate=1", 'unknown key "learnign_rate"', 'did you mean "learning_rate"?'),
        ("trainign.epochs=1", 'no setting "trainign.epochs" in the suite', 'did you mean "training.epochs"?'),
        ("fptt.part=3", 'fptt: unknown key "part"', 'did you mean "parts"?'),
        ("replicate=3", 'no setting "replicate" in the suite', 'did you mean "replicates"?'),
        ("bppt.parts=3", 'no setting "bppt.parts" in the suite', 'did you mean "fptt.parts"?'),
        ("training={epochs: 3}", '"training" is changed in parts', "write training.NAME=VALUE"),
        ("overrides=[]", '"overrides" is changed in parts', None),
        (
            "replicates={",
            "not YAML: while parsing a flow node: did not find expected node content",
            None,
        ),
    ],
)
def test_a_wrong_change_is_reported_like_the_file(change, what, hint, suite, tmp_path):
    suite()
    with pytest.raises(UsageError) as caught:
        load_suite(tmp_path / "s.yaml", "tiny", [change])
    assert (caught.value.what, caught.value.where) == (what, f"--set {change}")
    assert hint is None or caught.value.hint == hint


@pytest.mark.parametrize("changes", [{6: "scales:"}, {6: "scales: [tiny]"}, dict.fromkeys(range(1, 7), "- x")])
def test_a_file_of_another_form_is_reported_as_without_a_change(changes, suite, tmp_path):
    with pytest.raises(UsageError) as without:
        suite(changes)
    with pytest.raises(UsageError) as caught:
        load_suite(tmp_path / "s.yaml", "tiny", ["training.epochs=1"])
    assert str(caught.value) == str(without.value)
