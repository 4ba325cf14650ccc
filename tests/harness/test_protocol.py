"""The protocol of training and evaluation, beyond the facts of `throughtime check harness`."""

from __future__ import annotations

import pytest

from throughtime.checks.by_hand import Reports, Script, Sequences, Sum, mean_square, spec
from throughtime.datasets.task import Metric, Regression
from throughtime.harness.batches import evaluate, learn_batch
from throughtime.harness.build import Built
from throughtime.measuring import energy
from throughtime.passes.passes import train_pass
from throughtime.passes.trained import Trained
from throughtime.passes.trainer import Trainer


def trained(folder, *weights: float, network: Sum | None = None) -> Trained:
    """Train a network through a list of weights, one an epoch."""
    return Trainer(spec(len(weights)), Built(Sequences(), network or Sum(), Script(*weights)), folder).train()


def test_each_split_has_its_own_targets():
    assert evaluate(Sum(), Sequences(), "validation").metrics["mse"] == pytest.approx(9 * mean_square(2) / 4)


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
    result = train_pass(spec(3), Built(Sequences(), Sum(), Heating(0.0, 0.0, 0.0)), tmp_path / "run")
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
    (batch,) = Sequences().batches("train", 3)
    with pytest.raises(ValueError, match="returned no loss"):
        learn_batch(rule, batch, lambda: None)


def test_a_meter_computes_the_metrics_that_the_task_names():
    class Forgetful(Regression):
        further = (Metric("rmse", "1", False),)

    with pytest.raises(ValueError, match="the meter computes mse; the task names mse, rmse"):
        evaluate(Sum(), Sequences(Forgetful(1.0)), "test")
