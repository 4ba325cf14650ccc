"""The commands of `throughtime data`: list datasets, fetch and verify their files, and draw them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from throughtime.commands.terminal import NONE, JsonOption, SourceOption, print_rows
from throughtime.errors import UsageError
from throughtime.printing import print_text

if TYPE_CHECKING:
    from throughtime.datasets.base import Dataset

data_app = typer.Typer(help="Datasets: list, fetch, verify and draw them.", no_args_is_help=True)
OptionOption = Annotated[
    list[str],
    typer.Option("--option", help="An option of the dataset, as in a suite; repeatable.", metavar="NAME=VALUE"),
]
NO_OPTIONS: list[str] = []


@data_app.command("ls")
def list_data(source: SourceOption = NONE, as_json: JsonOption = False) -> None:
    """List the datasets with their licences and the folders of their files."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.registry import DATASETS

    add_source(*source)
    print_rows(
        [
            {
                "name": name,
                "licence": _class(name).licence,
                "files": _whereabouts(name),
                "summary": DATASETS[name].summary,
            }
            for name in DATASETS.names()
        ],
        as_json,
    )


@data_app.command("fetch")
def fetch_data(name: str, source: SourceOption = NONE, option: OptionOption = NO_OPTIONS) -> None:
    """Find or download a dataset's files, verify them, and prepare them for use."""
    from throughtime.datasets.files.fetch import add_source
    from throughtime.running.progress import preparing

    add_source(*source)
    dataset = _built(name, option)
    with preparing(name):
        dataset.prepare()
    digest = dataset.sha256() or "generated, no files"
    remark = f"; {text}" if (text := dataset.remark()) else ""
    print_text(f"{name}: {_sizes(dataset)}{remark}; SHA-256 {digest}; licence: {dataset.licence}")


@data_app.command("verify")
def verify_data(
    name: Annotated[str | None, typer.Argument(help="A dataset; default: the files of all.")] = None,
    source: SourceOption = NONE,
    option: OptionOption = NO_OPTIONS,
    as_json: JsonOption = False,
) -> None:
    """Verify the checksums of all files that are present; for a named dataset, count sequences that two splits share.
    Exits with 1 if a file is damaged, or a sequence is in two splits.
    """
    from throughtime.datasets.files.fetch import add_source, report
    from throughtime.datasets.overlap import hashes, overlap, repeated
    from throughtime.registry import DATASETS
    from throughtime.running.progress import preparing

    add_source(*source)
    if option and name is None:
        raise UsageError("--option belongs to one dataset", hint="name it: throughtime data verify NAME --option ...")
    dataset = None if name is None else _built(name, option)
    needed = dataset.needed() if dataset else [file for known in DATASETS.names() for file in _files(known)]
    # Datasets share files: each is read once.
    files = {(file.folder, file.name): file for file in needed}
    presences = report(files.values(), check=True)
    rows = [
        {
            "file": f"{presence.file.folder}/{presence.file.name}",
            "where": str(presence.path or "not here"),
            "verdict": presence.problem or ("as it should be" if presence.path else "—"),
        }
        for presence in presences
    ]
    if dataset and not rows and dataset.origin == "generated":
        raise UsageError(f"{name} has no files of its own", hint="its data are generated")
    wrong = any(presence.problem or (dataset and not presence.path) for presence in presences)
    if name is not None and dataset and not wrong:
        with preparing(name):
            hashed = hashes(dataset)
        for (a, b), n in overlap(hashed).items():
            said = f"{n} sequences are in both" if n else "no sequence is in both"
            rows.append({"file": f"{name}: {a} and {b}", "where": "—", "verdict": said})
            wrong = wrong or n > 0
        for split, (n, total) in repeated(hashed).items():
            beyond = dataset.repeated is not None and n > dataset.repeated * total
            said = f"{n} of {total} sequences repeat an earlier one" + (
                f", stated {dataset.repeated}" if beyond else ""
            )
            rows.append({"file": f"{name}: {split}", "where": "—", "verdict": said})
            wrong = wrong or beyond
    print_rows(rows, as_json)
    if wrong:
        raise typer.Exit(1)


@data_app.command("show")
def show_data(
    name: str,
    out: Annotated[Path | None, typer.Option(help="PNG to write; default: NAME.png.", metavar="FILE")] = None,
    source: SourceOption = NONE,
    option: OptionOption = NO_OPTIONS,
    tiny: Annotated[bool, typer.Option("--tiny", help="Draw the tiny variant, which needs no files.")] = False,
) -> None:
    """Draw a training sequence and the distribution of the targets in each split."""
    from throughtime.commands.data_figure import draw
    from throughtime.datasets.files.fetch import add_source
    from throughtime.running.progress import preparing

    add_source(*source)
    if tiny and option:
        raise UsageError("--option has no effect with --tiny")
    dataset = _class(name).tiny() if tiny else _built(name, option)
    path = out or Path(f"{name}.png")
    if path.suffix != ".png":
        raise UsageError("the output format is PNG", where=str(path), hint=f"did you mean {path.with_suffix('.png')}?")
    with preparing(name):
        figure = draw(name, dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print_text(f"{path}: {_sizes(dataset)}")
    if remark := dataset.remark():
        print_text(remark)


def _sizes(dataset: Dataset) -> str:
    """Return the number of sequences of each split in words."""
    from throughtime.datasets.prepared import SPLITS

    return f"{', '.join(f'{split} {dataset.size(split)}' for split in SPLITS)} sequences"


def _class(name: str) -> type[Dataset]:
    """Return the class of a registered dataset."""
    from throughtime.registry import DATASETS

    return cast("type[Dataset]", DATASETS[name].factory)


def _built(name: str, options: list[str]) -> Dataset:
    """Build a dataset with options of the form `name=value`; the value is YAML, checked like that of a suite."""
    import pydantic

    from throughtime.registry import DATASETS
    from throughtime.suites.strict_yaml import Document, refusal

    component = DATASETS[name]
    document = Document("--option", "{}")
    document.name = name  # no file, and so no lines: `--option` is the whole place of an error
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not value.strip():
            raise UsageError("an option has the form NAME=VALUE", where=f"--option {option}")
        document.set((key,), value, f"--option {option}")
        if isinstance(number := document.data.get(key), int) and abs(number) >= 2**63:
            raise UsageError("the number has more than 64 bits", where=f"--option {option}")
    try:
        return component.factory(**component.checked(document.data))
    except pydantic.ValidationError as error:
        raise refusal(error, document, component.options, subject=name) from error
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from error


def _files(name: str) -> tuple[Any, ...]:
    """Return the files that a dataset reads with default options."""
    from throughtime.registry import DATASETS

    component = DATASETS[name]
    return component.factory(**component.checked({})).needed() if _class(name).files else ()


def _whereabouts(name: str) -> str:
    """Return the folder of a dataset's files, without verification, or the origin of a dataset without files."""
    from throughtime.datasets.files.fetch import report

    files = _files(name)
    if not files:
        return _class(name).origin
    present = [presence.path for presence in report(files) if presence.path]
    if len(present) == len(files):
        return f"here: {', '.join(dict.fromkeys(str(path.parent) for path in present))}"
    some = f"{len(present)} of {len(files)} here" if present else "not here"
    return f"{some}: `throughtime data fetch {name}`"
