"""Evaluation while training: a few episodes every so many env frames, kept for the pictures."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_skills.evaluation.protocol import interim
from lightning_skills.evaluation.rollouts import MakeEnv
from lightning_skills.phases.base import PhaseModule
from lightning_skills.rows import Rows
from lightning_skills.run_options import EvaluationOptions


class InterimEvaluation(Callback):
    """Evaluates after the first update and then every ``interim_every`` env frames.

    Args:
        options: The protocol; its ``interim_every`` is a number.
        make_env: Makes the evaluation worlds.
        rows: Receives the results.
        folder: Receives the state trajectories, one ``<env frames>.npz`` per evaluation.
    """

    def __init__(self, options: EvaluationOptions, make_env: MakeEnv, rows: Rows, folder: Path) -> None:
        assert options.interim_every is not None
        self._options, self._every = options, options.interim_every
        self._make_env, self._rows, self._folder = make_env, rows, folder
        self._stretch: int | None = None
        self._latest: tuple[int, dict[str, float]] = (-1, {})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A resumed run goes on in the stretch it was in."""
        assert isinstance(pl_module, PhaseModule)
        self._stretch = pl_module.env_frames // self._every if pl_module.updates else None

    def results(self, updates: int) -> dict[str, float] | None:
        """What the evaluation after so many updates gave; None if there was none, or it was not the latest."""
        return self._latest[1] if self._latest[0] == updates else None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Evaluate at the start of each stretch."""
        assert isinstance(pl_module, PhaseModule)
        stretch = pl_module.env_frames // self._every
        if stretch == self._stretch or not trainer.is_global_zero:
            return
        self._stretch = stretch
        result = interim(pl_module, self._make_env, self._options)
        self._latest = (pl_module.updates, result.metrics())
        self._rows.add(trainer, pl_module, result.metrics())
        result.save(self._folder / f"{pl_module.env_frames:012d}.npz")
