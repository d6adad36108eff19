"""What every phase is: a LightningModule that yields a plan, updates itself from batches, and acts."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningModule
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_skills.artefacts import Artefact
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.data.rendering import Renderer
from lightning_skills.data.skill_env import SkillExecution
from lightning_skills.errors import InputError
from lightning_skills.nets.step_policy import StepPolicy
from lightning_skills.ranks import averages, share

Metrics = dict[str, Tensor]
COUNTERS = ("env_frames", "transitions", "digested", "updates")


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
        source: Name of the buffer to sample; an offline phase has the recorded trajectories alone.
    """

    updates: int
    batch_size: int
    window: int = 1
    source: str = "replay"


@dataclass(frozen=True)
class CollectEpisodes:
    """Run a policy in whole episodes of several tasks.

    Args:
        tasks: Indices of tasks; each rank runs its own.
        given: How the policy begins an episode, one of the names that :meth:`MetaTrainModule.begin` knows.
        episodes: Of each task, over all ranks; a whole number of them on each that has the task.
        transitions: Further episodes of a task follow until there are so many (skill) transitions.
        policy: Name of the module's acting method.
        explore: Whether it samples.
        into: Names of the views they go to.
        clear: Names of the views that forget these tasks before.
        counted: Whether they are among the module's ``transitions``; a warm-up need not be. Their frames always count.
    """

    tasks: tuple[int, ...]
    given: str
    episodes: int = 1
    transitions: int = 0
    policy: str = "act"
    explore: bool = True
    into: tuple[str, ...] = ()
    clear: tuple[str, ...] = ()
    counted: bool = True


@dataclass(frozen=True)
class UpdateTasks:
    """Train on batches of several tasks, drawn with replacement in groups, or of every task to train on once.

    Args:
        updates: How many batches, one :meth:`PhaseModule.update` each.
        groups: Tasks drawn for each group, over all ranks; without groups each rank's batch is of all tasks it has.
        contexts: Transitions of context for each task of a group.
        batch_size: Transitions to learn from, of each task.
        context_view: Name of the view that contexts are drawn from.
        view: Name of the view that the others are drawn from.
    """

    updates: int
    groups: tuple[int, ...]
    contexts: tuple[int, ...]
    batch_size: int
    context_view: str = "context"
    view: str = "replay"


CollectInstruction = Collect | CollectEpisodes
Instruction = CollectInstruction | Update | UpdateTasks


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

    @property
    def built_on(self) -> dict[str, str]:
        """Digests of the artefacts, by phase name."""
        return {name: artefact.digest for name, artefact in self.artefacts.items()}


class PhaseModule(LightningModule, ABC):
    """Base of every phase.

    A subclass builds its networks in ``__init__(context)`` and implements :meth:`plan`, :meth:`build_optimizers`,
    :meth:`update` and :meth:`artefact`; an online phase also implements :meth:`act`. Stepping, buffers, checkpoints,
    evaluation, logging and distribution over ranks are the framework's.

    Counters are part of the module's state, so they are saved with it: ``env_frames`` (primitive environment steps over
    all ranks, the x-axis of every curve), ``transitions`` (collected by this phase over all ranks), ``digested``
    (how many of these there were at the last update) and ``updates``.
    """

    def __init__(self, context: PhaseContext) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.context = context
        self.renderer = context.renderer  # a submodule, so that it draws on the phase's device
        self._frozen: list[nn.Module] = []
        self.env_frames = 0
        self.transitions = 0
        self.digested = 0
        self.updates = 0
        self.logged: Metrics = {}

    def get_extra_state(self) -> dict[str, int]:
        """The counters, for ``state_dict``."""
        return {name: getattr(self, name) for name in COUNTERS}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Inverse of :meth:`get_extra_state`."""
        for name in COUNTERS:
            setattr(self, name, state[name])

    @abstractmethod
    def plan(self) -> Sequence[Instruction]:
        """The next round of work; empty when the phase is done. Called again whenever a round is used up.

        It follows from what ``state_dict`` holds, the counters among it, and changes nothing: a resumed run asks again,
        and the data module looks ahead.
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

    def load_artefact(self, artefact: Artefact) -> None:
        """Take back what :meth:`artefact` handed on, so that this phase, freshly built, acts as that one did.

        Writes into the tensors that :meth:`artefact` hands on; where they come from ``state_dict``, they are the
        networks' own. A phase that hands on others, such as averages, overrides this.

        Raises:
            InputError: if it is of other networks than this phase has.
            NotImplementedError: if it has to be overridden.
        """
        own, again = self.artefact(), self.artefact()
        if _described(own) != _described(artefact):
            raise InputError(f"this {artefact.kind!r} is of other networks than {type(self).__name__} has here")
        if any(tensor.data_ptr() != again.tensors[name].data_ptr() for name, tensor in own.tensors.items()):
            raise NotImplementedError(f"{type(self).__name__} hands on copies; it must override load_artefact")
        for name, tensor in own.tensors.items():
            tensor.detach().copy_(artefact.tensors[name])

    def step_policy(self) -> StepPolicy:
        """What this phase does in one primitive step when it takes modes, as a network for ``export``; optional.

        Raises:
            InputError: if there is no such network (says why).
        """
        raise InputError(
            "policies of this phase cannot be exported; those of a phase 'rl' can, on states, with primitive actions "
            "or closed-loop skills"
        )

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

    def share(self, update: Update) -> int:
        """Items of a batch that this rank samples.

        Raises:
            InputError: if a batch cannot be shared evenly.
        """
        return share(update.batch_size, self.context.world_size, "a batch of {}")

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
        self.digested = self.transitions
        self.logged = metrics

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        loss: Tensor,
        max_norm: float | None = None,
    ) -> None:
        """Backward and optimizer step.

        Gradients are averaged over ranks in one flat all-reduce, and with them the running statistics of BatchNorm,
        which normalises each rank's share of a batch by itself.

        Args:
            optimizer: Steps the parameters it holds; nothing else is touched.
            loss: Scalar.
            max_norm: Global norm to which the averaged gradients are clipped.
        """
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients: Sequence[Tensor] = torch.autograd.grad(loss, parameters)
        if self.context.world_size > 1:
            statistics = self._running_statistics()
            averaged = averages([*gradients, *statistics], self.context.world_size)
            gradients = averaged[: len(gradients)]
            for statistic, mean in zip(statistics, averaged[len(gradients) :], strict=True):
                statistic.copy_(mean)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        if max_norm is not None:
            nn.utils.clip_grad_norm_(parameters, max_norm)
        optimizer.step()

    def _running_statistics(self) -> list[Tensor]:
        """What BatchNorm has just learned from this rank's share of a batch."""
        norms = [part for part in self.modules() if isinstance(part, _BatchNorm) and part.training]
        return [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var) if tensor is not None]


def _described(artefact: Artefact) -> tuple[Any, ...]:
    """What it is without the values of its tensors; settings as they are once they have been written to a file."""
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in artefact.tensors.items()}
    return artefact.kind, json.loads(json.dumps(dict(artefact.settings))), shapes
