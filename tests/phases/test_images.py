"""Pre-training of every decoder, on states and images, and reinforcement learning on images."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch.distributions import Normal, kl_divergence

from lightning_skills.artefacts import Artefact
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.errors import InputError
from lightning_skills.nets.action_prior import ActionPrior
from lightning_skills.nets.skill_model import SkillModel, SkillModelSettings
from lightning_skills.phases.action_prior import ActionPriorModule
from lightning_skills.phases.base import PhaseContext, Update
from lightning_skills.phases.options import ActionPriorOptions, SkillPretrainOptions
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from lightning_skills.phases.skill_rl import SkillRLModule
from tests.nets.drawings import Drawings, scenes
from tests.nets.test_skill_variants import textbook
from tests.phases import test_skill_pretrain as pretrain
from tests.phases import test_skill_rl as rl

ENV = EnvInfo({"observation": (3,), "scene": (4,)}, 2, 50)
SKILLS = SkillPretrainOptions(**pretrain.OPTIONS, features=7, clip_updates=0)
ACTIONS = ActionPriorOptions(layers=2, width=16, features=7, clip_updates=0)
on_both = pytest.mark.parametrize("renderer", [None, Drawings()], ids=["states", "images"])
every_decoder = pytest.mark.parametrize("decoder", ["closed_loop", "open_loop", "conditioned"])


def learner(module, options, renderer):
    torch.manual_seed(0)
    built = module(PhaseContext(options, ENV, renderer=copy.deepcopy(renderer))).double()
    built.build_optimizers()
    return built.train()


def trajectories(rows: int, items: int = 16) -> tuple[TensorDict, torch.Tensor]:
    """Windows, and what their frames show."""
    shown = torch.randn(items, rows, 2, dtype=torch.float64)
    states, actions = torch.randn(items, rows, 3).double(), torch.randn(items, rows, 2).double()
    return TensorDict({"observation": states, "scene": scenes(shown), "action": actions}, [items, rows]), shown


def stacked(shown: torch.Tensor) -> torch.Tensor:
    """Row k: frames k - 1 and k, for every row but the first, which is not a number."""
    frames = Drawings().double().frame(shown)
    images = torch.full((*shown.shape[:2], 6, 16, 16), torch.nan, dtype=shown.dtype)
    images[:, 1:, :3], images[:, 1:, 3:] = frames[:, :-1], frames[:, 1:]
    return images


@every_decoder
@on_both
@pytest.mark.parametrize("estimator", ["nll", "kl"])
def test_pretraining_descends_the_loss_of_the_formula(decoder, renderer, estimator, monkeypatch):
    options = dataclasses.replace(SKILLS, decoder=decoder, prior_estimator=estimator, beta=0.3)
    module = learner(SkillPretrainModule, options, renderer)
    images = renderer is not None
    # Windows of states have H + 1 rows and skills of H actions. Those of images are one longer, for the frame before
    # the skill; the posterior sees the action before it, and the decoder's targets are the H others.
    batch, shown = trajectories(rows=4 + 2 if images else 4 + 1)
    assert module.plan() == [Update(options.updates, options.batch_size, batch.shape[1])]
    model, noise = copy.deepcopy(module.model), torch.randn(16, 2, dtype=torch.float64)
    monkeypatch.setattr(torch, "randn_like", lambda _: noise)
    seen = stacked(shown) if images else batch["observation"]
    (mean, log_std), skill, action, (prior_mean, prior_log_std) = textbook_in_one_batch(
        model, seen, batch["action"][:, :-1], noise
    )
    posterior = Normal(mean, log_std.exp())
    prior = Normal(prior_mean, prior_log_std.exp())
    reconstruction = -Normal(action, 1.0).log_prob(batch["action"][:, -5:-1]).mean()
    kl = kl_divergence(posterior, Normal(torch.zeros_like(mean), 1.0)).mean()
    if estimator == "nll":
        of_prior = -prior.log_prob(skill.detach()).sum(-1).mean()
    else:
        of_prior = kl_divergence(Normal(mean.detach(), log_std.detach().exp()), prior).mean()
    parameters = dict(model.named_parameters())
    loss = reconstruction + 0.3 * kl + of_prior
    expected = dict(zip(parameters, torch.autograd.grad(loss, [*parameters.values()]), strict=True))
    metrics = module.update(batch)
    assert metrics["loss"].item() == pytest.approx(loss.item())
    assert metrics[f"prior_{estimator}"].item() == pytest.approx(of_prior.item())
    for name, parameter in module.model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], msg=lambda m, n=name: f"{n}: {m}")
    assert all(gradient.any() for gradient in expected.values())


def textbook_in_one_batch(model, seen, actions, noise):
    """BatchNorm of a closed-loop decoder takes its statistics over batch and time, so there it gets all steps at once.

    In images, all other rows than a model looks at may be anything.
    """
    if model.settings.decoder != "closed_loop":
        return textbook(model, seen, actions, noise)
    settings, n = model.settings, model.settings.past_actions
    context = model.perception(seen[:, n : n + actions.shape[1]])
    mean, log_std = model.encoder(torch.cat([actions, context], dim=-1))
    skill = mean + log_std.exp() * noise
    repeated = skill[:, None].expand(-1, settings.horizon, -1)
    action = model.decoder(torch.cat([context[:, : settings.horizon], repeated], dim=-1))
    prior_mean, prior_log_std = model.prior_net(seen[:, n]).chunk(2, dim=-1)
    return (mean, log_std), skill, action, (prior_mean, prior_log_std.clamp(-10, 2))


@on_both
def test_an_action_prior_learns_the_likelihood_of_the_action_of_the_present_frame(renderer):
    module = learner(ActionPriorModule, ACTIONS, renderer)
    batch, _ = trajectories(rows=2)
    assert module.plan() == [Update(ACTIONS.updates, ACTIONS.batch_size, 2)]
    model = copy.deepcopy(module.model)
    seen = batch["observation"][:, 0] if renderer is None else Drawings().double()(batch["scene"][:, 0])
    mean, log_std = model.prior_net(seen).chunk(2, dim=-1)
    loss = -Normal(mean, log_std.clamp(-10, 2).exp()).log_prob(batch["action"][:, 0]).sum(-1).mean()
    expected = torch.autograd.grad(loss, [*model.parameters()])
    assert module.update(batch)["loss"].item() == pytest.approx(loss.item())
    torch.testing.assert_close([p.grad for p in module.model.parameters()], [*expected])
    assert ActionPrior.from_artefact(module.artefact()).settings == module.model.settings


def test_an_untrained_start_stays_zero():
    for trained in (True, False):
        module = learner(
            SkillPretrainModule, dataclasses.replace(SKILLS, decoder="open_loop", trained_start=trained), None
        )
        module.update(trajectories(rows=5)[0])
        assert module.model.decoder.start.any() == trained


@pytest.mark.parametrize("target", [0.0, 100.0])
def test_a_target_of_the_kl_moves_its_weight(target):
    module = learner(SkillPretrainModule, dataclasses.replace(SKILLS, target_kl=target, beta_lr=0.1), None)
    batch = trajectories(rows=5)[0]
    metrics = [module.update(batch) for _ in range(8)]
    assert metrics[0]["beta"].item() == 1.0
    assert (metrics[-1]["beta"] > 1) == (target == 0.0)
    for each in metrics:
        total = each["reconstruction"] + each["beta"] * each["kl"] + each["prior_nll"]
        assert each["loss"].item() == pytest.approx(total.item())


# Reinforcement learning


def image_skills(decoder: str = "closed_loop") -> Artefact:
    torch.manual_seed(0)
    settings = dataclasses.replace(rl.SIZES, decoder=decoder, image_shape=(6, 16, 16), features=7, past_actions=1)
    model = SkillModel(settings)
    seen = Drawings()(scenes(torch.randn(64, 6, 2)))
    for _ in range(5):
        model(seen[:, model.seen_rows], torch.randn(64, 5, 2))
    return model.to_artefact()


def actor_critic(options=rl.SPIRL, artefact=None, env=ENV, renderer=None) -> SkillRLModule:
    context = PhaseContext(options, env, {"skills": artefact or image_skills()}, renderer=renderer or Drawings())
    module = SkillRLModule(context)
    module.build_optimizers()
    return module.train()


def test_the_policy_starts_as_the_prior_and_acts_on_the_scene():
    module = actor_critic()
    scene, states = torch.randn(5, 4), torch.randn(5, 3)
    prior = module.skills.prior(Drawings()(scene))
    state = module.initial_state(5)
    act = lambda **keys: module.act(TensorDict(keys, [5]), state, explore=False)[0]  # noqa: E731
    u = act(observation=states, scene=scene)
    assert torch.equal(u, prior.mean)
    assert torch.equal(u, act(observation=states + 1, scene=scene))
    assert not torch.equal(u, act(observation=states, scene=scene + 1))
    torch.manual_seed(3)
    sample = module.act(TensorDict({"scene": scene}, [5]), state, explore=True)[0]
    torch.manual_seed(3)
    torch.testing.assert_close(sample, prior.rsample())


def test_the_prior_is_annotated_at_both_ends():
    module = actor_critic()
    batch = rl.transitions(module)
    for part in (batch, batch["next"]):
        prior = module.skills.prior(Drawings()(part["scene"]))
        torch.testing.assert_close(part["prior_mean"], prior.mean)
        torch.testing.assert_close(part["prior_log_std"], prior.log_std)
    assert module.update(batch)["divergence"].item() == pytest.approx(0, abs=1e-6)


def test_scenes_are_stored_for_a_policy_that_sees_them_alone():
    scratch = dataclasses.replace(rl.SPIRL, policy="scratch")
    entropy = dataclasses.replace(scratch, regulariser="entropy")
    for options, stored in ((rl.SPIRL, True), (scratch, False), (entropy, False)):
        batch = rl.transitions(module := actor_critic(options))
        keys = set(batch.keys(include_nested=True))
        assert keys & {"scene", ("next", "scene")} == ({"scene", ("next", "scene")} if stored else set())
        assert ("prior_mean" in keys) == (options.regulariser == "prior")
        assert module.update(batch)["critic_loss"] > 0


def test_one_update_takes_the_gradients_of_the_formulas(monkeypatch):
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.linspace(-0.5, 0.8, x.shape[-1]).expand_as(x))
    module = actor_critic()
    with torch.no_grad():
        for parameter in module.policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    batch = rl.transitions(module)
    before = rl.states_of(module, "policy")
    expected = rl.reference_gradients(module, batch, delta=1.0, see=lambda part: Drawings()(part["scene"]))
    module.update(batch)
    found = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    after = rl.states_of(module, "policy")
    for name, value in before.items():
        assert torch.equal(value, after[name]) == ("running" in name or "tracked" in name), name
    assert {critic.first.in_features for critic in module.critics} == {3 + 5}


@every_decoder
def test_skills_are_executed_on_what_is_drawn(decoder):
    module = actor_critic(artefact=image_skills(decoder))
    execution = module.skill_execution()
    assert execution.chunk == (1 if decoder == "closed_loop" else 4)
    assert execution.tanh_actions == (decoder == "closed_loop")
    observation = {"observation": np.ones((2, 3), np.float32), "scene": np.ones((2, 4), np.float32)}
    skill = torch.randn(2, 5)
    seen = None if decoder == "open_loop" else Drawings()(torch.ones(2, 1, 4))
    expected = module.skills.decode(seen, skill).numpy()
    np.testing.assert_allclose(execution.low_level(observation, skill.numpy()), expected, rtol=1e-4, atol=1e-5)


def test_a_policy_from_scratch_sees_states_beside_skills_of_images():
    module = actor_critic(dataclasses.replace(rl.FLAT, bound=2.0), image_skills("open_loop"))
    assert module.policy.first.in_features == 3
    u, _, _ = module.act(TensorDict({"observation": torch.randn(4, 3)}, [4]), module.initial_state(4), explore=True)
    assert u.shape == (4, 5)
    module.update(rl.transitions(module))


class Larger(Drawings):
    image_shape = (6, 32, 32)


@pytest.mark.parametrize("renderer", [None, Larger()], ids=["none", "other shape"])
def test_images_that_the_skills_were_not_learned_on_are_one_clear_error(renderer, tmp_path):
    image_skills().save(tmp_path / "skills")
    artefact = Artefact.load(tmp_path / "skills", "skills")
    actor_critic(artefact=artefact)
    with pytest.raises(InputError, match=r"images of shape .*6, 16, 16.*this environment shows") as error:
        SkillRLModule(PhaseContext(rl.SPIRL, ENV, {"skills": artefact}, renderer=renderer))
    assert "\n" not in str(error.value)


def test_skills_of_images_serve_without_images_where_nothing_looks_at_them():
    from_scratch = dataclasses.replace(rl.FLAT, bound=2.0)
    blind = SkillRLModule(PhaseContext(from_scratch, ENV, {"skills": image_skills("open_loop")}))
    execution = blind.skill_execution()
    actions = execution.low_level({"observation": np.zeros((2, 3), np.float32)}, np.ones((2, 5), np.float32))
    assert actions.shape == (2, execution.horizon, 2)
    with pytest.raises(InputError, match="images"):
        SkillRLModule(PhaseContext(from_scratch, ENV, {"skills": image_skills("closed_loop")}))


def test_skills_of_states_are_refused_where_images_are_seen():
    with pytest.raises(InputError, match="learned on states, this environment shows images"):
        actor_critic(artefact=rl.skills())


def test_the_policy_handed_on_is_rebuilt_with_its_convolutions(tmp_path):
    module = actor_critic()
    module.artefact().save(tmp_path / "policy")
    artefact = Artefact.load(tmp_path / "policy", "policy")
    policy = rl.perceptron(**artefact.settings["policy"]).eval()
    policy.load_state_dict(
        {k.removeprefix("policy."): v for k, v in artefact.tensors.items() if k.startswith("policy")}
    )
    images = Drawings()(torch.randn(4, 4))
    assert torch.equal(policy(images), module.policy(images))
    SkillModel(SkillModelSettings(**artefact.settings["skills"]))
