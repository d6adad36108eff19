"""Keeps what the libraries say at start-up from burying what the run says."""

import logging
import os
import warnings

MESSAGES = (
    "Your `IterableDataset` has `__len__` defined",
    "`isinstance(treespec, LeafSpec)` is deprecated",
    "The 'train_dataloader' does not have many workers",
    "Found \\d+ module",
    "You're resuming from a checkpoint that ended before the epoch ended",
)


def quiet() -> None:
    """Call before the first import of torchrl and lightning, whose own set-up would undo it later."""
    os.environ.setdefault("RL_LOGGING_LEVEL", "ERROR")
    for category in (DeprecationWarning, FutureWarning):
        warnings.simplefilter("ignore", category)
    for message in MESSAGES:
        warnings.filterwarnings("ignore", message=message)
    import lightning.pytorch  # noqa: F401

    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
