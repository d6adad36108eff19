"""What every phase is: a LightningModule that yields a plan, updates itself from batches, and acts."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningModule
from tensordict import TensorDict
from torch import Tensor, nn

from lightning_skills.artefacts import Artefact
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.data.rendering import Renderer
from lightning_skills.data.skill_env import SkillExecution

Metrics = dict[str, Tensor]


@dataclass(frozen=True)
class Collect:
    """Run a policy in the environment.

    Args:
        transitions: How many (skill) transitions to add, over all worlds of all ranks.
        policy: Name of the module's acting method.
        into: Name of the buffer they go to.
    """

    transitions: int
    policy: str = "act"
    into: str = "replay"


@dataclass(frozen=True)
class Update:
    """Train on sampled batches.

    Args:
        updates: How many batches, one :meth:`PhaseModule.update` each.
        batch_size: Items per batch, over all ranks.
        window: Consecutive steps per item; 1 samples single transitions without a time axis.
        source: Name of the buffer to sample.
    """

    updates: int
    batch_size: int
    window: int = 1
    source: str = "replay"


Instruction = Collect | Update


@dataclass(frozen=True)
class PhaseContext:
    """What a phase is built from.

    Args:
        options: The phase's part of the method's frozen config dataclass.
        env: Shapes of the environment.
        artefacts: What the phases it needs handed on, by phase name.
        worlds: Number of worlds that step together on this rank.
        world_size: Number of ranks.
        renderer: Draws the images that environment and data offer as scenes; None where they offer none.
    """

    options: Any
    env: EnvInfo
    artefacts: Mapping[str, Artefact] = field(default_factory=dict)
    worlds: int = 1
    world_size: int = 1
    renderer: Renderer | None = None


class PhaseModule(LightningModule, ABC):
    """Base of every phase.

    A subclass builds its networks in ``__init__(context)`` and implements :meth:`plan`, :meth:`build_optimizers`,
    :meth:`update` and :meth:`artefact`; an online phase also implements :meth:`act`. Stepping, buffers, checkpoints,
    evaluation, logging and distribution over ranks are the framework's.

    Counters are part of the module's state, so they are saved with it: ``env_frames`` (primitive environment steps over
    all ranks, the x-axis of every curve), ``transitions`` (collected by this phase over all ranks) and ``updates``.
    """

    def __init__(self, context: PhaseContext) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.context = context
        self.renderer = context.renderer  # a submodule, so that it draws on the phase's device
        self._frozen: list[nn.Module] = []
        self.env_frames = 0
        self.transitions = 0
        self.updates = 0
        self.logged: Metrics = {}

    def get_extra_state(self) -> dict[str, int]:
        """The counters, for ``state_dict``."""
        return {"env_frames": self.env_frames, "transitions": self.transitions, "updates": self.updates}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Inverse of :meth:`get_extra_state`."""
        self.env_frames, self.transitions, self.updates = (
            state[name] for name in ("env_frames", "transitions", "updates")
        )

    @abstractmethod
    def plan(self) -> Sequence[Instruction]:
        """The next round of work; empty when the phase is done. Called again whenever a round is used up.

        It follows from the counters alone and changes nothing: a resumed run asks again, and the data module looks
        ahead.
        """

    @abstractmethod
    def build_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """The optimizers, in a fixed order; stored by Lightning's checkpoint."""

    @abstractmethod
    def update(self, batch: TensorDict) -> Metrics:
        """One gradient update; returns detached scalars to be averaged and logged."""

    @abstractmethod
    def artefact(self) -> Artefact:
        """What this phase hands on."""

    @abstractmethod
    def progress(self) -> tuple[int, int]:
        """How far the phase is: (done, total), in env frames for online phases, in updates for offline ones."""

    def skill_execution(self) -> SkillExecution:
        """How this phase's actions are executed in the environment."""
        raise NotImplementedError(f"{type(self).__name__} does not act")

    def capacities(self) -> Mapping[str, int]:
        """The replay buffers an online phase collects into, by name, with the transitions each keeps on a rank."""
        return {"replay": 1_000_000}

    def act(self, observation: TensorDict, state: TensorDict, explore: bool) -> tuple[Tensor, TensorDict, TensorDict]:
        """Choose an action in each of N worlds.

        Args:
            observation: Observation keys ``[N, *shape]``.
            state: What the policy carries from step to step, ``[N]`` of :meth:`initial_state`; rows of worlds that
                start an episode have been reset to their initial values.
            explore: Whether to sample (training) or to take the mode.

        Returns:
            action ``[N, d]``, the state for the next step, and extras ``[N]`` that are stored with the transition.
        """
        raise NotImplementedError(f"{type(self).__name__} does not act")

    def explorers(self) -> Mapping[str, str]:
        """The acting methods worth comparing before any update, and what they are called in a table."""
        return {"act": "untrained policy"}

    def initial_state(self, worlds: int) -> TensorDict:
        """The acting state at the start of an episode, batch size ``[worlds]``; empty for a memoryless policy."""
        return TensorDict({}, batch_size=[worlds])

    def annotate(self, transitions: TensorDict) -> TensorDict:
        """Add to fresh transitions ``[n]``, which are on the CPU, what is computed once for each and stored with it."""
        return transitions

    def keep_frozen(self, *modules: nn.Module) -> None:
        """Exclude modules from training for good: no gradients, and eval mode whatever Lightning calls."""
        for module in modules:
            module.requires_grad_(False).eval()
            self._frozen.append(module)

    def train(self, mode: bool = True) -> "PhaseModule":
        """Switch to training mode, all but the frozen modules."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Lightning's hook; the phase's own are in :meth:`build_optimizers`."""
        return list(self.build_optimizers())

    def training_step(self, batch: TensorDict, batch_idx: int) -> None:
        """Lightning's hook: one update."""
        metrics = self.update(batch)
        self.updates += 1
        self.logged = metrics

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        loss: Tensor,
        inputs: Iterable[Tensor] | None = None,
        max_norm: float | None = None,
    ) -> None:
        """Backward and optimizer step; gradients are averaged over ranks in one flat all-reduce.

        Args:
            optimizer: Steps the parameters it holds.
            loss: Scalar.
            inputs: Parameters to differentiate for; default: those of ``optimizer``, so that nothing else is touched.
            max_norm: Global norm to which the averaged gradients are clipped.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]] if inputs is None else [*inputs]
        gradients = torch.autograd.grad(loss, parameters)
        if self.context.world_size > 1:
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(flat)
            flat /= self.context.world_size
            pieces = flat.split([gradient.numel() for gradient in gradients])
            gradients = tuple(piece.view_as(g) for piece, g in zip(pieces, gradients, strict=True))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if max_norm is not None:
            nn.utils.clip_grad_norm_(parameters, max_norm)
        optimizer.step()
