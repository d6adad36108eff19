"""SPiRL's baselines, built from the configs that their methods ship."""

import dataclasses

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from lightning_skills.artefacts import Artefact
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.data.skill_env import SkillEnv
from lightning_skills.nets.conv import ConvMLP
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.skill_model import SkillModel, SkillModelSettings
from lightning_skills.phases.action_prior import ActionPriorModule
from lightning_skills.phases.base import Collect, PhaseContext
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from lightning_skills.phases.skill_rl import SkillRLModule
from lightning_skills.plugins import resolve
from methods import bc_sac, flat_prior, spirl, ssp
from tests.data.test_skill_env import CountingEnv
from tests.nets.drawings import Drawings
from tests.phases.test_skill_rl import transitions

METHODS = {method.METHOD.name: method.METHOD for method in (flat_prior, bc_sac, ssp, spirl)}
ENV = EnvInfo({"observation": (3,), "scene": (4,)}, 2, 50)
cloned = pytest.mark.parametrize("name", ["flat_prior", "bc_sac"])


def first_artefact(name: str, env: EnvInfo = ENV, renderer: Drawings | None = None, **options) -> Artefact:
    """What the first phase hands on, untrained but with used statistics of BatchNorm."""
    method = METHODS[name]
    phase = method.phases[0]
    small = dataclasses.replace(getattr(method.config(), phase.name), width=8, **options)
    torch.manual_seed(0)
    module = resolve(phase.module)(PhaseContext(small, env, renderer=renderer)).train()
    for _ in range(3):
        module.model.prior(torch.randn(32, *(module.image_shape or (env.state_dim,))))
    assert module.artefact().kind == phase.yields
    return module.artefact()


def build(name: str, artefact: Artefact, env: EnvInfo = ENV, renderer: Drawings | None = None) -> SkillRLModule:
    phase = METHODS[name].phases[1]
    (need,) = phase.needs
    assert need.kind == artefact.kind
    module = resolve(phase.module)(
        PhaseContext(METHODS[name].config().rl, env, {need.phase: artefact}, renderer=renderer)
    )
    module.build_optimizers()
    return module.train()


def executed(module: SkillRLModule, u: torch.Tensor) -> np.ndarray:
    """The primitive actions ``[T, 2, A]`` that two worlds get for one ``u`` each."""
    worlds = CountingEnv()
    env = SkillEnv(worlds, module.skill_execution())
    step = env.reset()
    step["action"] = u
    env.step(step)
    return np.stack(worlds.actions)


def test_what_the_phases_are():
    for name in ("flat_prior", "bc_sac"):
        assert [resolve(phase.module) for phase in METHODS[name].phases] == [ActionPriorModule, SkillRLModule]
    assert [resolve(phase.module) for phase in ssp.METHOD.phases] == [SkillPretrainModule, SkillRLModule]
    assert all(METHODS[name].requires == {"demonstrations"} for name in METHODS)


@cloned
@pytest.mark.parametrize("renderer", [None, Drawings()], ids=["states", "images"])
def test_a_cloned_policy_starts_as_the_clone(name, renderer):
    module = build(name, first_artefact(name, renderer=renderer), renderer=renderer)
    x = TensorDict({"observation": torch.randn(6, 3), "scene": torch.randn(6, 4)}, [6])
    seen = x["observation"] if renderer is None else renderer(x["scene"])
    u, _, _ = module.act(x, module.initial_state(6), explore=False)
    assert torch.equal(u, module.skills.prior(seen).mean)
    mlp = module.policy.mlp if isinstance(module.policy, ConvMLP) else module.policy
    assert isinstance(module.policy, ConvMLP) == (renderer is not None)
    assert len(mlp.hidden) == len(mlp.norms) == 5
    if renderer is not None:
        assert mlp.first.in_features == 128
    assert not any(part.training for part in module.policy.modules())
    # The clone fills the buffer, one primitive step per transition.
    assert module.plan() == [Collect(5000, "act")]
    assert {critic.first.in_features for critic in module.critics} == {3 + 2}


@cloned
def test_flat_actions_are_a_tanh_away(name):
    env = EnvInfo({"observation": (1,)}, 2, 50)
    module = build(name, first_artefact(name, env), env)
    u = torch.tensor([[0.3, -2.0], [1.5, 0.0]])
    np.testing.assert_allclose(executed(module, u), np.tanh(u.numpy())[None], rtol=1e-6)


def test_the_flat_prior_is_held_by_the_clone_and_bc_sac_by_entropy():
    prior = build("flat_prior", first_artefact("flat_prior"))
    assert prior.target_divergence == 1.0
    batch = transitions(prior)
    assert "prior_mean" in batch["next"]
    with torch.no_grad():
        prior.policy.last.bias += 0.5
    policy, clone = (
        Gaussian.from_output(each(batch["observation"])) for each in (prior.policy, prior.skills.prior_net)
    )
    kl = policy.kl(clone).sum(-1).mean()
    assert kl > 0.1
    assert prior.update(batch)["divergence"].item() == pytest.approx(kl.item(), rel=1e-4)

    free = build("bc_sac", first_artefact("bc_sac"))
    assert free.target_divergence == 2.0  # an entropy of -dim(A)
    batch = transitions(free, 4000)
    assert "prior_mean" not in batch
    policy = Gaussian.from_output(free.policy(batch["observation"]))
    u = policy.rsample()
    log_density = policy.log_prob(u).sum(-1) - (1 - torch.tanh(u.double()) ** 2).log().sum(-1)
    assert free.update(batch)["divergence"].item() == pytest.approx(log_density.mean().item(), abs=0.15)


@cloned
def test_clone_and_statistics_of_batchnorm_stay_while_the_policy_learns(name):
    module = build(name, first_artefact(name))
    before = {key: value.clone() for key, value in module.state_dict().items() if key.startswith(("skills", "policy"))}
    module.update(transitions(module))
    for key, value in before.items():
        fixed = key.startswith("skills") or "running" in key or "tracked" in key
        assert torch.equal(module.state_dict()[key], value) == fixed, key


def test_the_skill_space_policy_starts_from_scratch_over_open_loop_skills():
    module = build("ssp", first_artefact("ssp"))
    assert module.skills.settings.decoder == "open_loop"
    assert [linear.out_features for linear in (module.policy.first, *module.policy.hidden)] == [64] * 4
    assert not module.policy.norms
    assert (module.policy.first.in_features, module.policy.last.out_features) == (3, 2 * 10)
    assert {critic.first.in_features for critic in module.critics} == {3 + 10}
    assert module.target_divergence == 10.0
    assert module.plan() == [Collect(5000, "act_random")]
    u, _, _ = module.act_random(TensorDict({}, [20_000]), module.initial_state(1), explore=True)
    z = 2 * torch.tanh(u)
    assert z.std().item() == pytest.approx(2 / 3**0.5, rel=0.01), "uniform in [-2, 2]"
    assert "prior_mean" not in transitions(module)


@pytest.mark.parametrize("decoder", ["open_loop", "conditioned", "closed_loop"])
def test_open_loop_skills_play_raw_actions_and_closed_loop_skills_a_tanh(decoder):
    env = EnvInfo({"observation": (1,)}, 2, 50)
    module = build("spirl", first_artefact("spirl", env, decoder=decoder, decoder_layers=1), env)
    with torch.no_grad():
        (module.skills.decoder.last if decoder == "closed_loop" else module.skills.decoder.head).bias += 1.0
    u = torch.randn(2, 10)
    played = executed(module, u)
    assert played.shape == (10, 2, 2)
    z = 2 * torch.tanh(u)
    if decoder == "closed_loop":
        counts = torch.arange(10.0).expand(2, 10)[..., None]  # what the worlds show, step by step
        expected = torch.tanh(module.skills.decode(counts, z))
    else:
        expected = module.skills.decode(torch.zeros(2, 1, 1) if decoder == "conditioned" else None, z)
        assert expected.max() > 1, "or what the environment clips is not tested"
        expected = expected.clamp(-1, 1)
    np.testing.assert_allclose(played, expected.transpose(0, 1).numpy(), rtol=1e-3, atol=1e-5)


def test_the_policies_handed_on_hold_what_they_act_with():
    for name in ("flat_prior", "ssp"):
        module = build(name, first_artefact(name))
        artefact = module.artefact()
        skills = {key.removeprefix("skills."): value for key, value in artefact.tensors.items() if key.startswith("sk")}
        if name == "ssp":
            SkillModel(SkillModelSettings(**artefact.settings["skills"])).load_state_dict(skills)
        else:
            assert artefact.settings["skills"] is None
            assert not skills, "a policy over actions needs its prior no more"
        assert artefact.settings["tanh_actions"] is False
        assert artefact.settings["bound"] == module.options.bound
