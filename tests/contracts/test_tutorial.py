"""Examples of the Python interface in the documents run unchanged: the notebook, and the section of the README."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parents[2]


def addresses(checkout: Path) -> set[str]:
    """Return OWNER/NAME of the repository on GitHub as each file that knows it has it; empty where it has none."""
    cells = json.loads((checkout / "docs/tutorial.ipynb").read_text("utf-8"))["cells"]
    (notebook_address,) = re.findall(r'REPOSITORY = "(.*?)"', "".join("".join(cell["source"]) for cell in cells))
    citation_address = yaml.safe_load((checkout / "CITATION.cff").read_text("utf-8")).get("repository-code", "")
    project_addresses = re.findall(
        r'^Repository = "(.*)"', (checkout / "pyproject.toml").read_text("utf-8"), re.MULTILINE
    )
    elsewhere = {
        address.removeprefix("https://github.com/") for address in (citation_address, *(project_addresses or [""]))
    }
    return {notebook_address, *elsewhere}


def test_all_files_have_the_same_address_of_the_repository(tmp_path):
    """`[project.urls]` is its place; it has none before the repository is public. The README's badges are relative."""
    assert len(addresses(CHECKOUT)) == 1
    (tmp_path / "docs").mkdir()
    for name in ("pyproject.toml", "CITATION.cff", "docs/tutorial.ipynb"):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    with (tmp_path / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write('\n[project.urls]\nRepository = "https://github.com/someone/elsewhere"\n')
    assert len(addresses(tmp_path)) == 2, "the notebook does not have that address"


def test_the_notebook_runs_from_top_to_bottom_and_then_the_section_of_the_readme(tmp_path):
    """One process runs both as a plain script: its imports take longer than what they run."""
    notebook = json.loads((CHECKOUT / "docs/tutorial.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 8 and all(cell["outputs"] == [] for cell in cells)
    section = (CHECKOUT / "README.md").read_text(encoding="utf-8").partition("## Use it from Python")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code is not None
    parts = ["".join(cell["source"]) for cell in cells] + ["print('README')", code.group(1)]
    (tmp_path / "script.py").write_text("\n\n".join(parts), encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    notebook_output, readme_output = done.stdout.split("README\n")
    assert "test split" in notebook_output and re.search(r"loss 0\.\d\d before, 0\.\d\d after", notebook_output)
    assert (tmp_path / "figures" / "tutorial-tiny-curves.svg").exists()
    assert "bptt lif digits #0" in readme_output and float(readme_output.split()[-1]) > 0
