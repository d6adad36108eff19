"""PEARL-ft on a target task: where it begins, and its updates against the formulas."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from lightning_skills.artefacts import Artefact
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.data.tasks import TaskData
from lightning_skills.errors import InputError
from lightning_skills.phases.base import CollectEpisodes, PhaseContext, Update
from methods.pearl_ft import METHOD
from methods.pearl_ft.adapt import PearlFtModule
from methods.pearl_ft.config import PearlFtOptions
from tests.methods import test_pearl as meta
from tests.methods.test_simpl_adapt import LENGTHS, Walk
from tests.methods.written_out import assert_close, descend, descent, plain

BATCH, LR = 6, 0.1
ONE_TASK = EnvInfo({"observation": (meta.STATES,)}, meta.ACTIONS, 50)


class Steps(Walk):
    """The same walk in this env's shapes."""

    def __init__(self):
        super().__init__()
        self.info, self.place = ONE_TASK, np.zeros((1, meta.STATES))

    def _reset(self, worlds):
        self.episode[worlds] += 1
        self.place[worlds] = 0


def trained(**options):
    module = meta.made(**{"reward_scale": 1.0, "initial_alpha": 0.4, **options})
    for _ in range(3):
        module.update(meta.batch())
    return module


def made(before=None, info=ONE_TASK, **options):
    chosen = PearlFtOptions(**{"batch_size": BATCH, "reuse": 6.0, "conditioning_episodes": 3, **options})
    module = PearlFtModule(PhaseContext(chosen, info, {"meta": (before or trained()).artefact()})).train()
    module.build_optimizers()
    return module


def test_it_goes_on_from_meta_training():
    before = trained()
    module = made(before)
    for name in ("encoder", "policy", "critics", "alpha"):
        for ours, theirs in zip(getattr(module, name).parameters(), getattr(before, name).parameters(), strict=True):
            assert torch.equal(ours, theirs)
    for ours, theirs in zip(module.target_critics.parameters(), before.critics.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert module.alpha().item() != pytest.approx(0.4, abs=1e-6)
    assert not any(parameter.requires_grad for parameter in module.encoder.parameters())


def test_it_infers_the_task_as_pearl_does_and_takes_the_mean():
    before = trained()
    module = made(before)
    data = TaskData(module, Steps())
    first, episode = module.plan()
    assert first == CollectEpisodes((0,), "prior", 3, into=("context",), counted=False)
    data.collect(first)
    context = data.memory.all(0, "context")
    assert len(context) == sum(LENGTHS)
    mean = before.posterior(context).mean.detach()
    torch.testing.assert_close(module.embedding, mean)
    data.collect(episode)
    assert module.plan() == [Update(LENGTHS[0], BATCH)]
    module.training_step(data.sample(Update(1, BATCH)), 0)
    torch.testing.assert_close(module.embedding, mean)


def test_what_was_meta_trained_blind_stays_blind():
    module = made(trained(task_blind=True))
    data = TaskData(module, Steps())
    for given in ("prior", "all"):
        assert not module.begin(given, torch.zeros(2, dtype=torch.int64), data.memory)["embedding"].any()
    data.collect(module.plan()[0])
    assert not module.embedding.any()


def test_windows_of_a_target_task_are_refused():
    data = TaskData(made(), Steps())
    with pytest.raises(NotImplementedError, match="recorded trajectories only"):
        data.sample(Update(1, BATCH, window=3))


def written_out(module, data):
    """One update of soft actor-critic in torch's own terms."""
    options, after, e = module.options, data["next"], module.embedding.expand(len(data), -1)
    names = ("policy", "critics", "target_critics", "alpha")
    policy, critics, targets, alpha = (copy.deepcopy(getattr(module, name)) for name in names)
    steps = descent({"policy": policy, "critics": critics}, LR)

    def sampled(known):
        mean, log_std = plain(policy, known).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
        u = mean + normal.stddev * torch.randn_like(mean)
        return u.tanh(), (normal.log_prob(u) - torch.log(1 - u.tanh() ** 2)).sum(-1)

    weight = functional.softplus(alpha.parameter).detach()
    beyond = torch.cat([after["observation"], e], -1)
    action, log_prob = sampled(beyond)
    future = torch.minimum(*(plain(each, torch.cat([beyond, action], -1)).squeeze(-1) for each in targets))
    ended = after["terminated"].squeeze(-1)
    reward = module.sizes.reward_scale * after[module.sizes.train_reward].squeeze(-1)
    goal = reward + options.discount * torch.where(ended, 0.0, future - weight * log_prob)
    known = torch.cat([data["observation"], e], -1)
    values = [plain(each, torch.cat([known, data["action"].tanh()], -1)).squeeze(-1) for each in critics]
    sum(0.5 * functional.mse_loss(value, goal.detach()) for value in values).backward()
    steps["critics"].step()
    steps["policy"].zero_grad()
    action, log_prob = sampled(known)
    smallest = torch.minimum(*(plain(each, torch.cat([known, action], -1)).squeeze(-1) for each in critics))
    (weight * log_prob - smallest).mean().backward()
    steps["policy"].step()
    with torch.no_grad():
        wanted = meta.ACTIONS  # an entropy of -dim(A)
        alpha.parameter -= LR * torch.sigmoid(alpha.parameter) * (wanted - log_prob.mean())
        for follower, leader in zip(targets.parameters(), critics.parameters(), strict=True):
            follower += options.tau * (leader - follower)
    return dict(zip(names, (policy, critics, targets, alpha), strict=True))


@pytest.mark.parametrize("learned_from", [{}, {"initial_alpha": None, "reward_scale": 7.0, "train_reward": "dense"}])
def test_an_update_is_soft_actor_critics_on_the_reward_of_meta_training(learned_from):
    info = dataclasses.replace(ONE_TASK, observation_shapes=meta.INFO.observation_shapes)
    module, data = made(trained(**learned_from), info, tau=0.1), meta.transitions(9).double()
    data["next", "terminated"] = data["next", "terminated"].bool()
    with torch.no_grad():
        for parameter in [*module.policy.parameters(), *module.target_critics.parameters()]:
            parameter += 0.2 * torch.randn_like(parameter)
    module.embedding.copy_(torch.tensor([0.7, -1.2]))
    module = module.double()
    torch.manual_seed(5)
    expected = written_out(module, data)
    torch.manual_seed(5)
    descend(module, ("critic_optimizer", "actor_optimizer", "alpha_optimizer"), LR)
    module.update(data)
    assert_close(module, expected)


def test_networks_for_other_states_or_of_another_version_are_refused():
    before = trained()
    wide = EnvInfo({"observation": (meta.STATES + 1,)}, meta.ACTIONS, 50)
    with pytest.raises(InputError, match="the encoder of 'pearl' was meta-trained on other states"):
        made(before, info=wide)
    with pytest.raises(InputError, match=r"train_reward is 'dense'; this environment has reward$"):
        made(trained(train_reward="dense"))
    old = Artefact("pearl", {"width": 8, "tasks": 3}, before.artefact().tensors)
    before.artefact = lambda: old
    with pytest.raises(InputError, match=r"'pearl' is damaged .*another version wrote it"):
        made(before)


def test_a_learned_weight_of_the_entropy_and_scaled_rewards_exclude_each_other():
    with pytest.raises(InputError, match="initial_alpha takes the place of reward_scale"):
        meta.made(initial_alpha=0.1)


def test_what_the_paper_says():
    """App. F.2; sizes of batches are not sure."""
    for env, (items, batch) in {"maze": (1024, 4096), "kitchen": (256, 1024)}.items():
        config, preset = METHOD.config(), METHOD.preset(env, "any")
        chosen = {
            phase: dataclasses.replace(
                getattr(config, phase),
                **{key.partition(".")[2]: value for key, value in preset.items() if key.startswith(f"{phase}.")},
            )
            for phase in ("meta", "adapt")
        }
        meta_options, options = chosen["meta"], chosen["adapt"]
        assert (meta_options.meta_batch, meta_options.initial_alpha, meta_options.batch_size) == (20, 0.1, items)
        assert (options.batch_size, options.reuse, options.conditioning_episodes) == (batch, batch, 20)
        assert meta_options.exploration_episodes == 20
