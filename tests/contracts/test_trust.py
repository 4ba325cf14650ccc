"""No data from disk is run as code: no pickle, no unsafe YAML, no eval; a plugin runs only when it is named, and one
function reads tensors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("algorithms", "bench", "datasets", "networks", "neurons", "numerics", "reports")
ALLOWED = {"numerics/equations/emit.py": ["calls exec"], "bench/harness/tensor_file.py": ["calls torch.load"]}
"""The step compiler runs the source that it wrote itself in the same call, from expressions and not from a file; the
reader of tensors demands the zip format and `weights_only`."""
PICKLERS = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}


def faults(source: str) -> list[str]:
    """Statements of a source that could run code read from disk as data."""
    result = []
    for node in ast.walk(ast.parse(source)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        result += [f"imports {module}" for module in modules if module.partition(".")[0] in PICKLERS]
        if not isinstance(node, ast.Call):
            continue
        called, keywords = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        if called in ("np.load", "numpy.load") and keywords.get("allow_pickle", "False") != "False":
            result.append("numpy.load that allows pickles")
        if called in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "os.system", "torch.load"):
            result.append(f"calls {called}")
        if called.endswith(".extractall"):
            result.append("extracts an archive by itself")
        if keywords.get("shell") == "True":
            result.append("starts a shell")
    return result


def test_no_file_runs_data_from_disk():
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    result = {str(path.relative_to(ROOT)): faults(path.read_text(encoding="utf-8")) for path in paths}
    assert len(paths) > 150 and {path: all_of for path, all_of in result.items() if all_of} == ALLOWED


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=True)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "exec(text)",
        "tarfile.open(path).extractall(folder)",
        "subprocess.run(words, shell=True)",
    ],
)
def test_each_kind_of_fault_is_found(source):
    assert len(faults(source)) == 1
