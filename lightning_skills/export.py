"""``python -m lightning_skills export``: a trained policy as a program that runs on torch alone.

``policy.pt2`` is a ``torch.export`` program of one primitive step, ``policy.json`` says how it is called.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_skills import report, trained
from lightning_skills.files import whole, write
from lightning_skills.nets.step_policy import StepPolicy
from lightning_skills.quiet import quiet
from lightning_skills.words import check_free, one_place, options_and_places

OPTIONS = {"checkpoint": "", "phase": "", "env.task": "", "out": "policy", "overwrite": "false", "uri": ""}
FORMAT = 1
PROGRAM, ABOUT = "policy.pt2", "policy.json"
CHECK = f"python -m lightning_skills check {PROGRAM}"
BATCH = "batch"
TRACED = 2
"""Rows of the inputs that a program is traced with: a single row would be taken for the only number possible."""


def main(words: Sequence[str]) -> int:
    """The command: a run's folder or a model, and ``key=value`` options; returns the exit status.

    Raises:
        InputError: if an option is wrong, there is no such policy, or it cannot be exported or written.
    """
    options, places = options_and_places(words, OPTIONS)
    quiet()
    changed = [f"env.task={options['env.task']}"] if options["env.task"] else []
    where = options["uri"] or None
    policy = trained.load(one_place(places), changed, where, options["checkpoint"] or None, options["phase"] or None)
    out = Path(options["out"])
    check_free(out / PROGRAM, options["overwrite"])
    step = policy.module.step_policy()
    run = policy.run
    origin = {"method": run.method.name, "env": run.env.name, "task": run.config.env.task, "seed": run.config.seed}
    about = json.dumps({"format": FORMAT, **origin, **describe(step)}, indent=2)
    traced = io.BytesIO()  # where torch itself writes to a full disk, it aborts the process
    torch.export.save(program(step), traced)
    with whole(out / PROGRAM) as beside:
        beside.write_bytes(traced.getvalue())
        write(out / ABOUT, about)  # before the program is in its place: both are new, or neither
    print(report.summary_table([("program", str(out / PROGRAM)), ("how to call it", str(out / ABOUT))]))
    return 0


def program(step: StepPolicy) -> torch.export.ExportedProgram:
    """A policy traced for any number of rows."""
    inputs = (torch.zeros(TRACED, step.inputs), *(_rows(start, TRACED) for start in step.state.values()))
    rows = {0: torch.export.Dim(BATCH)}
    shapes: dict[str, Any] = {"observation": rows}
    if step.state:
        shapes["state"] = (rows,) * len(step.state)
    traced = torch.export.export(step, inputs, dynamic_shapes=shapes)
    for node in traced.graph.nodes:  # the rest says where the lines that were traced lie on this machine
        node.meta = {key: value for key, value in node.meta.items() if key == "val"}
    return traced


def describe(step: StepPolicy) -> dict[str, Any]:
    """What ``policy.json`` says of a program: inputs and outputs in their order, the acting state, a call."""
    state = [_tensor(name, start) for name, start in step.state.items()]
    starts = ", ".join(
        f"torch.zeros({', '.join(['n', *map(str, t.shape)])}, dtype={t.dtype})" for t in step.state.values()
    )
    return {
        "inputs": [_tensor("observation", torch.zeros(step.inputs)), *state],
        "outputs": [{**_tensor("action", torch.zeros(step.outputs)), "low": -1, "high": 1}, *state],
        "state": {
            "names": list(step.state),
            "start": "zeros; put the rows of worlds that start an episode back to them",
        },
        "torch": torch.__version__,
        "check": f"a file that somebody else had may run their code when it is loaded: {CHECK}",
        "example": [
            f"policy = torch.export.load({PROGRAM!r}).module()",
            f"state = [{starts}]",
            "action, *state = policy(observation, *state)  # once every primitive step",
        ],
    }


def _tensor(name: str, row: Tensor) -> dict[str, Any]:
    return {"name": name, "shape": [BATCH, *row.shape], "dtype": str(row.dtype).removeprefix("torch.")}


def _rows(start: Tensor, rows: int) -> Tensor:
    return start.expand(rows, *start.shape).clone()
