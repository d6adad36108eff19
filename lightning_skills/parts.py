"""What a run consists of: its phases, those that act in one task at a time once for each task to test on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightning_skills.errors import InputError
from lightning_skills.plugins import EnvSpec, MethodSpec, Phase

if TYPE_CHECKING:
    from lightning_skills.data.batch_env import TaskDistribution


@dataclass(frozen=True)
class Part:
    """A phase, or one of the times that it runs.

    Args:
        phase: The phase.
        task: Where it acts; None stands for the run's own task.
    """

    phase: Phase
    task: str | None = None

    @property
    def name(self) -> str:
        """``<phase>`` or ``<phase>/<task>``; also its folder among checkpoints, evaluations and artefacts."""
        return self.phase.name if self.task is None else f"{self.phase.name}/{self.task}"


def parts(phases: Sequence[Phase], tasks: "TaskDistribution | None") -> list[Part]:
    """The parts of phases in their order.

    Args:
        phases: Some phases of a method.
        tasks: Those that the run's env has; None if it has one.
    """
    return [
        Part(phase, task)
        for phase in phases
        for task in (tasks.test if tasks is not None and phase.single_task else (None,))
    ]


def phase_of(part: str) -> str:
    """The name of the phase that a part of this name belongs to."""
    return part.partition("/")[0]


def in_parts(phase: Phase, env: EnvSpec, task: str) -> bool:
    """Whether a phase runs in parts where the run's task is this one."""
    return phase.single_task and task in env.distributions


def check_needs(method: MethodSpec, env: EnvSpec, task: str) -> None:
    """Raise InputError if a phase needs what another one hands on that runs in parts."""
    for phase in method.phases:
        for need in phase.needs:
            (needed,) = (each for each in method.phases if each.name == need.phase)
            if in_parts(needed, env, task):
                raise InputError(
                    f"env.task={task}: phase {phase.name!r} of method {method.name!r} needs what {need.phase!r} hands "
                    f"on, and that is one for each task here; choose one task"
                )
