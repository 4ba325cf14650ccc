"""Examples of the Python interface in the documents run unchanged: the notebook, and the section of the README."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def run_script(code: str, folder: Path) -> str:
    """Run code as a plain script in a fresh process; return its output."""
    (folder / "script.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    notebook = json.loads((CHECKOUT / "docs/tutorial.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 8 and all(cell["outputs"] == [] for cell in cells)
    printed = run_script("\n\n".join("".join(cell["source"]) for cell in cells), tmp_path)
    assert "test split" in printed and re.search(r"loss 0\.\d\d before, 0\.\d\d after", printed)
    assert (tmp_path / "figures" / "tutorial-tiny-curves.svg").exists()


def test_the_section_of_the_readme_runs(tmp_path):
    section = (CHECKOUT / "README.md").read_text(encoding="utf-8").partition("## Use it from Python")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code is not None
    printed = run_script(code.group(1), tmp_path)
    assert "bptt lif digits #0" in printed and float(printed.split()[-1]) > 0
