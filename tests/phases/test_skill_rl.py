import copy
import dataclasses
from collections.abc import Callable
from operator import itemgetter

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch.utils.flop_counter import FlopCounterMode

from lightning_skills.artefacts import Artefact
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.errors import InputError
from lightning_skills.nets.conv import perceptron
from lightning_skills.nets.mlp import MLP
from lightning_skills.nets.skill_model import SkillModel, SkillModelSettings
from lightning_skills.phases.base import Collect, PhaseContext, Update
from lightning_skills.phases.options import SkillRLOptions
from lightning_skills.phases.skill_rl import SkillRLModule

SIZES = SkillModelSettings(
    state_dim=3, action_dim=2, horizon=4, latent_dim=5, encoder_width=8, width=16, decoder_layers=1, prior_layers=2
)
SPIRL = SkillRLOptions(critic_width=16, batch_size=12, warmup=8, frames=100)
FLAT = dataclasses.replace(
    SPIRL, policy="scratch", policy_width=16, regulariser="entropy", target_divergence=None, bound=1.0
)


def skills() -> Artefact:
    torch.manual_seed(0)
    model = SkillModel(SIZES)
    for _ in range(20):
        model(torch.randn(64, 4, 3) * 2 + 1, torch.randn(64, 4, 2))
    return model.to_artefact()


def build(options: SkillRLOptions = SPIRL, worlds: int = 1, state_dim: int = 3) -> SkillRLModule:
    env = EnvInfo({"observation": (state_dim,)}, 2, 50)
    flat = options.policy == "scratch" and options.regulariser == "entropy"
    module = SkillRLModule(PhaseContext(options, env, {} if flat else {"skills": skills()}, worlds=worlds))
    module.build_optimizers()
    return module.train()


def transitions(module: SkillRLModule, items: int = 12) -> TensorDict:
    torch.manual_seed(1)
    following = {
        "observation": torch.randn(items, 3),
        "reward": torch.rand(items, 1),
        "terminated": torch.rand(items, 1) < 0.3,
    }
    now = {"observation": torch.randn(items, 3), "action": torch.randn(items, module.action_dim)}
    now["scene"], following["scene"] = torch.randn(2, items, 4)  # for modules that see images
    return module.annotate(TensorDict({**now, "next": TensorDict(following, [items])}, [items]))


def states_of(module: SkillRLModule, *names: str) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items() if key.split(".")[0] in names}


def observation(items: int = 4) -> TensorDict:
    return TensorDict({"observation": torch.randn(items, 3)}, [items])


def test_the_policy_starts_as_the_prior():
    module, x = build(), torch.randn(6, 3)
    assert torch.equal(module.policy(x), module.skills.prior_net(x))
    assert module.update(transitions(module))["divergence"].item() == pytest.approx(0, abs=1e-6)


def test_batchnorm_statistics_stay_and_its_affine_part_is_trained():
    module = build()
    before = states_of(module, "policy")
    module.update(transitions(module))
    after = states_of(module, "policy")
    changed = {key.split(".")[-1] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"weight", "bias"}
    assert not any(norm.training for norm in module.policy.norms)
    assert all(not torch.equal(before[key], after[key]) for key in before if "norms" in key and "weight" in key)


def test_skills_and_prior_stay_as_they_are():
    module = build()
    before = states_of(module, "skills")
    module.update(transitions(module))
    assert all(torch.equal(before[key], value) for key, value in states_of(module, "skills").items())


def test_the_prior_is_annotated_at_both_ends_of_a_transition():
    module = build()
    batch = transitions(module)
    for part in (batch, batch["next"]):
        prior = module.skills.prior(part["observation"])
        torch.testing.assert_close(part["prior_mean"], prior.mean)
        torch.testing.assert_close(part["prior_log_std"], prior.log_std)
    assert "prior_mean" not in transitions(build(FLAT))


def reference_gradients(
    module: SkillRLModule,
    batch: TensorDict,
    delta: float,
    see: Callable[[TensorDict], torch.Tensor] = itemgetter("observation"),
) -> dict[str, torch.Tensor]:
    """All gradients of one update, written out from the formulas with torch.distributions; the policy sees ``see``."""
    options, skillful = module.options, module.options.regulariser == "prior"
    policy, log_alpha = copy.deepcopy(module.policy), module.log_alpha.detach().clone().requires_grad_()
    critics, targets = copy.deepcopy(module.critics), module.target_critics

    def divergence_and_action(part):
        mean, log_std = policy(see(part)).chunk(2, -1)
        pi = torch.distributions.Normal(mean, log_std.clamp(-10, 2).exp())
        u = mean + pi.scale * torch.randn_like(mean)
        squashed = options.bound * torch.tanh(inner * u)
        if skillful:
            prior = torch.distributions.Normal(part["prior_mean"], part["prior_log_std"].exp())
            return torch.distributions.kl_divergence(pi, prior).sum(-1), squashed
        slope = options.bound * inner * (1 - torch.tanh(inner * u.double()) ** 2)
        return (pi.log_prob(u) - slope.log().float()).sum(-1), squashed

    def state_of(part):
        shown = batch["observation"]
        return (part["observation"] - shown.mean(0)) / shown.std(0, correction=0) if shifted else part["observation"]

    inner, shifted = 1 if options.slope is None else options.slope / options.bound, options.standardise
    alpha = log_alpha.exp()
    divergence, action = divergence_and_action(batch)
    with torch.no_grad():
        following = batch["next"]
        next_divergence, next_action = divergence_and_action(following)
        x = torch.cat([state_of(following), next_action], -1)
        value = torch.min(targets[0](x), targets[1](x))[:, 0] - alpha * next_divergence
        alive = 1 - following["terminated"][:, 0].float()
        y = options.reward_scale * following["reward"][:, 0] + alive * options.discount * value
    x = torch.cat([state_of(batch), options.bound * torch.tanh(inner * batch["action"])], -1)
    critic_losses = [0.5 * ((critic(x)[:, 0] - y) ** 2).mean() for critic in critics]
    x = torch.cat([state_of(batch), action], -1)
    q = torch.min(critics[0](x), critics[1](x))[:, 0]
    actor = (-q + alpha.detach() * divergence).mean()
    dual = alpha * (delta - divergence.mean().detach())
    gradients = {}
    for prefix, loss, network in [
        ("policy", actor, policy),
        ("critics.0", critic_losses[0], critics[0]),
        ("critics.1", critic_losses[1], critics[1]),
    ]:
        names, values = zip(*network.named_parameters(), strict=True)
        found = torch.autograd.grad(loss, values, retain_graph=True)
        gradients |= {f"{prefix}.{name}": gradient for name, gradient in zip(names, found, strict=True)}
    return gradients | {"log_alpha": torch.autograd.grad(dual, log_alpha)[0]}


GENTLE = {"bound": 3.0, "slope": 1.0}


@pytest.mark.parametrize(
    "options",
    [
        SPIRL,
        FLAT,
        dataclasses.replace(SPIRL, **GENTLE),
        dataclasses.replace(FLAT, **GENTLE),
        dataclasses.replace(SPIRL, reward_scale=0.1, standardise=True),
    ],
    ids=["prior", "entropy", "prior, slope 1", "entropy, slope 1", "scaled rewards, standardised states"],
)
def test_one_update_takes_exactly_the_gradients_of_the_formulas(options, monkeypatch):
    # The order of draws is free, so the noise must not depend on it.
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.linspace(-0.5, 0.8, x.shape[-1]).expand_as(x))
    module = build(options)
    delta = 1.0 if options.policy == "prior" else 2.0  # SAC: dim(A)
    with torch.no_grad():
        for parameter in module.policy.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for target, critic in zip(module.target_critics.parameters(), module.critics.parameters(), strict=True):
            target.copy_(critic + 0.1 * torch.randn_like(critic))
        module.log_alpha.fill_(-1.0)
    batch = transitions(module)
    expected = reference_gradients(module, batch, delta)
    module.update(batch)
    found = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_states_are_standardised_by_those_of_the_warm_up():
    module = build(dataclasses.replace(SPIRL, standardise=True))
    batch = transitions(module)
    before = module.standardiser(torch.ones(3))
    assert not torch.equal(before, torch.ones(3))
    module.transitions = SPIRL.warmup
    batch["observation"] += 5
    module.annotate(batch)
    assert torch.equal(module.standardiser(torch.ones(3)), before)


def test_the_sampled_estimator_reaches_the_update():
    module = build(dataclasses.replace(SPIRL, kl_estimator="sampled"))
    with torch.no_grad():
        module.policy.last.bias.add_(1.0)
    batch = transitions(module)
    divergences = {module.update(batch)["divergence"].item() for _ in range(2)}
    exact = build()
    with torch.no_grad():
        exact.policy.last.bias.add_(1.0)
    value = exact.update(batch)["divergence"].item()
    assert value not in divergences
    assert next(iter(divergences)) == pytest.approx(value, rel=0.3)


def products(mlp: MLP) -> int:
    """Multiply-adds per item."""
    return sum(p.numel() for p in mlp.parameters() if p.ndim == 2)


def test_the_actor_step_computes_no_weight_gradients_of_the_critics():
    module = build()
    batch = transitions(module)
    with FlopCounterMode(display=False) as counter:
        module.update(batch)
    policy, critic = products(module.policy), products(module.critics[0])
    first = module.policy.first.weight.numel()
    critic_first = module.critics[0].first.weight.numel()
    passes = 2 * policy + (2 * policy - first)  # at s and s'; backward but for the input
    passes += 2 * critic  # targets at s'
    passes += 2 * critic + 2 * (2 * critic - critic_first)  # at (s, z), and backward
    passes += 2 * critic + critic  # at (s, pi(s)), and backward to the action alone through the smaller critic alone
    assert counter.get_total_flops() == 2 * 12 * passes


def test_target_critics_follow_by_tau():
    module = build(dataclasses.replace(SPIRL, tau=0.25))
    before = [p.clone() for p in module.target_critics.parameters()]
    module.update(transitions(module))
    for old, target, critic in zip(
        before, module.target_critics.parameters(), module.critics.parameters(), strict=True
    ):
        torch.testing.assert_close(target, 0.75 * old + 0.25 * critic)


def test_alpha_may_learn_at_a_rate_of_its_own():
    """Adam's first step is as long as its rate, whatever the gradient."""
    for alpha_lr, moved in ((None, 1e-3), (0.05, 0.05)):
        module = build(dataclasses.replace(SPIRL, lr=1e-3, alpha_lr=alpha_lr))
        before = module.log_alpha.item(), module.critics[0].last.bias.item()
        module.update(transitions(module))
        after = module.log_alpha.item(), module.critics[0].last.bias.item()
        np.testing.assert_allclose(np.abs(np.subtract(after, before)), [moved, 1e-3], rtol=1e-2)


def test_warm_up_then_one_update_per_transition_until_the_frames_are_used_up():
    module = build(worlds=3)
    assert module.plan() == [Collect(8, "act")]
    module.transitions, module.env_frames = 9, 36
    assert module.plan() == [Collect(3), Update(3, 12)]
    module.env_frames = 100
    assert module.plan() == []
    assert build(FLAT).plan() == [Collect(8, "act_random")]


def test_acting():
    module, x = build(), observation(20_000)
    mean, _, _ = module.act(x, module.initial_state(4), explore=False)
    sample, _, extras = module.act(x, module.initial_state(4), explore=True)
    policy = module.skills.prior(x["observation"])
    assert torch.equal(mean, policy.mean)
    assert ((sample - mean) / policy.log_std.exp()).std().item() == pytest.approx(1.0, abs=0.02)
    assert extras.batch_size == x.batch_size


def test_random_actions_are_uniform_once_squashed():
    module, x = build(), observation(20_000)
    u, _, _ = module.act_random(x, module.initial_state(4), explore=True)
    assert u.isfinite().all()
    histogram = torch.histc(2 * torch.tanh(u), bins=4, min=-2, max=2) / u.numel()
    assert histogram.tolist() == pytest.approx([0.25] * 4, abs=0.01)


@pytest.mark.parametrize(("options", "reach"), [(SPIRL, 2.0), (FLAT, 1.0)])
def test_without_a_bound_skills_are_uniform_in_two_and_actions_in_one(options, reach):
    module = build(dataclasses.replace(options, bound=None))
    u, _, _ = module.act_random(observation(20_000), module.initial_state(4), explore=True)
    assert u.abs().max() <= reach
    assert torch.histc(u, bins=4, min=-reach, max=reach).div(u.numel()).tolist() == pytest.approx([0.25] * 4, abs=0.01)


def test_how_the_environment_executes_an_action():
    module = build()
    execution = module.skill_execution()
    assert (execution.horizon, execution.action_dim, execution.bound, execution.slope) == (4, 5, 2.0, None)
    assert build(dataclasses.replace(SPIRL, **GENTLE)).skill_execution().slope == 1.0
    x, z = np.ones((2, 3), dtype=np.float32), np.ones((2, 5), dtype=np.float32)
    decoded = module.skills.decode(torch.from_numpy(x)[:, None], torch.from_numpy(z))[:, 0]
    np.testing.assert_allclose(execution.low_level({"observation": x}, z)[:, 0], decoded.numpy(), rtol=1e-4, atol=1e-5)
    flat = build(FLAT).skill_execution()
    assert (flat.low_level, flat.horizon, flat.action_dim, flat.bound) == (None, 1, 2, 1.0)


def test_it_hands_on_policy_and_skills(tmp_path):
    for options in (SPIRL, FLAT):
        module = build(options)
        module.update(transitions(module))
        module.artefact().save(tmp_path / "policy")
        artefact = Artefact.load(tmp_path / "policy", "policy")
        parts: dict[str, dict[str, torch.Tensor]] = {"policy": {}, "skills": {}}
        for name, tensor in artefact.tensors.items():
            part, _, inner = name.partition(".")
            parts[part][inner] = tensor
        policy = perceptron(**artefact.settings["policy"]).eval()
        policy.load_state_dict(parts["policy"])
        x = torch.randn(4, 3)
        assert torch.equal(policy(x), module.policy(x))
        if options is SPIRL:
            SkillModel(SkillModelSettings(**artefact.settings["skills"])).load_state_dict(parts["skills"])
        else:
            assert artefact.settings["skills"] is None
            assert not parts["skills"]


def test_contradictory_options_are_refused():
    with pytest.raises(InputError, match="target_divergence"):
        dataclasses.replace(SPIRL, target_divergence=None)
    with pytest.raises(InputError, match="no phase hands one on"):
        SkillRLModule(PhaseContext(SPIRL, EnvInfo({"observation": (3,)}, 2, 50)))
    with pytest.raises(InputError, match="length 3"):
        build(state_dim=4)


def test_sac_solves_a_bandit():
    module = build(dataclasses.replace(FLAT, lr=3e-3, critic_width=64, initial_alpha=0.1))
    state = module.initial_state(64)
    for _ in range(400):
        x = observation(64)
        tried = [getattr(module, policy)(x, state, explore=True)[0] for policy in ("act", "act_random")]
        x, u = torch.cat([x, x]), torch.cat(tried)
        reward = -((torch.tanh(u) - torch.tensor([0.5, -0.3])) ** 2).sum(-1, keepdim=True)
        ended = torch.ones(128, 1, dtype=torch.bool)
        following = TensorDict({"observation": x["observation"], "reward": reward, "terminated": ended}, [128])
        module.update(TensorDict({**x, "action": u, "next": following}, [128]))
    u, _, _ = module.act(observation(256), state, explore=False)
    assert torch.tanh(u).mean(0).tolist() == pytest.approx([0.5, -0.3], abs=0.1)
