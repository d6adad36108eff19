"""SiMPL's last phase: a meta-trained policy learns one target task."""

from collections.abc import Sequence

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from lightning_skills.artefacts import Artefact
from lightning_skills.data.task_replay import TaskReplay
from lightning_skills.errors import InputError
from lightning_skills.losses.skill_rl import actor_loss, critic_loss
from lightning_skills.optim import FusedAdam, GrowingAdam
from lightning_skills.phases.base import CollectEpisodes, Instruction, Metrics, PhaseContext, Update
from lightning_skills.ranks import averages
from methods.simpl.agent import SimplAgent, Sizes
from methods.simpl.config import SimplAdaptOptions
from methods.simpl.losses import multiplier_loss
from methods.simpl.networks import Multiplier


class SimplAdaptModule(SimplAgent):
    """Target task learning (SiMPL, Nam et al., ICLR 2022, sec. 4.4), as in the authors' code.

    Some episodes, each with another embedding from N(0, 1), are there to infer the task's embedding from, and for
    nothing else. That is the mean of the posterior given all of them, and constant from then on; several ranks, which
    share the episodes, take the mean over what each of them infers. Policy, critics and alpha then go on from
    meta-training as soft actor-critic that keeps to the skill prior, with an empty buffer and fresh optimizers. Alpha
    only grows.

    Differs from the authors' code in what :class:`SimplModule` does. With several worlds, each round has an episode in
    each of them, on every rank.

    Args:
        context: Its ``options`` are :class:`SimplAdaptOptions`, its artefact "skills" those that "meta" was trained on.

    Raises:
        InputError: if "meta" is of other states or skills, or was written by another version.
    """

    kind = "adapted"
    networks = ("policy",)
    options: SimplAdaptOptions
    embedding: Tensor
    latest: Tensor

    def __init__(self, context: PhaseContext) -> None:
        meta = context.artefacts["meta"]
        super().__init__(context, _sizes(meta))
        self.alpha = Multiplier(1.0)
        _load(self.encoder, meta, "encoder")
        _load(self.policy, meta, "policy")
        _load(self.critics, meta, "critics")
        _load(self.target_critics, meta, "critics")
        _load(self.alpha, meta, "large_alpha")
        self.keep_frozen(self.encoder)
        self.register_buffer("embedding", torch.zeros(self.embedding_dim))
        self.register_buffer("latest", torch.zeros((), dtype=torch.int64))  # transitions of the last episodes

    # Acting

    def initial_state(self, worlds: int) -> TensorDict:
        """The task's embedding, ``[worlds, d]``."""
        return TensorDict({"embedding": self.embedding.cpu().repeat(worlds, 1)}, batch_size=[worlds])

    def begin(self, given: str, tasks: Tensor, memory: TaskReplay) -> TensorDict:
        """An embedding ``[n, d]`` from the "prior", or the task's."""
        return super().begin(given, tasks, memory) if given == "prior" else self.initial_state(len(tasks))

    @torch.no_grad()
    def collected(self, collect: CollectEpisodes, transitions: int, memory: TaskReplay) -> None:
        """Infer the embedding from the first episodes; count the transitions of later ones."""
        if collect.given == "prior":
            own = self.settled(self.posterior(memory.all(0, "context")[None]))
            self.embedding.copy_(averages([own[0]], self.context.world_size)[0])
        self.latest.fill_(transitions)

    # Plan

    def capacity(self) -> int:
        """What is learned from; the first episodes are not needed for long."""
        return self.options.capacity

    def plan(self) -> Sequence[Instruction]:
        """Episodes to infer the task from; then rounds: an episode and, once there is a batch, updates."""
        options = self.options
        if self.digested < self.transitions >= options.batch_size:
            updates = max(1, int(options.reuse * int(self.latest) / options.batch_size))
            return [Update(updates, options.batch_size)]
        if self.env_frames >= options.frames:
            return []
        worlds = self.context.worlds * self.context.world_size
        episode = CollectEpisodes(self.train_tasks, "all", worlds, into=("replay",))
        if self.env_frames:
            return [episode]
        conditioning = options.conditioning_episodes
        return [CollectEpisodes(self.train_tasks, "prior", conditioning, into=("context",), counted=False), episode]

    # Learning

    def build_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """Adam of the critics, of the policy, and of alpha."""
        lr = self.options.lr
        self.critic_optimizer = FusedAdam(self.critics.parameters(), lr=lr)
        self.actor_optimizer = FusedAdam(self.policy.parameters(), lr=lr)
        self.alpha_optimizer = GrowingAdam(self.alpha.parameters(), lr=lr)
        return [self.critic_optimizer, self.actor_optimizer, self.alpha_optimizer]

    def update(self, batch: TensorDict) -> Metrics:
        """One step on transitions ``[B]``."""
        embedding, alpha = self.embedding.expand(len(batch), -1), self.alpha()
        skill, divergence, next_skill, next_divergence = self._propose(batch, embedding)
        target = self._target(batch["next"], embedding, next_skill, next_divergence, alpha)
        critic, metrics = critic_loss(self._values(batch, embedding, batch["action"]), target)
        self.step(self.critic_optimizer, critic)
        actor, of_actor = actor_loss(self._values(batch, embedding, skill, learning=0), divergence, alpha)
        self.step(self.actor_optimizer, actor)
        self.step(self.alpha_optimizer, multiplier_loss(alpha, divergence, self.options.target_divergence))
        self._track()
        return metrics | of_actor | {"alpha": alpha.detach().mean()}

    # Handing on

    def artefact(self) -> Artefact:
        """The policy and the embedding it acts with."""
        own = super().artefact()
        return Artefact(own.kind, own.settings, {**own.tensors, "embedding": self.embedding})


def _sizes(meta: Artefact) -> Sizes:
    try:
        return Sizes(**meta.settings)
    except TypeError:
        raise InputError(f"the artefact {meta.kind!r} was written by another version; meta-train anew") from None


def _load(network: nn.Module, meta: Artefact, name: str) -> None:
    own = {key.removeprefix(f"{name}."): tensor for key, tensor in meta.tensors.items() if key.startswith(f"{name}.")}
    try:
        network.load_state_dict(own)
    except RuntimeError:
        raise InputError(f"the {name} of {meta.kind!r} was meta-trained on other states or skills than these") from None
