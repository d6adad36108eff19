"""Meta-learners whose policy knows its task by an embedding, which an encoder infers from a context of transitions."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch
from tensordict import NestedKey, TensorDict
from torch import Tensor, nn

from lightning_skills.artefacts import Artefact
from lightning_skills.data.batch_env import TaskDistribution
from lightning_skills.data.task_replay import TaskReplay
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.meta_train import MetaTrainModule


class ContextMetaModule(MetaTrainModule):
    """Base of context-based meta-learners (PEARL, Rakelly et al., ICML 2019, sec. 4, and those after it).

    An embedding ``[d]`` is drawn when an episode begins and kept to its end: from N(0, 1), from the posterior given a
    sampled context, or from that given all of the context.

    Args:
        context: Its ``options`` have ``capacity`` (transitions of a task that each view keeps) and ``frames`` (env
            frames in all).
        embedding_dim: d.
        context_size: Transitions of a context that is sampled for an episode.
    """

    kind: str
    """Of what it hands on."""
    networks: tuple[str, ...]
    """Names of the modules that it hands on."""
    context_keys: Sequence[NestedKey]
    """What of a transition the encoder sees, in this order."""
    sizes: Any
    sizes_type: type
    """Dataclass of what the networks are rebuilt from, and an instance of it or of a subclass."""
    encoder: nn.Module
    """Contexts ``[G, N, features]`` to posteriors ``[G, d]``."""
    policy: nn.Module
    """What acts."""

    def __init__(self, context: PhaseContext, embedding_dim: int, context_size: int) -> None:
        super().__init__(context)
        self.options: Any = context.options
        self.embedding_dim, self.context_size = embedding_dim, context_size
        tasks = context.env.tasks or TaskDistribution(("",), ())  # alone in one task
        self.train_tasks, self.test_tasks = tasks.train_indices, tasks.test_indices

    def posterior(self, context: TensorDict) -> Gaussian:
        """Of the embedding ``[..., d]``, on the phase's device, given contexts ``[..., N]``."""
        seen = torch.cat([context[key] for key in self.context_keys], dim=-1)
        posterior: Gaussian = self.encoder(seen.to(self.device))
        return posterior

    def settled(self, posterior: Gaussian) -> Tensor:
        """The embedding ``[n, d]`` to act with, given all of the context: a sample."""
        return posterior.rsample()

    def initial_state(self, worlds: int) -> TensorDict:
        """No embedding yet, ``[worlds, d]``."""
        return TensorDict({"embedding": torch.zeros(worlds, self.embedding_dim)}, batch_size=[worlds])

    @torch.no_grad()
    def begin(self, given: str, tasks: Tensor, memory: TaskReplay) -> TensorDict:
        """An embedding ``[n, d]`` from the "prior", from the posterior of a sampled "context", or of "all" of it.

        Raises:
            ValueError: if it is to know anything else.
        """
        if given == "prior":
            embedding = torch.randn(len(tasks), self.embedding_dim)
        elif given == "context":
            embedding = self.posterior(memory.sample(tasks, self.context_size, "context", self.context_keys)).rsample()
        elif given == "all":
            embedding = self.settled(self._of_all(tasks, memory))
        else:
            raise ValueError(f"episodes begin with an embedding from prior, context or all, not {given!r}")
        return TensorDict({"embedding": embedding.cpu()}, batch_size=[len(tasks)])

    def embedding_of(self, state: TensorDict) -> Tensor | None:
        """That of each world's task; None of a policy that knows nothing of it."""
        return state["embedding"] if self.embedding_dim else None

    def _of_all(self, tasks: Tensor, memory: TaskReplay) -> Gaussian:
        """The posterior ``[n, d]`` given all of the context, inferred once for each task however many worlds it has."""
        distinct, place = tasks.unique(return_inverse=True)
        posteriors = [self.posterior(memory.all(task, "context")[None]) for task in distinct.tolist()]
        return Gaussian(*(torch.cat(parts)[place] for parts in zip(*posteriors, strict=True)))

    def views(self) -> Mapping[str, int]:
        """What encoders see, and what is learned from."""
        return {"context": self.options.capacity, "replay": self.options.capacity}

    def progress(self) -> tuple[int, int]:
        """(env frames done, env frames in all)."""
        return self.env_frames, self.options.frames

    def artefact(self) -> Artefact:
        """The tensors of all ``networks``, as ``<network>.<its own name>``."""
        tensors = {
            f"{name}.{key}": tensor
            for name in self.networks
            for key, tensor in self.get_submodule(name).state_dict().items()
        }
        return Artefact(self.kind, self.settings(), tensors)

    def settings(self) -> Mapping[str, Any]:
        """The sizes of the networks."""
        return {field.name: getattr(self.sizes, field.name) for field in fields(self.sizes_type)}
