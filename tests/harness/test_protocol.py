"""The protocol of training and evaluation, beyond the facts of `throughtime check harness`."""

from __future__ import annotations

import itertools

import pytest

from throughtime.checks.own.by_hand import CountedSequences, Reports, Script, Sum, mean_square, spec
from throughtime.datasets.task import Metric, Regression
from throughtime.errors import StoppedError
from throughtime.harness.batches import evaluate, learn_batch
from throughtime.harness.build import Built
from throughtime.measuring import energy
from throughtime.passes.passes import train_pass
from throughtime.passes.trained import Trained
from throughtime.passes.trainer import Trainer
from throughtime.records.store import read_curve


def trained(folder, *weights: float, network: Sum | None = None) -> Trained:
    """Train a network through a list of weights, one an epoch."""
    return Trainer(spec(len(weights)), Built(CountedSequences(), network or Sum(), Script(*weights)), folder).train()


def test_a_record_has_the_metric_by_each_protocol(tmp_path):
    """w = 0, −1, 1, 2: the errors on validation are 1, 0, 4 and 9 of S, on test 1, 4, 0 and 1."""
    S = mean_square(2)
    result = train_pass(spec(4), Built(CountedSequences(), Sum(), Script(0.0, -1.0, 1.0, 2.0)), tmp_path)
    expected = {"mse": S, "mse_best_validation": 4 * S, "mse_validation": 0.0, "mse_best_test": 0.0}
    assert {name: result.measures[name].value for name in expected} == pytest.approx(expected)
    assert "epoch 2" in result.measures["mse_validation"].method
    method = result.measures["mse_best_test"].method
    assert "epoch 3" in method and "the authors' protocol" in method
    assert [row["test.mse"] for row in read_curve(tmp_path)] == pytest.approx([S, 4 * S, 0.0, S])


@pytest.mark.parametrize("k, errors", [(1, [1]), (2, [0, 1]), (3, [4, 0, 1]), (4, [1, 4, 0, 1])])
def test_the_result_is_the_mean_of_the_last_evaluations(tmp_path, k, errors):
    """w = 0, −1, 1, 2: the errors on test are 1, 4, 0 and 1 of S; nothing else changes."""
    run, S = spec(4), mean_square(2)
    run = run.model_copy(update={"training": run.training.model_copy(update={"mean_of_last": k})})
    result = train_pass(run, Built(CountedSequences(), Sum(), Script(0.0, -1.0, 1.0, 2.0)), tmp_path)
    expected = {"mse": S * sum(errors) / k, "mse_best_validation": 4 * S, "mse_validation": 0.0, "mse_best_test": 0.0}
    assert {name: result.measures[name].value for name in expected} == pytest.approx(expected)
    what = "weights of the last epoch" if k == 1 else f"mean of the evaluations after the last {k} epochs"
    assert result.measures["mse"].method.endswith(what)


def test_a_record_counts_the_updates_that_clipping_set_to_zero(tmp_path):
    """w = 1, and stays there where the gradient is ±1e20."""
    asks = itertools.count(1)

    def built() -> Built:
        return Built(CountedSequences(), Sum(), Script(1.0, 1e20, -1e20, 0.0))

    with pytest.raises(StoppedError):  # a training that is resumed continues the count
        train_pass(spec(4, clip=2.0), built(), tmp_path, lambda: next(asks) == 5)
    measures = train_pass(spec(4, clip=2.0), built(), tmp_path).measures
    assert measures["zeroed_updates"].value == 2
    assert measures["zeroed_updates"].method.startswith("of 4, ")
    assert [row["test.mse"] for row in read_curve(tmp_path)][:3] == pytest.approx([0.0] * 3)


def test_a_record_without_such_updates_has_no_count(tmp_path):
    result = train_pass(spec(2, clip=2.0), Built(CountedSequences(), Sum(), Script(1.0, 0.0)), tmp_path)
    assert "zeroed_updates" not in result.measures


def test_fewer_epochs_than_evaluations_after_an_early_stop(tmp_path):
    run, S = spec(4), mean_square(2)
    training = run.training.model_copy(update={"mean_of_last": 4, "patience": 1})
    result = train_pass(
        run.model_copy(update={"training": training}),
        Built(CountedSequences(), Sum(), Script(0.0, -1.0, 1.0, 2.0)),
        tmp_path,
    )
    assert result.measures["mse"].value == pytest.approx(S * (1 + 4 + 0) / 3)
    assert "after the last 3 epochs" in result.measures["mse"].method


@pytest.mark.parametrize("patience, epochs", [(1, 3), (2, 4), (None, 4)])
def test_training_stops_early_without_a_better_epoch_on_validation(tmp_path, patience, epochs):
    """The second of four epochs is the best on validation."""
    run = spec(4)
    run = run.model_copy(update={"training": run.training.model_copy(update={"patience": patience})})
    result = train_pass(run, Built(CountedSequences(), Sum(), Script(0.0, -1.0, 1.0, 2.0)), tmp_path)
    trained = result.measures["epochs_trained"]
    assert (trained.value, len(read_curve(tmp_path))) == (epochs, epochs)
    assert ("stopped: none of the last 1 was" in trained.method) == (patience == 1)
    error = {3: 0.0, 4: mean_square(2)}[epochs]
    assert result.measures["mse"].value == pytest.approx(error), "result of the last epoch trained"


@pytest.mark.parametrize("stop_at, epochs", [(1.0, 1), (0.5, 2), (-1.0, 4), (None, 4)])
def test_training_stops_at_a_level_on_validation(tmp_path, stop_at, epochs):
    """The errors on validation are 1, 0, 4 and 9 times S."""
    stop_at = stop_at and stop_at * mean_square(2)
    run = spec(4)
    run = run.model_copy(update={"training": run.training.model_copy(update={"stop_at": stop_at})})
    result = train_pass(run, Built(CountedSequences(), Sum(), Script(0.0, -1.0, 1.0, 2.0)), tmp_path)
    trained = result.measures["epochs_trained"]
    assert (trained.value, len(read_curve(tmp_path))) == (epochs, epochs)
    assert ("mse on the validation split reached" in trained.method) == (epochs < 4)


def test_each_split_has_its_own_targets():
    assert evaluate(Sum(), CountedSequences(), "validation").metrics["mse"] == pytest.approx(9 * mean_square(2) / 4)


def test_the_energy_of_training_is_counted_once(tmp_path, monkeypatch):
    """The counter of the only package rises by 2 J a batch; there are three epochs of one batch."""
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "1000000000"), ("energy_uj", "5000000")):
        (package / name).write_text(text)
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)

    class Heating(Script):
        def begin(self, batch, update):
            super().begin(batch, update)
            joules = int((package / "energy_uj").read_text()) + 2_000_000
            (package / "energy_uj").write_text(str(joules))

    (tmp_path / "run").mkdir()
    result = train_pass(spec(3), Built(CountedSequences(), Sum(), Heating(0.0, 0.0, 0.0)), tmp_path / "run")
    assert result.measures["energy"].value == pytest.approx(6.0)


def test_of_equal_epochs_the_first_is_the_best(tmp_path):
    assert trained(tmp_path, -1.0, -1.0, 0.0).best_epoch == 1


def test_the_last_weights_are_left_in_the_network(tmp_path):
    network = Sum()
    trained(tmp_path, -1.0, 0.25, network=network)
    assert network.w.tolist() == [0.25]


def test_a_loss_of_nothing_is_refused():
    rule = Reports(None, None)
    rule.start(Sum(), Regression(1.0), 2)
    (batch,) = CountedSequences().batches("train", 3)
    with pytest.raises(ValueError, match="returned no loss"):
        learn_batch(rule, batch, lambda: None)


def test_a_meter_computes_the_metrics_that_the_task_names():
    class Forgetful(Regression):
        further = (Metric("rmse", "1", False),)

    with pytest.raises(ValueError, match="the meter computes mse; the task names mse, rmse"):
        evaluate(Sum(), CountedSequences(Forgetful(1.0)), "test")
