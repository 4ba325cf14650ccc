"""LaTeX of a table: booktabs, siunitx, as wide as a column or a page, and split where it would be wider."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from throughtime.reports.quantities import INTERVAL
from throughtime.reports.table import REPLICATES, Entry, Footnotes, Table

COLUMN, PAGE = 3.3 * 72.27, 6.9 * 72.27
"""Widths of a column and of a page, in TeX's points."""
LETTER, BETWEEN = 4.6, 6.0
"""Width of a letter at 8 points, bold digits included, and the space between columns."""
LONGEST = 26
"""Letters of a label from which its column is broken into lines."""
ROWS = 45
"""Rows that fit a page."""
SPREAD = f"±: standard deviation; the {INTERVAL} of 5 and more replicates and the single values are in the CSV file."
NUMBER = re.compile(r"(-?[\d,]*\d(?:\.\d+)?(?:e[+-]\d+)?)(?: ± (\d+(?:\.\d+)?))?")
SETTINGS = r"\sisetup{mode=text, reset-text-series=false, separate-uncertainty}"


class _Part(NamedTuple):
    """Columns and rows that make one `tabular`."""

    rows: slice
    columns: list[int]


def latex(table: Table) -> str:
    """Format a table as LaTeX `table` (or `table*`) environments.

    The document needs booktabs, siunitx 3, and T1 fonts for accents in labels. Numbers align at the decimal point; the
    best ones are bold. A column of labels that are all equal moves to the caption. Tables that are wider than a page or
    longer than `ROWS` are split; labels are repeated in each part. n and failures stand in footnotes where they differ
    from the caption.
    """
    notes = Footnotes({note: letter for letter, note in table.notes})
    usual = _usual_remark(table)
    cells = [[_cell(entry, notes, usual) for entry in row] for row in table.rows]
    common = [i for i in range(table.labels) if len({row[i].text for row in table.rows}) == 1 and len(table.rows) > 1]
    shown = [SPREAD if sentence == REPLICATES else sentence for sentence in table.caption]
    caption = [*shown, *[f"{table.head[i].capitalize()}: {table.rows[0][i].text}." for i in common]]
    if usual.startswith("n = "):
        caption.append(f"{usual} unless a footnote gives another.")
    labels = [i for i in range(table.labels) if i not in common]
    letters = [_letters(column, cells, table) for column in range(len(table.head))]
    parts = [_Part(rows, columns) for rows in _row_parts(cells) for columns in _column_parts(letters, labels, table)]
    footnotes = [rf"\textsuperscript{{{mark}}} {escaped(note)}\par" for note, mark in notes.items()]
    lines = ["% needs \\usepackage{array, booktabs, siunitx}"]
    for number, part in enumerate(parts, start=1):
        star = "*" if _width(part.columns, letters) > COLUMN else ""
        first = number == 1
        words = [f"{table.title}.", *caption] if first else [f"{table.title}, continued."]
        lines += [
            rf"\begin{{table{star}}}",
            r"\centering\footnotesize",
            rf"\setlength{{\tabcolsep}}{{{BETWEEN / 2}pt}}",
            rf"\caption{{{escaped(' '.join(words))}}}",
            rf"\label{{tab:{table.name}{'' if first else f'-{number}'}}}",
            *([r"\par\medskip", SETTINGS, *_tabular(part, cells, table)] if table.rows else []),
            *([r"\par\smallskip{\raggedright", *footnotes, "}"] if first and footnotes else []),
            rf"\end{{table{star}}}",
        ]
    return "\n".join(lines) + "\n"


class _Cell(NamedTuple):
    """An entry as LaTeX shows it."""

    text: str
    mark: str
    best: bool
    value: tuple[str, str] | None
    """Number and half width, in the notation of siunitx; None if it is text."""


def _usual_remark(table: Table) -> str:
    """Return the remark of most numbers, such as `n = 3`, which the caption gives for all of them."""
    remarks = [entry.remark for row in table.rows for entry in row if entry.number and entry.remark]
    return max(set(remarks), key=lambda remark: (remarks.count(remark), remark), default="")


def _cell(entry: Entry, notes: Footnotes, usual: str) -> _Cell:
    number = entry.number or entry.text
    match = NUMBER.fullmatch(number)
    if entry.number and entry.remark != usual:
        note = next((note for note, letter in notes.items() if letter == entry.mark), "")
        mark = notes.mark("; ".join(part for part in (entry.remark or "n = 1", note) if part))
    else:
        mark = entry.mark
    value = _value(match) if match else None
    return _Cell(entry.number or entry.text, mark, entry.best, value)


def _value(match: re.Match[str]) -> tuple[str, str] | None:
    """Return a number and its half width; None if they have not equally many decimals, or an exponent."""
    number, half = match.group(1).replace(",", ""), match.group(2) or ""
    places, half_places = (len(text.partition("e")[0].partition(".")[2]) for text in (number, half))
    return None if half and (half_places != places or "e" in number) else (number, half)


def _row_parts(cells: Sequence[Sequence[_Cell]]) -> list[slice]:
    """Return parts of the rows, at most `ROWS` long; one part for a table without rows."""
    return [slice(start, start + ROWS) for start in range(0, max(1, len(cells)), ROWS)]


def _column_parts(letters: Sequence[float], labels: list[int], table: Table) -> list[list[int]]:
    """Return parts of the columns, at most a page wide, each with the labels."""
    parts: list[list[int]] = [[]]
    for column in range(table.labels, len(table.head)):
        if parts[-1] and _width([*labels, *parts[-1], column], letters) > PAGE:
            parts.append([])
        parts[-1].append(column)
    return [[*labels, *part] for part in parts]


def _width(columns: Sequence[int], letters: Sequence[float]) -> float:
    return sum(LETTER * letters[column] + BETWEEN for column in columns)


def _letters(column: int, cells: Sequence[Sequence[_Cell]], table: Table) -> float:
    longest = max([len(table.head[column]), *(len(row[column].text) + 0.7 * len(row[column].mark) for row in cells)])
    return min(longest, LONGEST) if column < table.labels else longest


def _tabular(part: _Part, cells: Sequence[Sequence[_Cell]], table: Table) -> Iterator[str]:
    rows = [[row[column] for column in part.columns] for row in cells[part.rows]]
    kinds = [_kind(column, [row[i] for row in rows], cells, table) for i, column in enumerate(part.columns)]
    yield rf"\begin{{tabular}}{{@{{}}{' '.join(kinds)}@{{}}}}"
    yield r"\toprule"
    yield " & ".join(f"{{{escaped(table.head[column])}}}" for column in part.columns) + r" \\"
    yield r"\midrule"
    for row in rows:
        yield " & ".join(_shown(cell, kind) for cell, kind in zip(row, kinds, strict=True)) + r" \\"
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _kind(column: int, entries: Sequence[_Cell], cells: Sequence[Sequence[_Cell]], table: Table) -> str:
    """Return the type of a column: numbers aligned at the point, labels, or labels broken into lines."""
    values = [entry.value for entry in entries if entry.value is not None]
    if column < table.labels or not values:
        broken = column < table.labels and _letters(column, cells, table) == LONGEST
        return rf">{{\raggedright\arraybackslash}}p{{{LETTER * LONGEST:.0f}pt}}" if broken else "l"
    whole = max(len(number.partition("e")[0].partition(".")[0].lstrip("-")) for number, _ in values)
    decimals = max(len(number.partition("e")[0].partition(".")[2]) for number, _ in values)
    half = max((len(half.partition(".")[0]) + decimals for _, half in values if half), default=0)
    power = max(len(number.partition("e")[2].lstrip("+-")) for number, _ in values)
    sign = "-" if any(number.startswith("-") for number, _ in values) else ""
    uncertainty = f"({half})" if half else ""
    exponent = f"e-{power}" if power else ""
    # siunitx reserves the width of a number that is neither bold nor followed by a mark.
    after = max(("x" * entry.best + rf"\textsuperscript{{{entry.mark}}}" for entry in entries), key=len)
    form = f"{sign}{whole}.{decimals}{uncertainty}{exponent}"
    return f"S[table-format={form}, table-space-text-post={{{after}}}]"


def _shown(cell: _Cell, kind: str) -> str:
    mark = rf"\textsuperscript{{{cell.mark}}}" if cell.mark else ""
    if kind.startswith("S") and cell.value is not None:
        number, half = cell.value
        noted = f"{{{mark}}}" if mark else ""
        parts = [r"\bfseries" if cell.best else "", number, rf"\pm {half}" if half else "", noted]
        return " ".join(part for part in parts if part)
    text = rf"\textbf{{{escaped(cell.text)}}}" if cell.best else escaped(cell.text)
    return f"{{{text}{mark}}}"


_LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "-": "-{}", '"': "''"},
    **{"±": r"$\pm$", "×": r"$\times$", "—": "---", "–": "--", "µ": r"$\mu$", "≤": r"$\leq$", "≥": r"$\geq$"},
    **{"‖": r"$\Vert$", "∇": r"$\nabla$", "−": "$-$", "·": r"$\cdot$"},
    **{"↑": r"$\uparrow$", "↓": r"$\downarrow$", "≈": r"$\approx$"},
}


_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu "
    "nu xi pi rho sigma tau upsilon phi chi psi omega"
)


def escaped(plain: str) -> str:
    """Escape text for LaTeX: Greek letters become maths; letters unknown to pdfLaTeX become their Unicode names."""
    return "".join(map(_escaped_letter, plain))


@functools.cache
def _escaped_letter(character: str) -> str:
    if character in _LATEX or character.isascii():
        return _LATEX.get(character, character)
    name = unicodedata.name(character, "unknown character").lower()
    greek = name.removeprefix("greek small letter ").replace("lamda", "lambda")
    if greek in _GREEK.split():
        return rf"$\{greek}$"
    return character if character.isalpha() and character < "\u0100" else rf"\textless{{}}{name}\textgreater{{}}"
