"""A detector trained by the harness: what its record holds, the table in percent, and the figure of its detections."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from matplotlib.colors import to_hex
from torch import Tensor, nn

from tests.synthetic_records import measure, put
from throughtime import registry
from throughtime.commands.main import main
from throughtime.datasets.detection.generated import write_voc
from throughtime.datasets.files import fetch
from throughtime.harness.build import build
from throughtime.harness.weights import write_weights
from throughtime.networks.base import Network, Step, Window
from throughtime.numerics.trees import entries
from throughtime.passes.passes import run_pass, train_pass
from throughtime.records.results import Results
from throughtime.reports.detections import draw_detections
from throughtime.reports.tables import render, tables
from throughtime.spec import ComponentSpec, RunSpec, Training


class Leaky(NamedTuple):
    v: Tensor


class Grids(Network):
    """A convolution with leaky cells, and a readout of three boxes per cell at two resolutions."""

    spiking = False

    def __init__(self, inputs, outputs, neuron, *, side: int) -> None:
        super().__init__()
        self.side = side
        self.seen = nn.Conv2d(3, 8, 16, stride=16)
        self.fine, self.coarse = nn.Conv2d(8, outputs, 1), nn.Conv2d(8, outputs, 2, stride=2)

    def initial_state(self, batch: int) -> Leaky:
        return Leaky(torch.zeros(batch, 8, self.side // 16, self.side // 16))

    def forward(self, x: Tensor, state: Leaky) -> tuple[Step, Leaky]:
        v = 0.5 * state.v + self.seen(x.view(-1, 3, self.side, self.side)).tanh()
        return Step({"coarse": self.coarse(v), "fine": self.fine(v)}, ()), Leaky(v)

    def unroll(self, x: Tensor, state: Leaky) -> Window:
        outputs = []
        for x_t in entries(x):
            step, state = self(x_t, state)
            outputs.append(step.output)
        together = {name: torch.stack([window[name] for window in outputs]) for name in ("coarse", "fine")}
        return Window(together, (), state)


@pytest.fixture
def grids(tmp_path, monkeypatch):
    """The network, under a name of its own, and a generated folder of images."""
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))
    write_voc(tmp_path / "images", ("cat", "dog"))
    with registry.isolated():
        registry.network("grids")(Grids)
        yield tmp_path / "images"


def spec_of(images, rule: str, epochs: int = 1, **options: object) -> RunSpec:
    data = {"root": str(images), "size": 64, "steps": 2, "changes": ["flip"]}
    return RunSpec(
        suite="mine",
        scale="tiny",
        rule=ComponentSpec(name=rule, options=options, label=rule),
        neuron=ComponentSpec(name="rnn", label="rnn"),
        network=ComponentSpec(name="grids", options={"side": 64}, label="grids"),
        dataset=ComponentSpec(name="voc", options=data, label="images"),
        training=Training(epochs=epochs, batch=5, learning_rate=1e-2),
        passes=["train"],
        replicate=0,
        seed=1,
    )


def test_the_record_holds_map_and_precision_by_class(grids, tmp_path):
    """FPTT and BPTT train it; the loss falls; each metric is there by each protocol, and the dropped box is said."""
    losses = {}
    for rule in ("bptt", "fptt"):
        spec = spec_of(grids, rule, epochs=8)
        (tmp_path / rule).mkdir()
        measures = train_pass(spec, build(spec), tmp_path / rule).measures
        losses[rule] = [float(line.split('"train_loss": ')[1].split(",")[0]) for line in _curve(tmp_path / rule)]
        for metric in ("mAP", "mAP_11", "AP.cat", "AP.dog"):
            for end in ("", "_best_validation", "_validation", "_best_test"):
                outcome = measures[f"{metric}{end}"]
                assert outcome.unit == "fraction" and outcome.better == "higher" and 0 <= outcome.value <= 1
        by_class = (measures["AP.cat"].value + measures["AP.dog"].value) / 2
        assert measures["mAP"].value == pytest.approx(by_class)
        assert measures["chance"].value == 0
    assert all(loss[-1] < 0.7 * loss[0] for loss in losses.values()), losses
    result = run_pass("bytes", spec, tmp_path)
    assert result.remark == f"1 of {_boxes(grids)} boxes have no width or height and were dropped"


def _curve(folder):
    return (folder / "curve.jsonl").read_text().splitlines()


def _boxes(images) -> int:
    return sum(path.read_text().count("<object>") for path in (images / "Annotations").glob("*.xml"))


def test_tables_show_percent_and_all_metrics(grids, store):
    ends = ("", "_best_validation")
    values = {"mAP": 0.4321, "mAP_11": 0.421, "AP.cat": 0.25, "AP.dog": 0.6142}
    measures = {f"{name}{end}": measure(value, "fraction") for name, value in values.items() for end in ends}
    put(store, spec_of(grids, "bptt"), measures=measures, metric="mAP")
    result = Results.load(store.folder)
    assert "mAP (%)" in render(result) and "43.2" in render(result)
    by_name = {table.name: table for table in tables(result)}
    rows = {row[2].text: row[3].text for row in by_name["mine-tiny-further"].rows}
    assert rows == {"mAP_11 (%)": "42.1 (n=1)", "AP.cat (%)": "25.0 (n=1)", "AP.dog (%)": "61.4 (n=1)"}


def kept(store, images, confidence: float) -> str:
    """Write a record and the weights of a network that sees one box in each coarse cell, with this confidence."""
    spec = spec_of(images, "bptt")
    network = build(spec).network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for readout, anchor in ((network.coarse, 1), (network.fine, None)):
            bias = readout.bias.view(3, -1)
            bias[:, 4] = -20
            if anchor is not None:
                bias[anchor, 4], bias[anchor, 5] = math.log(confidence / (1 - confidence)), 20.0
    write_weights(put(store, spec), network.state_dict(), network.state_dict())
    return spec.id({})


def test_detections_are_drawn_where_the_network_sees_them(grids, store, tmp_path, capsys):
    run = kept(store, grids, confidence=0.8)
    drawn = draw_detections(Results.load(store.folder), run, sequence=3)
    data = drawn.data
    assert sorted(set(data["image"])) == [3, 4, 5, 6, 7], "five of the eight images are left"
    result = data[data["what"] == "detection"]
    assert len(result) == 5 * 4 and set(result["class"]) == {"cat"}
    assert result["score"].tolist() == pytest.approx([0.8] * 20, abs=1e-4)
    first = result.iloc[:4].sort_values(["top", "left"])
    width, height = 135 / 416, 169 / 416  # anchor 4 around the centres of four cells
    assert first["left"].tolist() == pytest.approx([0.25 - width / 2, 0.75 - width / 2] * 2)
    assert first["top"].tolist() == pytest.approx([0.25 - height / 2] * 2 + [0.75 - height / 2] * 2)
    (batch,) = build(spec_of(grids, "bptt")).dataset.batches("test", 8)
    assert (data["what"] == "box").sum() == (batch.target[3:, :, 0] >= 0).sum()
    assert len(drawn.figure.axes[0].patches) == (data["image"] == 3).sum()
    arguments = ["show", run, "--results", str(store.folder), "--out", str(tmp_path / "out"), "--sequence"]
    assert main([*arguments, "0"]) == 0
    assert (tmp_path / "out" / "detections-bptt-rnn-grids-images-0.png").is_file()
    capsys.readouterr()
    assert main([*arguments, "8"]) == 2
    assert "the test split has 8 sequences, numbered from 0" in capsys.readouterr().err


def test_weak_detections_are_not_drawn(grids, store):
    run = kept(store, grids, confidence=0.4)
    assert set(draw_detections(Results.load(store.folder), run).data["what"]) == {"box"}


def test_each_of_twenty_classes_has_its_colour(grids, store):
    images = grids.parent / "many"
    write_voc(images, [f"class {i:02}" for i in range(20)])
    run = kept(store, images, confidence=0.4)
    drawn = draw_detections(Results.load(store.folder), run)
    colours = [to_hex(patch.get_edgecolor()) for panel in drawn.figure.axes for patch in panel.patches]
    pairs = {pair for pair in zip(drawn.data["class"], colours, strict=True) if pair[1] != "#ffffff"}
    assert len(pairs) == len({name for name, _ in pairs}) == len({colour for _, colour in pairs}) > 5
