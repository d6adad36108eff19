"""What a run is: its options, beside those of its method and its env, and where it lies."""

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_skills.limits import at_least, one_of, within
from lightning_skills.plugins import EnvSpec, MethodSpec

MAX_SEED = 2**32 - 2  # what numpy takes, less one for the final evaluation's


@dataclass(frozen=True)
class CollectOptions:
    """How an online phase steps its environment."""

    # Worlds stepped together on each rank; more of them are faster and make the data staler. None: one, or one for each
    # task of a phase that meta-trains
    worlds: int | None = at_least(1, None)
    # Worlds step in the background while the learner updates; each action is chosen one step's updates earlier
    ahead: bool = False


@dataclass(frozen=True)
class CheckpointOptions:
    """When a phase saves itself; it always does so on a signal."""

    every_minutes: float = at_least(0, 5.0)


@dataclass(frozen=True)
class ResumeOptions:
    """How a run goes on."""

    reshard: bool = False  # also with another number of processes, among which the buffers are dealt; not bit-exact


@dataclass(frozen=True)
class EvaluationOptions:
    """The fixed protocol; evaluation has its own worlds and its own random streams."""

    episodes: int = at_least(1, 50)  # at the end of a run
    interim_episodes: int = at_least(1, 10)  # during training
    interim_every: int | None = at_least(1, 20_000)  # env frames between interim evaluations; null: none of these
    tasks: int | None = at_least(1, None)  # as many of a distribution's tasks to test on, the first; null: all
    explore: bool = True  # sample from the policy as in training; false takes its mode
    seed: int = within(0, MAX_SEED, 1_000_000)  # of the evaluation worlds, apart from every training seed


@dataclass(frozen=True)
class LoggingOptions:
    """Where curves and pictures go. metrics.csv is always written."""

    mlflow: bool = True
    tracking_uri: str | None = None  # default: MLFLOW_TRACKING_URI, else sqlite in runs_dir
    experiment: str = "lightning_skills"
    register: bool = True  # what phases hand on, as models of MLflow's
    system_metrics: bool = True  # also CPU, memory and GPUs of the machine, to MLflow
    every_frames: int = at_least(1, 2_000)  # env frames a row of metrics.csv stands for, online phases
    every_updates: int = at_least(1, 100)  # updates a row stands for, offline phases
    progress: bool = True


@dataclass(frozen=True)
class TrainerOptions:
    """What the computation runs on."""

    accelerator: str = one_of(("auto", "cpu", "gpu"), "auto")
    devices: int = at_least(1, 1)  # of this machine, one process each
    nodes: int = at_least(1, 1)  # machines; with more than one, start the processes by torchrun or srun
    # Of torch, per process; 0: torch's own choice, divided by the processes. The networks are small: a second thread
    # gains little on an idle machine, and where other processes compete for its core, both wait for each other
    threads: int = at_least(0, 1)


@dataclass(frozen=True)
class RunConfig:
    """One run, complete."""

    method: Any = None
    env: Any = None
    seed: int = within(0, MAX_SEED, 0)
    name: str | None = None  # of the run's folder; default: the experiment, or a digest of what was overridden
    runs_dir: str = "runs"
    data_dir: str = "data"
    data: str | None = None  # a data set to use instead of the env's own
    phase: str | None = None  # run this phase only
    sources: dict[str, str] = field(default_factory=dict)  # artefacts from elsewhere, by phase; written skills=PATH
    collect: CollectOptions = field(default_factory=CollectOptions)
    checkpoint: CheckpointOptions = field(default_factory=CheckpointOptions)
    resume: ResumeOptions = field(default_factory=ResumeOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    logging: LoggingOptions = field(default_factory=LoggingOptions)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)


@dataclass(frozen=True)
class Run:
    """A validated run: its config, the plug-ins it names and the words it was composed from.

    Attributes:
        folder: Where it lies, if it was moved to a place that its config does not name.
    """

    config: RunConfig
    method: MethodSpec
    env: EnvSpec
    words: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def directory(self) -> Path:
        """``runs_dir/<method>/<env>-<task>/<name>/seed<k>``, or where it was moved to."""
        if self.folder is not None:
            return self.folder
        task = folder_name(self.env.name, self.config.env.task)
        return Path(self.config.runs_dir) / self.method.name / task / str(self.config.name) / f"seed{self.config.seed}"

    def resolved(self) -> dict[str, Any]:
        """The whole config as plain values, with the names of method and env."""
        plain = dataclasses.asdict(self.config)
        plain["method"] = {"name": self.method.name, **plain["method"]}
        plain["env"] = {"name": self.env.name, **plain["env"]}
        return plain


def folder_name(env: str, task: str) -> str:
    """``<env>-<task>``, as a part of a path."""
    return re.sub(r"[/:]", "-", f"{env}-{task}")
