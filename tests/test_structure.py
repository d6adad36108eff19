"""Who may import whom, and what listing plug-ins may cost."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imported(file: Path) -> set[str]:
    """Modules a file imports anywhere, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def files(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("folder", ["lightning_skills", "methods", "envs"])
def test_imports_point_downwards(folder):
    for file in files(folder):
        parts = file.relative_to(ROOT).parts
        for name in imported(file):
            top, *below = name.split(".")
            if folder == "lightning_skills":
                assert top not in ("methods", "envs"), f"{file} imports {name}"
            elif folder == "methods":
                assert top != "envs", f"{file} imports {name}"
                assert top != "methods" or below[:1] == [parts[1]], f"{file} imports its sibling {name}"
            else:
                assert top != "methods", f"{file} imports {name}"


def test_the_map_names_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = page[page.index("## Rooms") : page.index("Who may import whom")]
    owned = [file for folder in ("", "phases", "data") for file in (ROOT / "lightning_skills" / folder).glob("*.py")]
    missing = {file.name for file in owned if not re.search(rf"\b{file.name}", rooms)} - {"__init__.py"}
    plug_ins = [file.parent for kind in ("methods", "envs") for file in (ROOT / kind).glob("*/__init__.py")]
    assert not missing | {folder.name for folder in plug_ins if f" {folder.name}/" not in rooms}


def test_listing_loads_neither_torch_nor_mujoco():
    code = (
        "import sys, lightning_skills.config; from lightning_skills import plugins;"
        "methods, envs = plugins.methods(), plugins.envs();"
        "assert methods and envs;"
        "print([m for m in ('torch', 'mujoco', 'gymnasium', 'mlflow', 'lightning') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert output.stdout.strip() == "[]"
