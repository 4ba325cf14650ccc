"""Records made up for the tests of tables, figures and the report: no run, no torch, every number known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from throughtime.records.record import Failure, Measure, Record, write_record
from throughtime.records.results import Results
from throughtime.records.store import Store
from throughtime.spec import ComponentSpec, RunSpec, Training

ELSEWHERE = "measured once a cell, on its first replicate"
DIVERGED = "loss is nan at epoch 3, update 120"
SKIPPED = "eprop needs partial derivatives, which lstm does not give"
NO_PEAK = "no VmHWM on this system"
HOSTILE = '<script>alert("x")</script> & 100 % $of_it \\ {a} ~ ^ #1'
METHODS = {"byte": "VmHWM after a reset", "fraction": "test split (1000 sequences), weights of the last epoch"}


def run_spec(cell: str | tuple[str, str, str], replicate: int = 0, **changes: Any) -> RunSpec:
    """A spec from `rule neuron dataset`, `steps`, `batch`, `hidden`, `layers`, `epochs`; other fields may be given."""
    rule, neuron, dataset = cell.split(" ") if isinstance(cell, str) else cell
    steps, batch = changes.pop("steps", 28), changes.pop("batch", 32)
    hidden = [changes.pop("hidden", 64)] * changes.pop("layers", 1)
    epochs = changes.pop("epochs", 4)
    return RunSpec(
        **{"suite": "quick", "scale": "laptop", "passes": ["train", "time", "memory"], **changes},
        rule=ComponentSpec(name=rule, label=rule),
        neuron=ComponentSpec(name=neuron, label=neuron),
        network=ComponentSpec(name="recurrent", options={"hidden": hidden}, label="recurrent"),
        dataset=ComponentSpec(name=dataset.split("-")[0], options={"steps": steps}, label=dataset),
        training=Training(epochs=epochs, batch=batch),
        replicate=replicate,
        seed=7,
    )


def measure(value: float | None, unit: str, missing: str | None = None, samples: tuple[float, ...] = ()) -> Measure:
    """A measure with a made-up method."""
    return Measure(value=value, unit=unit, method=METHODS.get(unit, "made up"), samples=list(samples), missing=missing)


def costs(seconds: float | None, peak: float | None, why: str = ELSEWHERE) -> dict[str, Measure]:
    """Return the measures of the timing and memory passes; None: missing, with the reason."""
    per_sequence = "second a sequence"
    time = (
        measure(None, per_sequence, why)
        if seconds is None
        else measure(seconds, per_sequence, samples=(seconds, 1.1 * seconds))
    )
    return {
        "wall_time": time,
        "peak_process_bytes": measure(peak, "byte", None if peak is not None else why),
    }


def results(metric: str, value: float, chance: float, unit: str | None = None) -> dict[str, Measure]:
    """Return the measures of the training pass."""
    unit = unit or ("fraction" if metric == "accuracy" else "1")
    scored = measure(value, unit).model_copy(update={"better": "higher" if unit == "fraction" else "lower"})
    return {
        metric: scored,
        f"{metric}_best_validation": scored,
        "chance": measure(chance, unit),
        "loss": measure(0.25, "1"),
        "firing_rate": measure(0.0625, "spikes per neuron and step"),
        "training_time": measure(61.5, "second"),
    }


def put(store: Store, spec: RunSpec, status: str = "ok", log: str | None = "", **fields: Any) -> Path:
    """Write one run's folder; `curve` is a list of validation values, one an epoch."""
    curve = fields.pop("curve", [])
    run_id = fields.pop("id", None) or spec.id({})
    folder = store.run_folder(spec.suite, run_id)
    record = Record(
        id=run_id,
        label=spec.label,
        spec=spec,
        status=status,
        **{
            "machine": {"processor": "made-up processor", "cores": 2},
            "versions": {"throughtime": "0.1.0", "torch": "2.13.0"},
            "phases": {"load": 0.5, "learn": 50.0, "update": 1.0, "evaluate": 10.0} if status == "ok" else {},
            "command": f"throughtime run quick --scale laptop --only '{spec.label}' --rerun all",
            "started": "2026-01-02T03:04:05+00:00",
            "seconds": 62.0,
            **fields,
        },
    )
    write_record(record, folder)
    rows = [
        {"epoch": i, "iteration": 10 * i, "updates": 10 * i, "sequences": 320 * i, "train_loss": 1 / i}
        | {"validation": value, "firing_rate": 0.06, "seconds": 15.0 * i}
        for i, value in enumerate(curve, start=1)
    ]
    (folder / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if log is not None:
        (folder / "log").write_text(log or f"training {spec.label}\n")
    return folder


def peaks(whole: float, streamed: float, given: float, process: float | None = None) -> dict[str, Measure]:
    """Return the measures of the bytes pass, and perhaps the memory pass; `given` is the input in `whole`."""
    measures = {"peak_live_bytes": whole, "peak_live_bytes_without_input": whole - given}
    measures |= {"peak_live_bytes_streamed": streamed}
    measures |= {"peak_process_bytes": process} if process is not None else {}
    return {name: measure(value, "byte") for name, value in measures.items()}


def powers(T: int, B: int, H: int, L: int) -> dict[str, Measure]:
    """Cost of a cell of which the exponents are known: time T¹ B^-0.5 H² L¹, bytes T⁰ B¹ H^1.5 L^0.5."""
    return {**costs(1e-6 * T * B**-0.5 * H**2 * L, None), "peak_live_bytes": measure(B * H**1.5 * L**0.5, "byte")}


def sweep(
    store: Store,
    cost: Callable[..., dict[str, Measure]] = powers,
    cell: str = "bptt lif",
    contended: bool = False,
) -> Results:
    """Suite `scaling`: T, B, H and L each at three sizes, from T 50, B 32, H 64, L 1; all results of the store."""
    sizes = [(50, 32, 64, 1)]
    sizes += [(100, 32, 64, 1), (200, 32, 64, 1), (50, 8, 64, 1), (50, 128, 64, 1)]
    sizes += [(50, 32, 16, 1), (50, 32, 256, 1), (50, 32, 64, 2), (50, 32, 64, 4)]
    for i, (T, B, H, L) in enumerate(sizes):
        spec = run_spec(f"{cell} adding-{i}", suite="scaling", steps=T, batch=B, hidden=H, layers=L)
        label = "recurrent" if (H, L) == (64, 1) else f"h{H}l{L}"
        network = spec.network.model_copy(update={"label": label})
        put(store, spec.model_copy(update={"network": network}), measures=cost(T, B, H, L), contended=contended)
    return Results(store.folder)


def grid_store(folder: Path) -> Store:
    """Suite `quick`: 4 rules x {lif, ltc, lstm} x {digits, adding}, three replicates, with every kind of gap.

    bptt ltc adding: all three diverged. bptt ltc digits: one of three diverged. eprop lstm: skipped. fptt lif digits:
    one replicate alone. tbptt lif digits: peak memory missing. tbptt lstm adding: not there at all. A second suite,
    `memory`, has only peak memory: bptt and fptt at three lengths.
    """
    store = Store(folder)
    for r, rule in enumerate(("bptt", "tbptt", "fptt", "eprop")):
        for n, neuron in enumerate(("lif", "ltc", "lstm")):
            for dataset in ("digits", "adding"):
                for replicate in range(3):
                    _put_cell(store, rule, neuron, dataset, replicate, 0.9 - 0.03 * r + 0.01 * n)
    for rule, slope in (("bptt", 2**20), ("fptt", 0)):
        for steps in (50, 100, 200):
            spec = run_spec(f"{rule} ltc adding-{steps}", suite="memory", steps=steps, hidden=32, passes=["memory"])
            put(store, spec, measures={"peak_process_bytes": measure(2.0**21 + slope * steps, "byte")})
    return store


def _put_cell(store: Store, rule: str, neuron: str, dataset: str, replicate: int, level: float) -> None:
    cell = f"{rule} {neuron} {dataset}"
    spec = run_spec(cell, replicate, steps=28 if dataset == "digits" else 100)
    if cell == "tbptt lstm adding" or (cell == "fptt lif digits" and replicate):
        return
    if rule == "eprop" and neuron == "lstm":
        put(store, spec, "skipped", log=None, failure=Failure(reason=SKIPPED))
        return
    r = ("bptt", "tbptt", "fptt", "eprop").index(rule)
    first = replicate == 0
    measures = costs(0.004 / (1 + r), 2.0**20 * (40 >> r)) if first else costs(None, None)
    if cell == "tbptt lif digits":
        measures["peak_process_bytes"] = measure(None, "byte", NO_PEAK)
    value = level + 0.01 * (replicate - 1)
    metric, chance = ("accuracy", 0.1) if dataset == "digits" else ("mse", 0.167)
    value = value if metric == "accuracy" else (1 - value) * 0.05
    start = chance
    if cell == "bptt ltc adding" or (cell == "bptt ltc digits" and replicate == 2):
        failure = Failure(reason=DIVERGED, where="epoch 2, update 80", exit_code=1, log_tail=["loss is nan"])
        put(store, spec, "diverged", failure=failure, measures=measures, metric=metric, curve=[start, start * 1.1])
        return
    curve = [start + (value - start) * part for part in (0.5, 0.8, 0.95, 1.0)]
    measures |= results(metric, value, chance)
    put(store, spec, measures=measures, metric=metric, curve=curve, contended=False)
