"""Identifiers have their NFKC form: Python folds ϑ into θ, ϱ into ρ and ℓ into l, so that two names become one."""

from __future__ import annotations

import io
import tokenize
import unicodedata
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("algorithms", "bench", "datasets", "docs", "networks", "neurons", "numerics", "reports", "tests")


def folded(source: str) -> set[str]:
    """Identifiers that Python replaces by another spelling; `ast` has the replacement only, tokens have the source."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    names = {token.string for token in tokens if token.type == tokenize.NAME}
    return {name for name in names if unicodedata.normalize("NFKC", name) != name}


def test_no_identifier_is_folded():
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    result = {str(path.relative_to(ROOT)): folded(path.read_text(encoding="utf-8")) for path in paths}
    assert len(paths) > 200 and {path: names for path, names in result.items() if names} == {}


def test_a_folded_identifier_is_found_wherever_it_stands():
    source = "def f(ϑ, *, dℓ=1):\n    self.ϱ = lambda ϑ_t: θ + ρ + l\n    return 'ϑ'  # ϱ\n"
    assert folded(source) == {"ϑ", "dℓ", "ϱ", "ϑ_t"}
