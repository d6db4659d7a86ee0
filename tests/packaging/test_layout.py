"""The house rules that an import can break: who may import whom, and what a client machine needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("bridge", "worldmodel", "bindings", "demos", "commands")
# what each folder may import of ours
MAY_IMPORT = {
    "bridge": {"bridge"},
    "worldmodel": {"bridge", "worldmodel"},
    "bindings": {"bridge", "bindings"},
    "demos": {"bridge", "worldmodel", "bindings", "demos"},
    "commands": {"bridge", "worldmodel", "bindings", "commands"},
}
SOURCES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    folder = path.relative_to(ROOT).parts[0]
    for name in imported(path):
        if name.startswith("inhabit."):
            assert name.split(".")[1] in MAY_IMPORT[folder], f"{folder} must not import {name}"
        assert name.split(".")[0] not in FOLDERS, f"write inhabit.{name}"
        assert name.split(".")[0] not in ("pickle", "cloudpickle", "dill")
        if folder in ("bridge", "bindings"):
            assert name.split(".")[0] not in ("torch", "safetensors"), f"no torch under {folder}"


def test_only_the_transport_knows_zeromq():
    users = {path.name for path in SOURCES if "zmq" in {name.split(".")[0] for name in imported(path)}}
    assert users <= {"transport.py", "doctor.py"}


@pytest.mark.parametrize("module", ["bridge.client", "bridge.server", "bridge.supervisor", "worldmodel.catalog"])
def test_a_client_machine_needs_no_torch(module):
    code = f"import sys, inhabit.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
