"""The processes of a run that trains on several devices: which of them this one is, and where they meet.

Every rank holds the whole module, worlds of its own and its share of every buffer and batch. Gradients are averaged by
:meth:`lightning_skills.phases.base.PhaseModule.step`.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from lightning.fabric.plugins.environments import ClusterEnvironment, SLURMEnvironment
from lightning.pytorch.plugins.environments import TorchElasticEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, distributed

from lightning_skills.errors import InputError, LostRankError
from lightning_skills.run_options import TrainerOptions

PATIENCE = timedelta(hours=6)
"""How long ranks wait for one another: rank 0 evaluates alone, and may take its time. A dead one is noticed at once."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of its run; by default the only one.

    Args:
        rank: Its number.
        size: How many there are.
        local_size: How many of them run on this machine.
        environment: Who started them; None where there is one.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1
    environment: ClusterEnvironment | None = None

    @property
    def zero(self) -> bool:
        """Whether this is the rank that writes what is written once."""
        return self.rank == 0

    def strategy(self) -> dict[str, Any]:
        """Arguments of Lightning's Trainer."""
        if self.environment is None:
            return {"devices": 1}
        shape = {"devices": self.local_size, "num_nodes": self.size // self.local_size}
        return {**shape, "strategy": AveragedInStep(), "plugins": [self.environment]}

    @contextmanager
    def zero_first(self) -> Iterator[None]:
        """Rank 0 goes through the block before the others: it finds what is wrong, and makes what is made once."""
        if not self.zero:
            try:
                meet()
            except LostRankError:  # rank 0 has said why
                raise SystemExit(1) from None
        yield
        if self.zero:
            meet()


def join(options: TrainerOptions) -> Ranks:
    """Meet the other processes of the run.

    Raises:
        InputError: if this process was not started as one of so many.
    """
    size = options.devices * options.nodes
    environment = _environment(size)
    if size == 1 and environment is None:
        return Ranks()
    if environment is None or environment.world_size() != size:
        started = 1 if environment is None else environment.world_size()
        raise InputError(
            f"trainer.devices={options.devices} trainer.nodes={options.nodes} makes {size} processes, "
            f"but {started} were started"
        )
    local = environment.local_rank()
    os.environ.setdefault("MASTER_ADDR", environment.main_address)
    os.environ.setdefault("MASTER_PORT", str(environment.main_port))
    backend = "gloo"
    if options.accelerator != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, rank=environment.global_rank(), world_size=size, timeout=PATIENCE)
    return Ranks(environment.global_rank(), size, options.devices, environment)


def _environment(size: int) -> ClusterEnvironment | None:
    if "RANK" in os.environ:
        return TorchElasticEnvironment()
    # A job of one process may well run within a larger allocation.
    if size > 1 and SLURMEnvironment.detect():
        return SLURMEnvironment(auto_requeue=False)
    return None


def own_rank() -> int:
    """The number of this process among those of its run; 0 if it is the only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def leave() -> None:
    """Part from the others."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextmanager
def _together() -> Iterator[None]:
    """What is done by all ranks at once.

    Raises:
        LostRankError: if one of them is gone.
    """
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:120]
        raise LostRankError(f"rank {distributed.get_rank()} lost another process of this run ({reason})") from None


def meet() -> None:
    """Wait until all ranks are here."""
    if distributed.is_initialized():
        with _together():
            distributed.barrier()


def total(values: Tensor) -> Tensor:
    """The sum over all ranks, in place."""
    if distributed.is_initialized():
        with _together():
            distributed.all_reduce(values)
    return values


def share(count: int, ranks: int, items: str) -> int:
    """How many of some items, such as "a group of {} tasks", each of so many ranks has.

    Raises:
        InputError: if it cannot be shared evenly.
    """
    if count % ranks:
        raise InputError(f"{items.format(count)} cannot be shared evenly by {ranks} processes")
    return count // ranks


def averages(tensors: Sequence[Tensor], size: int) -> list[Tensor]:
    """The means of tensors over so many ranks, in one flat sum."""
    flat = total(torch.cat([tensor.flatten() for tensor in tensors])) / size
    pieces = flat.split([tensor.numel() for tensor in tensors])
    return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]


def gathered(rows: Tensor) -> list[list[list[float]]]:
    """The rows of every rank, rank by rank; each has any number of them ``[n, columns]``."""
    if not distributed.is_initialized():
        return [rows.tolist()]
    rank, sizes = distributed.get_rank(), torch.zeros(distributed.get_world_size(), dtype=torch.int64)
    sizes[rank] = len(rows)
    counts = total(sizes).tolist()
    every = list(rows.new_zeros(sum(counts), rows.shape[1]).split(counts))
    every[rank] = rows
    return [part.tolist() for part in total(torch.cat(every)).split(counts)]


def highest(values: Tensor) -> Tensor:
    """The maximum over all ranks, in place."""
    if distributed.is_initialized():
        with _together():
            distributed.all_reduce(values, distributed.ReduceOp.MAX)
    return values


class AveragedInStep(DDPStrategy):
    """Lightning's DDP without its reducer, which wants one backward pass through the whole module in each update.

    Parameters and buffers start as rank 0's.
    """

    def configure_ddp(self) -> None:
        """Make all ranks equal, instead of wrapping the module."""
        assert self.model is not None
        with _together():
            for tensor in (*self.model.parameters(), *self.model.buffers()):
                distributed.broadcast(tensor.data, src=0)

    def barrier(self, *_: Any, **__: Any) -> None:
        """Wait until all ranks are here."""
        meet()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """What one rank has, on all of them."""
        with _together():
            return super().broadcast(obj, src)
