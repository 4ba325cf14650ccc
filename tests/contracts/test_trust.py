"""Nothing that lies on disk is run: no pickle, no unsafe YAML, no evaluated text; plugins run only when named."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("algorithms", "bench", "datasets", "networks", "neurons", "reports")
CODE = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
PICKLERS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def faults(source: str) -> list[str]:
    """What in a source could run code that lies on disk as data."""
    found = []
    for node in ast.walk(ast.parse(source)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"imports {module}" for module in modules if module.partition(".")[0] in PICKLERS]
        if not isinstance(node, ast.Call):
            continue
        called, keywords = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        if called == "torch.load" and keywords.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if called in ("np.load", "numpy.load") and keywords.get("allow_pickle", "False") != "False":
            found.append("numpy.load that allows pickles")
        if called in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "os.system"):
            found.append(f"calls {called}")
        if called.endswith(".extractall"):
            found.append("extracts an archive by itself")
        if keywords.get("shell") == "True":
            found.append("starts a shell")
    return found


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_on_disk_is_run(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "exec(text)",
        "tarfile.open(path).extractall(folder)",
        "subprocess.run(words, shell=True)",
    ],
)
def test_the_look_finds_what_it_should(source):
    assert len(faults(source)) == 1
