"""The phase of the sample method."""

import torch
from tensordict import TensorDict
from torch import nn

from lightning_skills.artefacts import Artefact
from lightning_skills.data.skill_env import SkillExecution
from lightning_skills.phases.base import Collect, PhaseModule, Update


class RewardWeighted(PhaseModule):
    """Reward-weighted regression with a discount of 0: right only where the immediate reward tells all."""

    def __init__(self, context):
        super().__init__(context)
        self.options = context.options
        self.policy = nn.Sequential(
            nn.Linear(context.env.state_dim, 32), nn.Tanh(), nn.Linear(32, context.env.action_dim)
        )

    def plan(self):
        if self.env_frames >= self.options.frames:
            return []
        return [Collect(self.context.worlds), Update(1, self.options.batch_size)]

    def progress(self):
        return self.env_frames, self.options.frames

    def build_optimizers(self):
        self.optimizer = torch.optim.Adam(self.policy.parameters(), lr=self.options.lr)
        return [self.optimizer]

    def update(self, batch):
        weights = torch.softmax(batch["next", "reward"].squeeze(-1) / self.options.temperature, dim=0)
        error = (self.policy(batch["observation"]) - batch["action"]).square().sum(-1)
        loss = (weights * error).sum()
        self.step(self.optimizer, loss)
        return {"loss": loss.detach()}

    def skill_execution(self):
        return SkillExecution(low_level=None, horizon=1, action_dim=self.context.env.action_dim, bound=None)

    def act(self, observation, state, explore):
        action = self.policy(observation["observation"])
        if explore:
            action = action + self.options.noise * torch.randn_like(action)
        return action, state, TensorDict({}, batch_size=observation.batch_size)

    def artefact(self):
        return Artefact("policy", {}, self.policy.state_dict())
