"""Pages of the site that are generated from the code: components, the Python interface, suite files, surrogates."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import textwrap
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pydantic
from markdown.extensions import toc
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import throughtime
from throughtime.algorithms.base import Claims, LearningRule
from throughtime.algorithms.coordinates import Coordinates, Cost
from throughtime.commands.ls import rule_coordinates
from throughtime.datasets.base import Dataset
from throughtime.datasets.batch import Batch
from throughtime.datasets.task import Metric, Task
from throughtime.markdown import table
from throughtime.networks.base import Network
from throughtime.networks.layer import Layer, Synapse
from throughtime.networks.readout import Readout
from throughtime.neurons.base import Neuron
from throughtime.neurons.gate import Gate
from throughtime.neurons.surrogate import SURROGATES
from throughtime.options import options_of, type_text
from throughtime.records.repetitions import OUTCOMES, Repetition, committed_repetitions
from throughtime.registry import REGISTRIES, Component
from throughtime.spec import Training
from throughtime.suites.schema import ComponentEntry, Exclude, Include, Override, Scales, SuiteFile, Tune, When

MODELS: dict[type[pydantic.BaseModel], str] = {
    SuiteFile: "Keys of a suite",
    ComponentEntry: "A component in a list",
    Training: "training",
    Tune: "tune",
    When: "Patterns of cells",
    Exclude: "exclude",
    Include: "include",
    Override: "overrides",
    Scales: "scales",
}
"""Sections of the page on suite files."""
INTERFACE = {
    "Suites and results": (
        "run",
        "load",
        "Results",
        "frame",
        "table",
        "figure",
        "compare",
        "check",
        "bytes",
        "recommend",
    ),
    "Training in a loop of your own": (
        *(
            "build_network",
            "build_rule",
            "build_dataset",
            "as_dataset",
            "neuron_type",
            "Learner",
            "evaluate",
            "load_network",
        ),
    ),
    "Components of your own": ("algorithm", "neuron", "network", "dataset"),
}
"""Sections of the page on the Python interface, and their names of `throughtime`."""
CONTRACTS: dict[str, tuple[type, ...]] = {
    "Rules": (LearningRule, Claims, Coordinates, Cost),
    "Neurons": (Neuron, Gate),
    "Networks": (Network, Layer, Synapse, Readout),
    "Datasets": (Dataset, Batch, Task, Metric),
}
"""Sections of the page on contracts: what a component of your own defines, and what it gets."""
WIDTH = 70
"""Longest line of a signature."""
HEADING = re.compile(r"^(Args|Attributes|Example|Raises|References|Returns|Yields):\n", re.MULTILINE)
EXAMPLES = (
    "Examples assume `import throughtime as tt`, `import torch` and "
    "`from throughtime.datasets.task import Classification`; `folder` is a folder for results."
)
ITEM = re.compile(r"^ {4}(?! )(?:(\w+): )?", re.MULTILINE)
"""Start of a line in a section of a docstring: of an argument or error, which has a name, or of a sentence."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List a page for each registered rule and for each paper; a strict build refuses a page that does not exist."""
    listed = {"Learning rules": [f"rules/{name}.md" for name in _own("rules")]}
    listed["Papers"] = sorted(
        f"papers/{page.name}" for page in Path(config.docs_dir, "papers").glob("*.md") if page.stem != "index"
    )
    for section in config.nav or ():
        for title, pages in section.items():
            if title in listed:
                pages += listed[title]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {kind: _components(kind) for kind in REGISTRIES}
    pages |= {"python": _python(), "contracts": _contracts(), "suite": _suite(), "surrogates": _surrogates()}
    pages["repeated"] = _repeated()
    for page, text in pages.items():
        files.append(File.generated(config, f"reference/{page}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Write the repository on GitHub that builds the site where the page says how to clone it and to open Colab."""
    repository = os.environ.get("GITHUB_REPOSITORY")
    if page.file.src_uri != "get-started.md" or not repository:
        return markdown
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/docs/tutorial.ipynb"
    named = {
        "git clone REPOSITORY": f"git clone https://github.com/{repository}",
        "REPOSITORY is the address of this repository. ": "",
        "In\nColab, open it from GitHub, and write OWNER/NAME of the repository": (
            f"[Open it in\nColab]({colab}), and write `{repository}`"
        ),
    }
    for general, address in named.items():
        if general not in markdown:
            raise PluginError(f"{page.file.src_uri} no longer says {general!r}")
        markdown = markdown.replace(general, address)
    return markdown


def _own(kind: str) -> list[str]:
    """Return the names of the package's components of a kind."""
    registry = REGISTRIES[kind]
    return [name for name in registry.names() if registry[name].origin == "throughtime"]


def _components(kind: str) -> str:
    parts = [
        f"# {kind.capitalize()}",
        f"Options are those of a suite file; `throughtime ls NAME` prints the same. {EXAMPLES}",
    ]
    if kind == "rules":
        parts += _coordinates()
    for name in _own(kind):
        parts += _component(REGISTRIES[kind][name])
    return "\n\n".join(parts) + "\n"


def _coordinates() -> Iterator[str]:
    rows = {name: rule_coordinates(REGISTRIES["rules"][name]) for name in _own("rules")}
    yield "## Coordinates and costs"
    yield (
        "Each rule replaces a part of M_t = J_t M_{t−1} + I_t, dE/dθ = Σ_t L_t M_t "
        "([Coordinates](contracts.md#coordinates)). Costs are in the letters B, the batch, T, the steps, L, the "
        "longest window or segment, D, the draws, N, the neurons, K, those in the largest reach, Z, the numbers of a "
        "sample that the traces carry, S, the state variables, and P, the parameters."
    )
    yield _table(("rule", *rows["bptt"]), [(f"[{name}](#{name})", *row.values()) for name, row in rows.items()])


def _component(component: Component) -> Iterator[str]:
    yield f"## {component.name}"
    # Indented paragraphs of a docstring are equations, which Markdown shows as code.
    before, *sections = HEADING.split(inspect.cleandoc(component.factory.__doc__ or ""))
    yield before
    options = options_of(component)
    yield _table(("option", "type", "default", "meaning"), [(f"`{o.name}`", *o[1:]) for o in options])
    for heading, body in zip(sections[::2], sections[1::2], strict=True):
        if heading in ("Example", "References"):
            yield from _section(heading, body)


def _python() -> str:
    if unlisted := sorted({*throughtime.__all__}.difference(*INTERFACE.values())):
        raise PluginError(f"INTERFACE of docs/site/reference.py lacks {', '.join(unlisted)}")
    text = [
        "# Python interface",
        f"The names of `import throughtime as tt`, with the docstrings of the code. {EXAMPLES}",
    ]
    for title, names in INTERFACE.items():
        text.append(f"## {title}")
        for name in names:
            thing = getattr(throughtime, name)
            before, *sections = HEADING.split(inspect.getdoc(thing) or "")
            text += [f"### {name}", f"```python\n{name}{_signature(thing)}\n```", before]
            for heading, body in zip(sections[::2], sections[1::2], strict=True):
                text += _section(heading, body)
    return "\n\n".join(text) + "\n"


def _contracts() -> str:
    text = [
        "# Contracts",
        "The classes of components, with the docstrings of the code; [how to use them](../extending.md).",
    ]
    for title, classes in CONTRACTS.items():
        text.append(f"## {title}")
        for cls in classes:
            before, *sections = HEADING.split(inspect.cleandoc(cls.__doc__ or ""))
            text += [f"### {cls.__name__}", before]
            for heading, body in zip(sections[::2], sections[1::2], strict=True):
                text += _section(heading, body)
            text.append(_table(("member", "meaning"), [*_members(cls)]))
    return "\n\n".join(text) + "\n"


def _members(cls: type) -> Iterator[tuple[str, str]]:
    """Yield the public methods and the attributes of a class that have a docstring, without the sections of it."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    for node, after in zip(definition.body, [*definition.body[1:], ast.Pass()], strict=True):
        if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)) and not node.name.startswith("_"):
            is_property = any(isinstance(name, ast.Name) and "property" in name.id for name in node.decorator_list)
            arguments = ", ".join(argument.arg for argument in node.args.args[1:] + node.args.kwonlyargs)
            yield f"`{node.name}`" if is_property else f"`{node.name}({arguments})`", HEADING.split(text)[0].strip()
        elif isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            yield f"`{ast.unparse(node.target)}`", inspect.cleandoc(str(after.value.value))


def _section(heading: str, body: str) -> tuple[str, str]:
    """Return a section of a docstring as Markdown: its heading, and its items, links or code."""
    if heading == "Example":
        return f"**{heading}**", f"```pycon\n{inspect.cleandoc(body)}\n```"
    if heading == "References":
        return f"**{heading}**", re.sub(r"^ {4}(.*): (https?://\S+)$", r"- [\1](\2)", body, flags=re.MULTILINE)
    return f"**{heading}**", ITEM.sub(lambda item: f"- `{item[1]}`: " if item[1] else "", body)


def _signature(thing: Callable[..., object]) -> str:
    """Return the arguments and their defaults, on several lines if one is too long; the docstring has the types."""
    signature = inspect.signature(thing)
    arguments = [
        argument.replace(annotation=argument.empty, default=_plain(argument.default))
        for argument in signature.parameters.values()
    ]
    line = str(signature.replace(parameters=arguments, return_annotation=signature.empty))
    if len(line) <= WIDTH:
        return line
    shown = [str(argument) for argument in arguments]
    named = [i for i, argument in enumerate(arguments) if argument.kind is argument.KEYWORD_ONLY]
    if named and not any(argument.kind is argument.VAR_POSITIONAL for argument in arguments):
        shown.insert(named[0], "*")
    return "(\n" + "".join(f"    {argument},\n" for argument in shown) + ")"


def _plain(default: object) -> object:
    """Return a default that reads as a user would write it."""
    if isinstance(default, Path):
        return str(default)
    return dict(default) if isinstance(default, Mapping) else default


def _suite() -> str:
    text = ["# Suite files", (inspect.getdoc(inspect.getmodule(SuiteFile)) or "").partition("\n")[0]]
    for model, title in MODELS.items():
        text += [f"## {title}", inspect.getdoc(model) or "", _fields(model)]
    return "\n\n".join(text) + "\n"


def _fields(model: type[pydantic.BaseModel]) -> str:
    schema = model.model_json_schema()
    rows = []
    for name, field in model.model_fields.items():
        nested = _nested(field.annotation)
        described = schema["properties"][name]
        default = "required" if field.is_required() else f"`{json.dumps(described.get('default'))}`"
        shown = (f"[{MODELS[nested]}]({_anchor(MODELS[nested])})", "") if nested else (type_text(described), default)
        rows.append((f"`{name}`", *shown, field.description or ""))
    return _table(("key", "type", "default", "meaning"), rows)


def _nested(annotation: object) -> type[pydantic.BaseModel] | None:
    """Return the model in the annotation of a key, as it is, in a list or optional, if a section describes it."""
    parts = (annotation, *typing.get_args(annotation))
    inner = [part for outer in parts for part in (outer, *typing.get_args(outer))]
    return next((part for part in inner if isinstance(part, type) and part in MODELS), None)


def _anchor(title: str) -> str:
    return f"#{toc.slugify(title, '-')}"


def _surrogates() -> str:
    text = ["# Surrogates", "The derivative of a spike, H(x) with x the membrane potential over its threshold."]
    for name, surrogate in SURROGATES.items():
        h = getattr(surrogate.h, "func", surrogate.h)  # a surrogate may fix arguments of another one's function
        text += [f"## {name}", inspect.getdoc(h) or ""]
    return "\n\n".join(text) + "\n"


def _repeated() -> str:
    """Return the page of the repeated runs: the number of each outcome by suite, and the runs without equal numbers."""
    suites: dict[tuple[str, str], list[Repetition]] = {}
    for line in committed_repetitions().values():
        suites.setdefault((line.suite, line.scale), []).append(line)
    rows = []
    for name, lines in suites.items():
        outcomes = Counter(line.outcome for line in lines)
        commits = ", ".join(dict.fromkeys(line.commit for line in lines))
        rows.append((*name, *(str(outcomes[outcome] or "") for outcome in OUTCOMES), commits))
    unequal = [
        (line.suite, line.scale, line.label, line.outcome, line.column, f"{line.difference or 0:.1e}", line.reason)
        for lines in suites.values()
        for line in lines
        if line.verdict != "same"
    ]
    text = [
        "# Repeated runs",
        "Committed runs that later code trained again to their first evaluation ([how](../ci.md#repeated-runs)).",
        "\n".join(f"- *{outcome}*: {words}" for outcome, words in list(OUTCOMES.items())[:2]),
        _table(("suite", "scale", *OUTCOMES, "commits"), rows),
        "## Without equal numbers",
        _table(("suite", "scale", "run", "outcome", "column", "relative difference", "reason"), unequal)
        if unequal
        else "None.",
    ]
    return "\n\n".join(text) + "\n"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return "No options."
    return table(header, [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows])
