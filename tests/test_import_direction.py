"""Who may import whom, read from the source by `ast`. The allow-list is empty and meant to stay so."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "transformer_lens", "sae_lens", "transformers", "sqlite3"}
HOOKED = "sas_core/model/hooked.py"
TORCH_FREE = [
    "sas_core/contrast/statistics.py",
    "sas_core/contrast/select.py",
    "sas_core/contrast/pairs.py",
    "sas_core/contrast/parse.py",
    "sas_core/vectors/schema.py",
]


def imported_modules(source: str) -> set[str]:
    """Dotted names of everything imported anywhere in the source, `from a import b` giving `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def names_hooked_transformer(source: str) -> bool:
    """Whether code (not a docstring) uses the class that is gone in transformer-lens 4."""
    nodes = list(ast.walk(ast.parse(source)))
    used = {n.id for n in nodes if isinstance(n, ast.Name)}
    used |= {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    used |= {alias.name for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names}
    return "HookedTransformer" in used


def violations(path: str, source: str) -> list[str]:
    """What the file at `path` (relative to the repository) imports and must not, one sentence each."""
    imported = imported_modules(source)
    roots = {name.partition(".")[0] for name in imported}
    found = []
    if path.startswith("sas_core/"):
        found += [f"{path} imports {name}" for name in sorted(roots & {"streamlit", "pages", "app"})]
        if path != HOOKED and names_hooked_transformer(source):
            found.append(f"{path} names HookedTransformer, which only {HOOKED} may")
    if path == "app.py" or path.startswith("pages/"):
        found += [f"{path} imports {name}" for name in sorted(roots & HEAVY)]
        found += [f"{path} imports relatively" for name in sorted(imported) if name.startswith(".")][:1]
        found += [f"{path} imports the page {name}" for name in sorted(imported) if _is_page(name)]
    return found


def _is_page(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == "pages" and len(parts) > 1 and parts[1] != "shared"


def sources() -> list[Path]:
    return sorted([*ROOT.glob("app.py"), *ROOT.glob("pages/**/*.py"), *ROOT.glob("sas_core/**/*.py")])


def test_every_module_imports_only_what_its_place_allows() -> None:
    found = [v for p in sources() for v in violations(p.relative_to(ROOT).as_posix(), p.read_text("utf-8"))]
    assert found == []


def test_the_walk_sees_the_real_modules() -> None:
    seen = {path.relative_to(ROOT).as_posix() for path in sources()}
    assert {HOOKED, "sas_core/errors.py", *TORCH_FREE} <= seen
    assert names_hooked_transformer((ROOT / HOOKED).read_text("utf-8"))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sas_core/figures.py", "import streamlit as st"),
        ("sas_core/figures.py", "def f():\n    from streamlit.runtime import get_instance"),
        ("sas_core/figures.py", "from pages.shared import header"),
        ("sas_core/steering/engine.py", "from transformer_lens import HookedTransformer"),
        ("sas_core/steering/engine.py", "import transformer_lens\ntransformer_lens.HookedTransformer()"),
        ("app.py", "import torch"),
        ("pages/steer.py", "def f():\n    import torch.nn.functional as F"),
        ("pages/steer.py", "from transformers import AutoTokenizer"),
        ("pages/shared/header.py", "import sqlite3"),
        ("pages/steer.py", "import pages.contrast"),
        ("pages/steer.py", "from pages import contrast"),
        ("pages/steer.py", "from pages.contrast import draw"),
        ("pages/steer.py", "from . import contrast"),
    ],
)
def test_a_planted_violation_is_found(path: str, source: str) -> None:
    assert len(violations(path, source)) >= 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sas_core/model/hooked.py", "from transformer_lens import HookedTransformer"),
        ("sas_core/steering/edit.py", '"""Hooks of a HookedTransformer."""\nimport torch\nimport sqlite3'),
        ("pages/steer.py", "import streamlit as st\nfrom pages.shared import header\nimport sas_core.engine"),
        ("pages/steer.py", "from pages.shared.header import open_page\nimport torchless"),
    ],
)
def test_what_is_allowed_is_not_reported(path: str, source: str) -> None:
    assert violations(path, source) == []


@pytest.mark.parametrize("path", TORCH_FREE)
def test_importing_a_torch_free_module_leaves_torch_out(path: str) -> None:
    module = path.removesuffix(".py").replace("/", ".")
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or f"{module} pulled torch in"
