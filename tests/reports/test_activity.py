"""The table of activity: firing rates of all layers and of each, sparsity and synaptic operations, with their units."""

from __future__ import annotations

from tests.synthetic_records import measure, put, run_spec
from throughtime.records.results import Results
from throughtime.reports.quantities import quantity
from throughtime.reports.tables import tables

RATE, OPERATIONS = "spikes per neuron and step", "operations a sequence"


def active(rates: list[float] | None):
    """Return the activity measures of the training pass; None: cells that do not spike, in one layer."""
    why = None if rates else "these cells do not spike"
    result = {f"firing_rate.layer{i}": measure(rate, RATE) for i, rate in enumerate(rates or (), 1)}
    return {
        "firing_rate": measure(sum(rates) / len(rates) if rates else None, RATE, why),
        **(result or {"firing_rate.layer1": measure(None, RATE, why)}),
        "activation_sparsity": measure(0.75, "fraction"),
        "synaptic_operations.dense": measure(64_000.0, OPERATIONS),
        "synaptic_operations.effective_macs": measure(1_500.0, OPERATIONS),
        "synaptic_operations.effective_acs": measure(250.0, OPERATIONS),
    }


def activity(results):
    return next(table for table in tables(results) if table.name == "quick-laptop-activity")


def test_every_kind_of_activity_has_a_row_with_its_unit(store):
    put(store, run_spec("bptt lif digits"), measures=active([0.25, 0.0625]))
    put(store, run_spec("bptt rnn digits"), measures=active(None))
    table = activity(Results(store.folder))
    assert [[entry.text for entry in row][1:] for row in table.rows] == [
        ["lif", "firing rate (spikes a neuron and step)", "0.156 (n=1)"],
        ["rnn", "firing rate (spikes a neuron and step)", "—"],
        ["lif", "firing rate of layer 1 (spikes a neuron and step)", "0.250 (n=1)"],
        ["rnn", "firing rate of layer 1 (spikes a neuron and step)", "—"],
        ["lif", "firing rate of layer 2 (spikes a neuron and step)", "0.0625 (n=1)"],
        ["rnn", "firing rate of layer 2 (spikes a neuron and step)", "—"],
        ["lif", "activation sparsity (%)", "75.0 (n=1)"],
        ["rnn", "activation sparsity (%)", "75.0 (n=1)"],
        ["lif", "synaptic operations, dense (thousands a sequence)", "64.0 (n=1)"],
        ["rnn", "synaptic operations, dense (thousands a sequence)", "64.0 (n=1)"],
        ["lif", "synaptic operations, effective MACs (thousands a sequence)", "1.50 (n=1)"],
        ["rnn", "synaptic operations, effective MACs (thousands a sequence)", "1.50 (n=1)"],
        ["lif", "synaptic operations, effective ACs (thousands a sequence)", "0.250 (n=1)"],
        ["rnn", "synaptic operations, effective ACs (thousands a sequence)", "0.250 (n=1)"],
    ]
    assert any("these cells do not spike" in note for _, note in table.notes)


def test_the_rate_of_one_layer_alone_is_not_told_twice(store):
    put(store, run_spec("bptt lif digits"), measures=active([0.25]))
    assert [row[2].text for row in activity(Results(store.folder)).rows][:2] == [
        "firing rate (spikes a neuron and step)",
        "activation sparsity (%)",
    ]


def test_a_part_of_a_measure_is_shown_as_the_whole():
    assert quantity("wall_time.learn").label == "wall time: learn (ms a sequence)"
    assert quantity("peak_live_bytes.graph").label == "peak of live tensors: graph (MiB)"
    assert quantity("alignment_cosine.all", "1").label == "alignment_cosine.all"
