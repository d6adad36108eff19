"""The progress bar of a phase, in env frames (updates for an offline phase)."""

import time

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from lightning_skills.bars import style
from lightning_skills.phases.base import PhaseModule
from lightning_skills.rows import Rows

SHOWN = {"train/return": "return", "train/success": "success", "loss": "loss"}


class Progress(Callback):
    """Shows how far the phase is, how fast it goes and how well it does.

    In a terminal it moves twice a second; into a file it writes a line every half minute.

    Args:
        phase: Name shown in front.
        unit: What is counted.
        rows: Where the newest metrics are.
    """

    def __init__(self, phase: str, unit: str, rows: Rows) -> None:
        self._phase, self._unit, self._rows = phase, unit, rows
        self._bar: tqdm | None = None
        self._next = 0.0
        self._style, self._seconds = style()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar where the phase stands."""
        assert isinstance(pl_module, PhaseModule)
        if trainer.is_global_zero:
            done, total = pl_module.progress()
            scale = total >= 10_000
            self._bar = self._style(
                total=total, initial=done, desc=self._phase, unit=f" {self._unit}", unit_scale=scale, dynamic_ncols=True
            )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Move the bar, if it is time."""
        if self._bar is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._seconds
            self._show(pl_module)

    def _show(self, module: LightningModule) -> None:
        assert self._bar is not None
        assert isinstance(module, PhaseModule)
        latest = self._rows.latest
        shown = {name: f"{latest[key]:.3g}" for key, name in SHOWN.items() if key in latest}
        # Between two rounds of collecting only these show that something happens.
        counted = {} if self._unit == "updates" else {"updates": f"{module.updates}"}
        self._bar.set_postfix(shown | counted, refresh=False)
        done, total = module.progress()
        if moved := min(done, total) - self._bar.n:
            self._bar.update(moved)
        else:
            self._bar.refresh()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Complete the bar."""
        if self._bar is not None:
            self._show(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar before anything is said of the exception."""
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the bar."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
