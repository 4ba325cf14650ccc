"""Contents of the installed package: one import name, every file that is read at run time, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.reports.test_own_papers import write_paper_of_the_docs

CHECKOUT = Path(__file__).parents[2]
FOLDERS = (
    "bench",
    "algorithms",
    "neurons",
    "networks",
    "numerics",
    "datasets",
    "reports",
    "results/baselines",
    "results/published",
)
"""Where packages lie; `bench` is the top one, the others are named by their last part."""


def installed_path(source: PurePosixPath) -> PurePosixPath:
    """Return the path at which the wheel has a file of the checkout."""
    root = next(PurePosixPath(folder) for folder in FOLDERS if source.is_relative_to(folder))
    top = PurePosixPath("throughtime") if root.name == "bench" else PurePosixPath("throughtime", root.name)
    return top / source.relative_to(root)


def called(*words: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=300, **options)


def succeeded(*words: object, **options) -> str:
    """The output of a command that must succeed."""
    ended = called(*words, **options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def sources() -> list[PurePosixPath]:
    """Files of the checkout that git does not ignore: no leftover of an earlier build."""
    listed = succeeded("git", "ls-files", "-co", "--exclude-standard", "-z", cwd=CHECKOUT).split("\0")
    return [PurePosixPath(name) for name in listed if (CHECKOUT / name).is_file()]


@pytest.fixture(scope="module")
def build(sources, tmp_path_factory) -> tuple[Path, str]:
    """The wheel, built from a copy of the sources, and the output of its build."""
    copy, dist = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for name in sources:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, copy / name)
    ended = called(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, copy, cwd=dist)
    log = ended.stdout + ended.stderr
    assert ended.returncode == 0, log
    (built,) = dist.glob("*.whl")
    return built, log


@pytest.fixture(scope="module")
def wheel(build) -> Path:
    return build[0]


@pytest.fixture(scope="module")
def build_log(build) -> str:
    return build[1]


@pytest.fixture(scope="module")
def files(wheel) -> list[PurePosixPath]:
    with zipfile.ZipFile(wheel) as archive:
        return [PurePosixPath(name) for name in archive.namelist()]


def metadata(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (path for path in archive.namelist() if path.endswith(f".dist-info/{name}"))
        return archive.read(path).decode()


@pytest.fixture(scope="module")
def core(wheel) -> Message:
    return Parser().parsestr(metadata(wheel, "METADATA"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    succeeded(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", target, wheel)
    return target


def test_the_wheel_has_one_import_name(files):
    top = {path.parts[0] for path in files}
    assert top - {"throughtime"} == {part for part in top if part.startswith("throughtime-")}
    assert all(part.endswith(".dist-info") for part in top - {"throughtime"}) and len(top) == 2


def test_the_wheel_holds_every_file_of_the_folders(files, sources):
    """Modules and data files alike, for no list names either."""
    expected = {path for root in FOLDERS for path in sources if path.is_relative_to(root)}
    assert {installed_path(path) for path in expected} == {path for path in files if path.parts[0] == "throughtime"}
    assert {path.suffix for path in expected} >= {".py", ".yaml", ".html", ".csv", ".npz", ".zip", ".typed"}


def test_the_editable_install_holds_every_file_of_the_wheel(files):
    for path in (path for path in files if path.parts[0] == "throughtime"):
        spec = importlib.util.find_spec(".".join(path.parts[:-1]))
        assert spec is not None and spec.submodule_search_locations is not None, f"{path}: install again after setup.py"
        assert any((Path(folder) / path.name).is_file() for folder in spec.submodule_search_locations), path


def test_a_build_warns_of_nothing(build_log):
    assert "removing build" in build_log and "Warning" not in build_log and "!!" not in build_log


def test_the_wheel_holds_licences_and_sources(files):
    assert {"LICENSE", "NOTICE"} <= {path.name for path in files}
    sources = {"throughtime/published/SOURCES.md", "throughtime/datasets/samples/SOURCES.md"}
    assert sources <= set(map(str, files))


def test_the_wheel_holds_no_tests(files):
    assert not [path for path in files if "tests" in path.parts or path.name.startswith(("test_", "conftest"))]


def test_the_command_is_an_entry_point(wheel):
    lines = metadata(wheel, "entry_points.txt").splitlines()
    assert lines[: lines.index("throughtime = throughtime.__main__:main") + 1][-2] == "[console_scripts]"


def test_python_versions(core):
    python = SpecifierSet(core["Requires-Python"])
    assert "3.10" in python and "3.9" not in python and "3.13" in python


def test_torch_is_asked_for_as_a_range_that_admits_cpu_builds(core):
    (torch,) = (r for r in map(Requirement, core.get_all("Requires-Dist")) if r.name == "torch")
    assert torch.marker is None and torch.url is None
    assert {clause.operator for clause in torch.specifier} <= {">=", "<", "!="}
    assert not [clause for clause in torch.specifier if "+" in clause.version]
    assert torch.specifier.contains("2.13.0") and torch.specifier.contains("2.13.0+cpu")


SAFE_FROM = {
    "filelock": "3.20.3",  # CVE-2025-68146, CVE-2026-22701
    "jinja2": "3.1.6",  # CVE-2025-27516
    "pillow": "12.3",  # several of 2025 and 2026; the newest release for Python 3.10
    "pyarrow": "23.0.1",  # CVE-2026-25087
    "requests": "2.33",  # CVE-2024-47081, CVE-2026-25645
    "scikit-learn": "1.5",  # CVE-2024-5206
    "torch": "2.10",  # CVE-2025-32434, CVE-2026-24747: files read with weights_only
    "torchvision": "0.25",  # that of torch 2.10
    "distributed": "2026.1",  # CVE-2026-23528
}


def test_no_dependency_has_a_lowest_version_with_a_known_vulnerability(core):
    floors = {
        r.name: clause.version
        for r in map(Requirement, core.get_all("Requires-Dist"))
        for clause in r.specifier
        if clause.operator == ">="
    }
    assert {name for name, safe in SAFE_FROM.items() if Version(floors[name]) < Version(safe)} == set()


AWAY = """
import json, throughtime, throughtime.datasets.digits as digits
from throughtime.commands.main import main
print(json.dumps([throughtime.__file__, digits.__file__]))
print("---")
assert main(["plan", "quick", "--scale", "tiny"]) == 0
assert main(["run", "somebody", "--paper", "somebody"]) == 0
print("---")
assert main(["verdicts", "somebody", "--paper", "somebody", "--results", "results/runs", "--json"]) == 0
"""


def test_an_installed_wheel_works_away_from_the_checkout_and_judges_a_paper_from_elsewhere(
    installed, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(installed))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    write_paper_of_the_docs(tmp_path)
    places, planned, rows = succeeded(sys.executable, "-c", AWAY).split("---\n")
    for path in json.loads(places):
        assert Path(path).is_relative_to(installed), "not the editable install"
    assert "\n46 runs: " in planned
    exact, target, _ = json.loads(rows)
    assert (exact["verdict"], exact["ours"]) == ("reproduced", "13.86294361")
    # Single runs differ by the processor; what is tested is that three were made and judged.
    assert target["n"] == 3 and target["verdict"] in ("reproduced", "within interval") and target["interval"]


def test_the_folder_datasets_refuses_to_be_a_package_of_its_own(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    ended = called(sys.executable, "-c", "import datasets", cwd=CHECKOUT)
    assert ended.returncode == 1
    said = "ImportError: this folder is throughtime.datasets, not a package called `datasets`: run from another folder"
    assert ended.stderr.splitlines()[-1].startswith(said)


RUN_ALL = """
import runpy, sys
from pathlib import Path
sys.argv[1:] = ["--help"]
before = [Path(entry or ".").resolve() for entry in sys.path]
try:
    runpy.run_path("run_all.py", run_name="__main__")
except SystemExit as end:
    print(end.code, before.count(Path.cwd()), [Path(entry or ".").resolve() for entry in sys.path].count(Path.cwd()))
"""


def test_run_all_takes_the_checkout_off_the_path(monkeypatch):
    assert "--scale" in succeeded(sys.executable, "run_all.py", "--help", cwd=CHECKOUT)
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    assert succeeded(sys.executable, "-c", RUN_ALL, cwd=CHECKOUT).splitlines()[-1] == "0 2 0"
