"""All checks: ``python -m tests``. Installs the sample plug-in distribution into this environment first."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = [sys.executable, "-m"]
CHECKS = (
    [*PYTHON, "pip", "install", "--quiet", "--no-deps", "--editable", "tests/plugin"],
    [*PYTHON, "ruff", "check"],
    [*PYTHON, "ruff", "format", "--check"],
    [*PYTHON, "mypy"],
    [*PYTHON, "pytest", "--numprocesses=auto", "--dist=worksteal", "--durations=15", *sys.argv[1:]],
)

for check in CHECKS:
    print("$", *check[2:], flush=True)
    status = subprocess.run(check, cwd=ROOT, check=False).returncode
    if status:
        sys.exit(status)
