"""MTRL's meta-training: experts of the tasks to train on, and a policy distilled from all of them."""

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from lightning_skills.data.task_replay import TaskReplay
from lightning_skills.losses.skill_rl import multiplier_loss
from lightning_skills.nets.corrected_prior import corrected
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.mlp_stack import MLPStack
from lightning_skills.nets.multiplier import Multiplier
from lightning_skills.optim import FusedAdam, follow
from lightning_skills.phases.base import CollectEpisodes, Instruction, Metrics, PhaseContext, UpdateTasks
from lightning_skills.phases.options import SkillAgentSizes
from lightning_skills.phases.skill_agent import Learners, Network, SkillAgent
from methods.mtrl.config import MtrlOptions
from methods.mtrl.losses import distillation_loss


class MtrlModule(SkillAgent):
    """Multi-task RL over skills by distillation (SiMPL, Nam et al., ICLR 2022, sec. 5.2).

    Each task to train on has an expert of its own, SPiRL as in SiMPL's code: policy, critics and alpha. All of them
    make a step in each update. The shared policy, which knows nothing of the task, takes one towards them on the same
    states; it is what acts in other tasks and is handed on.

    The paper does not say how distillation proceeds, nor for how long; beside the experts, the shared policy has seen
    the last ones as soon as they are done.

    Experts begin to learn together, once they have a batch each in the mean, and make as many updates as the
    transitions of the last round ask for in the mean over tasks; alone, each would begin at its own batch and count its
    own.

    Args:
        context: Its ``options`` are :class:`MtrlOptions`.
    """

    kind = "mtrl"
    networks = ("policy",)
    sizes_type = SkillAgentSizes
    options: MtrlOptions
    latest: Tensor

    def __init__(self, context: PhaseContext) -> None:
        options: MtrlOptions = context.options
        super().__init__(context, options.layers, options.width)
        self.sizes, tasks, seen = options, len(self.train_tasks), self.known_dim
        self.experts = MLPStack(tasks, seen, 2 * self.skill_dim, options.layers, options.width)
        self.critics = nn.ModuleList(
            MLPStack(tasks, seen + self.skill_dim, 1, options.layers, options.width) for _ in range(2)
        )
        self.target_critics = copy.deepcopy(self.critics)
        self.alpha = Multiplier(options.initial_alpha, tasks)
        self.register_buffer("latest", torch.zeros((), dtype=torch.int64))  # transitions of the last round
        self.keep_frozen(self.target_critics)

    # Acting

    def initial_state(self, worlds: int) -> TensorDict:
        """The task whose expert acts, ``[worlds]``, and nothing for an embedding."""
        return self._state(torch.zeros(worlds, dtype=torch.int64))

    def begin(self, given: str, tasks: Tensor, memory: TaskReplay) -> TensorDict:
        """The tasks ``[n]`` themselves."""
        return self._state(tasks)

    def _state(self, tasks: Tensor) -> TensorDict:
        return TensorDict({"task": tasks, "embedding": torch.zeros(len(tasks), 0)}, batch_size=tasks.shape)

    def act_expert(
        self, observation: TensorDict, state: TensorDict, explore: bool
    ) -> tuple[Tensor, TensorDict, TensorDict]:
        """A skill ``[N, d]`` of the expert of each world's task."""
        return self._act(self.experts.of(state["task"].to(self.device)), observation, state, explore)

    def collected(self, collect: CollectEpisodes, transitions: int, memory: TaskReplay) -> None:
        """Count the transitions of a round."""
        self.latest.fill_(transitions)

    # Plan

    def views(self) -> Mapping[str, int]:
        """What is learned from."""
        return {"replay": self.options.capacity}

    def progress(self) -> tuple[int, int]:
        """(env frames done, env frames in all)."""
        return self.env_frames, self.options.frames * len(self.train_tasks)

    def plan(self) -> Sequence[Instruction]:
        """Rounds: an episode of each task by its expert and, once there is a batch, updates."""
        options, (done, wanted) = self.options, self.progress()
        drawn = len(self.train_tasks) * options.batch_size
        if self.digested < self.transitions >= drawn:
            updates = max(1, int(options.reuse * int(self.latest) / drawn))
            return [UpdateTasks(updates, (), (), options.batch_size)]
        return (
            [] if done >= wanted else [CollectEpisodes(self.train_tasks, "task", policy="act_expert", into=("replay",))]
        )

    def adaptation(self) -> Sequence[CollectEpisodes]:
        """Episodes of the shared policy, which does not adapt by itself."""
        return [CollectEpisodes(self.test_tasks, "task", self.options.evaluation_episodes)]

    # Learning

    def build_optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """Adam of critics, of experts, of their alphas, and of the shared policy."""
        lr = self.options.lr
        self.critic_optimizer = FusedAdam(self.critics.parameters(), lr=lr)
        self.actor_optimizer = FusedAdam(self.experts.parameters(), lr=lr)
        self.alpha_optimizer = FusedAdam(self.alpha.parameters(), lr=self.options.alpha_lr)
        self.shared_optimizer = FusedAdam(self.policy.parameters(), lr=lr)
        return [self.critic_optimizer, self.actor_optimizer, self.alpha_optimizer, self.shared_optimizer]

    def update(self, batch: TensorDict) -> Metrics:
        """One step of every expert, and of the shared policy, on ``transitions`` ``[T, B]`` of tasks ``[T]``."""
        options, tasks = self.options, batch["task"]
        transitions = batch["transitions"].transpose(0, 1)  # [B, T]
        nothing, alpha = transitions["observation"][..., :0], self.alpha()[tasks]
        learners = Learners(self.experts.of(tasks), _of(self.critics, tasks), _of(self.target_critics, tasks))
        divergence, metrics = self.improve(learners, transitions, nothing, alpha)
        self.step(self.alpha_optimizer, multiplier_loss(alpha, divergence.mean(0), options.target_divergence))
        follow(self.target_critics, self.critics, options.tau)
        return metrics | self._distil(transitions, tasks) | {"alpha": alpha.detach().mean()}

    def _distil(self, transitions: TensorDict, tasks: Tensor) -> Metrics:
        """One step of the shared policy towards the experts as they are now."""
        seen = transitions["observation"]
        prior = Gaussian(transitions["prior_mean"], transitions["prior_log_std"])
        with torch.no_grad():
            experts = corrected(prior, self.experts.of(tasks)(seen))
        loss, metrics = distillation_loss(experts, corrected(prior, self.policy(seen)))
        self.step(self.shared_optimizer, loss)
        return metrics


def _of(critics: nn.ModuleList, tasks: Tensor) -> list[Network]:
    return [cast(MLPStack, critic).of(tasks) for critic in critics]
