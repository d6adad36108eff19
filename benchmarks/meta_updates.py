"""PEARL's and SiMPL's meta-training updates against plain ones, each with the batch that it learns from."""

from dataclasses import dataclass
from typing import cast

import torch

from benchmarks.comparison import Comparison
from benchmarks.plain import NumpyReplay
from benchmarks.plain_meta import PlainPearl, PlainSimpl, gather
from benchmarks.synthetic import as_arrays, transitions
from lightning_skills.config import load
from lightning_skills.data.tasks import TaskData
from lightning_skills.phases.base import PhaseContext, UpdateTasks
from lightning_skills.phases.meta_train import MetaTrainModule
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from lightning_skills.plugins import resolve
from lightning_skills.run_options import Run

PER_TASK = 1200
"""Transitions that a buffer has of a task."""
PLAIN = {"pearl": PlainPearl, "simpl": PlainSimpl}


@dataclass(frozen=True)
class Setting:
    """A method in an environment.

    Args:
        sizes: What the table says.
        words: As on the command line.
        authors: Updates/s of the authors' code.
    """

    sizes: str
    words: tuple[str, ...]
    authors: str = ""


SMALLER_MAZE = (
    "env.task=simpl20-train10",
    "method.meta.small_tasks=2",
    "method.meta.large_tasks=6",
    "method.meta.large_context=512",
    "method.meta.batch_size=256",
)
"""A twentieth of the authors' update, with networks of the same size."""
SETTINGS = (
    Setting("cheetah-vel", ("method=pearl", "env=locomotion", "env.task=cheetah-vel"), "1.88 to 2.2"),
    Setting("kitchen", ("method=simpl", "env=kitchen"), "0.81"),
    Setting("maze, 8 tasks, context 512, batch 256", ("method=simpl", "env=maze", *SMALLER_MAZE)),
)


def built(run: Run) -> tuple[MetaTrainModule, TaskData]:
    """The meta-training phase before its first update, on untrained skills, and an empty memory."""
    env = resolve(run.env.make)(run.config.env, [0])
    phases = {phase.name: phase for phase in run.method.phases}
    artefacts = {
        need.phase: SkillPretrainModule(PhaseContext(getattr(run.config.method, need.phase), env.info)).artefact()
        for need in phases["meta"].needs
    }
    context = PhaseContext(run.config.method.meta, env.info, artefacts)
    module = cast(MetaTrainModule, resolve(phases["meta"].module)(context)).train()
    module.build_optimizers()
    return module, TaskData(module, env)


def meta_training(setting: Setting) -> Comparison:
    """One update each, and a batch for it out of buffers of all tasks."""
    run = load(setting.words)
    module, data = built(run)
    module.transitions = 1  # so that updates are due
    due = cast(UpdateTasks, module.plan()[-1])
    plain = PLAIN[run.method.name](module).train()
    tasks = len(data.own)
    memory = {view: [NumpyReplay(PER_TASK) for _ in range(tasks)] for view in (due.context_view, due.view)}
    sizes = module.context.env.state_dim, module.skill_execution().action_dim
    for task in range(tasks):
        for view, buffers in memory.items():
            new = transitions(*sizes, PER_TASK)
            buffers[task].append(as_arrays(new))
            data.memory.extend(torch.full((PER_TASK,), task), module.annotate(new), (view,))

    def ours() -> None:
        module.training_step(data.sample(due), 0)

    def theirs() -> None:
        groups = [torch.randint(tasks, (count,)) for count in due.groups]
        context = memory[due.context_view]
        contexts = [gather(context, group.tolist(), count) for group, count in zip(groups, due.contexts, strict=True)]
        task = torch.cat(groups)
        plain.update(task, contexts, gather(memory[due.view], task.tolist(), due.batch_size))

    return Comparison(setting.sizes, f"{run.method.name} meta-training", ours, theirs, setting.authors)
