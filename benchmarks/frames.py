"""Frames per second: of the maze's worlds against gymnasium-robotics' PointMaze, and of a whole RL phase."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gymnasium
import gymnasium_robotics
import numpy as np
from lightning.pytorch import Trainer
from tensordict import TensorDict

from envs.maze import env as maze
from envs.maze.config import MazeConfig
from lightning_skills.csv_file import FIRST_COLUMNS, CsvFile
from lightning_skills.data.online import OnlineData
from lightning_skills.phases.base import Collect, Metrics, PhaseContext, Update
from lightning_skills.phases.options import SkillPretrainOptions, SkillRLOptions
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from lightning_skills.phases.skill_rl import SkillRLModule
from lightning_skills.rows import Rows

TASK, HORIZON = MazeConfig(task="small20", horizon=1000), 1000
WARM_UP, MEASURED = 300, 600
Step = Callable[[], object]


def worlds(count: int) -> Step:
    """One step of so many worlds of our maze; all are reset when their time is up."""
    env, rng = maze.make(TASK, range(count)), np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (64, count, env.info.action_dim))
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps % HORIZON == 0:
            env.reset()
        env.step(actions[steps % 64])

    return step


def point_maze() -> Step:
    """One step of gymnasium-robotics' PointMaze in the same layout."""
    gymnasium.register_envs(gymnasium_robotics)
    world = maze.make(TASK, [0])
    cells: list[list[int | str]] = [[int(wall) for wall in row] for row in world.layout]
    cells[world.task.start[0]][world.task.start[1]] = "r"
    cells[world.task.goal[0]][world.task.goal[1]] = "g"
    env = gymnasium.make("PointMaze_UMaze-v3", maze_map=cells, max_episode_steps=HORIZON, reset_target=False)
    actions = np.random.default_rng(0).uniform(-1, 1, (64, 2))
    steps = 0
    env.reset(seed=0)

    def step() -> None:
        nonlocal steps
        steps += 1
        *_, terminated, truncated, _ = env.step(actions[steps % 64])
        if terminated or truncated:
            env.reset()

    return step


class Clock:
    """Seconds spent in each part of a phase since the warm-up."""

    def __init__(self) -> None:
        self.begin, self.updates, self.frames = 0.0, 0, 0
        self.spent: dict[str, float] = {}

    def start(self, frames: int) -> None:
        """Forget what was before."""
        self.begin, self.frames = time.perf_counter(), frames
        self.spent = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time within as this part's."""
        begin = time.perf_counter()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - begin


class TimedData(OnlineData):
    """Tells a clock how long it collects and samples."""

    clock: Clock

    def sample(self, update: Update) -> TensorDict:
        """See :class:`OnlineData`."""
        with self.clock.part("sampling"):
            return super().sample(update)

    def collect(self, collect: Collect) -> None:
        """See :class:`OnlineData`."""
        with self.clock.part("collection"):
            super().collect(collect)


class TimedModule(SkillRLModule):
    """Tells a clock how long it updates, and starts it after the warm-up."""

    clock: Clock

    def update(self, batch: TensorDict) -> Metrics:
        """See :class:`SkillRLModule`."""
        if self.updates == WARM_UP:
            self.clock.start(self.env_frames)
        with self.clock.part("update"):
            return super().update(batch)


def whole_phase() -> str:
    """SPiRL's RL phase in the small maze as a run has it, one world, curves written to a file."""
    env, clock = maze.make(TASK, [0]), Clock()
    skills = SkillPretrainModule(PhaseContext(SkillPretrainOptions(), env.info)).artefact()
    options = SkillRLOptions(warmup=WARM_UP, frames=10 * (2 * WARM_UP + MEASURED))
    module = TimedModule(PhaseContext(options, env.info, {"skills": skills}))
    module.train()
    data = TimedData(module, env)
    module.clock = data.clock = clock
    with tempfile.TemporaryDirectory() as folder:
        rows = Rows("rl", CsvFile(Path(folder) / "metrics.csv", FIRST_COLUMNS), 1000, data)
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=False,
            callbacks=[rows],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        trainer.fit(module, datamodule=data)
    seconds, updates = time.perf_counter() - clock.begin, module.updates - WARM_UP
    rest = seconds - sum(clock.spent.values())
    shares = {**clock.spent, "the rest (Lightning, rows)": rest}
    listed = ", ".join(f"{name} {1e3 * part / updates:.2f} ms ({part / seconds:.0%})" for name, part in shares.items())
    return (
        f"{(module.env_frames - clock.frames) / seconds:.0f} env frames/s, {updates / seconds:.1f} updates/s; "
        f"a TensorDict step a skill; per update: {listed}"
    )
