"""What phases that meta-train share: they act in many tasks, and are judged by how they adapt to others."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

from tensordict import NestedKey, TensorDict
from torch import Tensor

from lightning_skills.data.task_replay import TaskReplay
from lightning_skills.phases.base import CollectEpisodes, PhaseModule


class MetaTrainModule(PhaseModule):
    """Base of the phases whose plan is of :class:`CollectEpisodes` and :class:`UpdateTasks`.

    Tasks are counted as in :attr:`EnvInfo.tasks`: those to train on first. A phase that is alone in one task
    (:attr:`Phase.per_task`) has the task 0, updates by :class:`Update`, and is judged like any other policy.
    """

    context_keys: Sequence[NestedKey] | None = None
    """What of a transition the contexts of a batch hold; None: everything."""

    @abstractmethod
    def begin(self, given: str, tasks: Tensor, memory: TaskReplay) -> TensorDict:
        """The acting state ``[n]`` with which episodes of these tasks ``[n]`` begin.

        Args:
            given: What the policy knows of them, such as a task embedding from the prior or from a context.
            tasks: Indices.
            memory: What has been collected so far.
        """

    @abstractmethod
    def views(self) -> Mapping[str, int]:
        """The views of the memory, by name, with the transitions each keeps of a task."""

    def collected(self, collect: CollectEpisodes, transitions: int, memory: TaskReplay) -> None:
        """Told on all ranks when the episodes of an instruction have ended; what follows from them may be kept.

        Args:
            collect: The instruction.
            transitions: How many of them were counted, over all ranks.
            memory: What this rank has collected so far.
        """

    def embedding_of(self, state: TensorDict) -> Tensor | None:
        """What an acting state ``[N]`` says of the task, as points ``[N, d]`` of a space to be drawn; None: nothing."""
        return None

    def adaptation(self) -> Sequence[CollectEpisodes]:
        """How it adapts to the tasks to test on, from nothing: the returns of the last stage are its result."""
        raise NotImplementedError(f"{type(self).__name__} does not adapt to other tasks")
