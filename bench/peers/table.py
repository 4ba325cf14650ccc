"""Output of the comparison: table, sentences and figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from throughtime.errors import UsageError
from throughtime.markdown import escaped, table
from throughtime.peers.run import Measurement, PeerResults
from throughtime.peers.workload import WORKLOADS
from throughtime.records.provenance import machine
from throughtime.reports.drawing import Drawn, finish, grid, save, scale_axis, styled
from throughtime.reports.styles import Style
from throughtime.whole_files import write_whole

COLOURS = {"ours": 0, "library": 1, "plain": 2, "other": 7}
"""Indices of seaborn's colour-blind palette."""
KINDS = {
    "ours": "throughtime",
    "library": "library of spiking networks",
    "plain": "plain PyTorch",
    "other": "compiled, or no spikes",
}


def shown(rows: Sequence[Measurement]) -> list[dict[str, str]]:
    """Format rows for a table, with — for a missing value."""
    return [
        {
            "work": row.work,
            "threads": str(row.threads),
            "implementation": row.implementation,
            "median": quantity(row.median, row.unit),
            "min to max": f"{quantity(row.min, row.unit)} to {quantity(row.max, row.unit)}",
            "n": f"{row.n} in {row.rounds}",
            "over ours": ratio(row.ratio),
            "over floor": ratio(row.floor_ratio),
            "first call": "—" if row.compile_seconds is None else f"+{row.compile_seconds:.2g} s",
            "differs by": "—" if row.difference is None else f"{row.difference:.0e}",
            "note": "; ".join(filter(None, [row.note, "machine shared" if row.contended else ""])),
        }
        for row in rows
    ]


def quantity(value: float, unit: str) -> str:
    """Format a value as `1.23 MiB` or `12.3 ms`."""
    return f"{value / 2**20:.2f} MiB" if unit == "byte" else f"{1000 * value:.3g} ms"


def ratio(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}"


def summary(rows: Sequence[Measurement]) -> list[str]:
    """Return a sentence for each workload: ours relative to the best of each kind and to the floor."""
    sentences = []
    for work, threads in dict.fromkeys((row.work, row.threads) for row in rows):
        by_implementation = {row.implementation: row for row in rows if (row.work, row.threads) == (work, threads)}
        ours = by_implementation.get("ours")
        if ours is None:
            continue
        rivals = sorted((row for row in by_implementation.values() if row.kind != "ours"), key=lambda row: row.median)
        best = {row.kind: row for row in reversed(rivals)}
        clauses = [
            f"{ours.median / row.median:.0%} of the bytes of {row.implementation}"
            if ours.unit == "byte"
            else f"{row.median / ours.median:.2f} times as fast as {row.implementation}"
            for row in best.values()
        ]
        if ours.floor_ratio is not None:
            clauses.append(f"{ours.floor_ratio:.2f} times the floor")
        if clauses:
            sentences.append(f"{work}, {threads} thread{'s' * (threads > 1)}: ours is {', '.join(clauses)}")
    return sentences


def markdown(outcome: PeerResults) -> str:
    """Return Markdown with tables of times and bytes, a summary, implementations without a row, and the workloads."""
    parts = ["# Comparison with other libraries", ""]
    for title, wanted in (("Time", False), ("Stored for the backward pass", True)):
        lines = shown([row for row in outcome.rows if (row.unit == "byte") is wanted])
        if lines:
            cells = [[*map(escaped, line.values())] for line in lines]
            parts += [f"## {title}", "", table([*lines[0]], cells), ""]
    parts += [f"- {line}" for line in (*summary(outcome.rows), *outcome.left_out)]
    about = dict.fromkeys(row.work for row in outcome.rows)
    parts += ["", *(f"{name}: {WORKLOADS[name].about}.  " for name in about if name in WORKLOADS)]
    return "\n".join(parts).rstrip() + "\n"


BEGIN, END = "<!-- peers -->", "<!-- /peers -->"
"""Lines of a page between which `insert` writes."""


def page(rows: Sequence[Measurement]) -> str:
    """Return the Markdown of a page: machine and versions, and a table of times with a row for each workload and number
    of threads, and the other implementations as multiples of ours."""
    computer = machine(max(row.threads for row in rows), None)
    versions = {name: number for row in rows for name, number in row.versions.items()}
    lines = []
    for work, threads in dict.fromkeys((row.work, row.threads) for row in rows if row.unit != "byte"):
        alike = [row for row in rows if (row.work, row.threads) == (work, threads)]
        others = [f"{row.implementation} {ratio(row.ratio)}" for row in alike if row.kind != "ours"]
        for ours in (row for row in alike if row.kind == "ours"):
            spread = f"{1000 * ours.median:.3g} ({1000 * ours.min:.3g} to {1000 * ours.max:.3g})"
            busy = " (machine shared)" if any(row.contended for row in alike) else ""
            cells = [f"`{work}`", str(threads), spread + busy, ratio(ours.floor_ratio), ", ".join(others) or "—"]
            lines.append(cells)
    head = ["workload", "threads", "ours, ms: median (smallest to largest)", "over floor", "others, over ours"]
    samples = sorted(row.n for row in rows if row.unit != "byte")
    about = [
        f"{escaped(computer['processor'])}, {computer['cores']} processors; "
        f"{', '.join(f'{name} {number}' for name, number in sorted(versions.items()))}; "
        f"{rows[0].rounds} process{'es' * (rows[0].rounds > 1)} of each, {samples[0]} to {samples[-1]} samples."
    ]
    return "\n".join([*about, "", table(head, lines)])


def marked(path: Path) -> tuple[str, str]:
    """Return the text of a file up to and with the line `BEGIN`, and from the line `END` on.

    Raises:
        UsageError: the file lacks one of the lines.
    """
    before, begin, rest = path.read_text(encoding="utf-8").partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end:
        raise UsageError(f"no lines {BEGIN} and {END}", str(path))
    return before + begin, end + after


def insert(rows: Sequence[Measurement], path: Path) -> None:
    """Replace the text of a file between `BEGIN` and `END` by `page`.

    Raises:
        UsageError: the file lacks one of the lines, or nothing was timed.
    """
    before, after = marked(path)
    if all(row.unit == "byte" for row in rows):
        raise UsageError("no times to write", str(path), "name a workload with times, such as 'train-*'")
    write_whole(path, f"{before}\n{page(rows)}\n\n{after}")


@styled
def figure(rows: Sequence[Measurement]) -> Drawn | None:
    """Draw each median relative to ours, with the range of its samples; one panel for each workload."""
    import seaborn

    data = pd.DataFrame([row._asdict() for row in rows if row.ratio is not None])
    if data.empty:
        return None
    palette = seaborn.color_palette("colorblind")
    styles = {kind: Style(palette[place], "-") for kind, place in COLOURS.items()}
    data = data[data["threads"] == data["threads"].max()]
    works = [*dict.fromkeys(data["work"])]
    drawn, panels = grid(len(works), columns=3)
    for panel, work in zip(panels, works, strict=True):
        panel_data = data[data["work"] == work].iloc[::-1].reset_index(drop=True)
        ours = (panel_data["median"] / panel_data["ratio"]).iloc[0]
        for y, row in panel_data.iterrows():
            colour = styles[row["kind"]].colour
            panel.plot([row["min"] / ours, row["max"] / ours], [y, y], color=colour, linewidth=1.2)
            panel.plot(row["ratio"], y, "o", color=colour, markersize=5)
        floor = panel_data["floor"].dropna()[:1] / ours
        for x in floor:
            panel.axvline(x, color="0.45", linestyle=(0, (4, 3)), linewidth=1)
        panel.set_title(work)
        panel.set_yticks(range(len(panel_data)), panel_data["implementation"])
        panel.set_ylim(-0.6, len(panel_data) - 0.4)
        scale_axis(panel.xaxis, pd.concat([panel_data["ratio"], floor]), ratio=1.5)
    notes = [
        f"Dot: median over the median of ours; line: smallest to largest sample. {data['threads'].iloc[0]} thread(s), "
        "fresh processes in turn.",
        "Dashed: the floor, which is the time of the matrix products, the optimiser and the traces at the best rates.",
    ]
    used = {KINDS[kind]: style for kind, style in styles.items() if kind in set(data["kind"])}
    finish(drawn, "Time or memory relative to ours", notes, used)
    return Drawn(drawn, data.drop(columns="versions"), "Comparison with other libraries", notes)


def write(outcome: PeerResults, folder: Path) -> list[Path]:
    """Write table.md, rows.json, and the figure as PDF, SVG, PNG and CSV; return the paths."""
    paths = [folder / "table.md", folder / "rows.json"]
    write_whole(paths[0], markdown(outcome))
    write_whole(paths[1], json.dumps([row._asdict() for row in outcome.rows], indent=1) + "\n")
    drawn = figure(outcome.rows)
    return paths + (save(drawn, folder, "peers") if drawn else [])
