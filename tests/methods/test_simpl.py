"""SiMPL's networks, losses and updates against the formulas, and what it collects when."""

import copy

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch.nn import functional

from lightning_skills.data.batch_env import EnvInfo, TaskDistribution
from lightning_skills.data.task_replay import TaskReplay
from lightning_skills.errors import InputError
from lightning_skills.losses.skill_rl import multiplier_loss
from lightning_skills.nets.corrected_prior import corrected
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.nets.multiplier import Multiplier, inverse_softplus
from lightning_skills.phases.base import CollectEpisodes, PhaseContext, UpdateTasks
from lightning_skills.phases.options import SkillPretrainOptions
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from methods.simpl import losses
from methods.simpl.config import SimplOptions
from methods.simpl.module import SimplModule
from methods.simpl.networks import TaskEncoder
from tests.methods.written_out import assert_close, descend, descent, plain

STATES, ACTIONS, SKILL, SMALL, LARGE, BATCH = 4, 2, 3, 2, 3, 5
LR = 0.1
INFO = EnvInfo({"observation": (STATES,)}, ACTIONS, 50, TaskDistribution(tuple("abcdef"), tuple("xy")))
SKILLS = SkillPretrainOptions(latent_dim=SKILL, width=8, prior_layers=1, decoder_layers=1)


def made(world_size=1, **options):
    torch.manual_seed(0)
    skills = SkillPretrainModule(PhaseContext(SKILLS, INFO)).artefact()
    sizes = {"embedding_dim": 2, "encoder_width": 8, "layers": 2, "width": 8}
    batches = {"small_tasks": SMALL, "large_tasks": LARGE, "small_context": 2, "large_context": 6}
    chosen = SimplOptions(**{**sizes, **batches, "batch_size": BATCH, **options})
    module = SimplModule(PhaseContext(chosen, INFO, {"skills": skills}, world_size=world_size)).train()
    module.build_optimizers()
    return module


def transitions(*shape, seed=0):
    torch.manual_seed(seed)
    following = {
        "observation": torch.randn(*shape, STATES),
        "reward": torch.randn(*shape, 1),
        "terminated": torch.rand(*shape, 1) < 0.4,
    }
    now = {"observation": torch.randn(*shape, STATES), "action": torch.randn(*shape, SKILL)}
    return TensorDict({**now, "next": TensorDict(following, shape)}, shape)


def batch(module):
    groups, items = SMALL + LARGE, (SMALL + LARGE) * BATCH
    learned = module.annotate(transitions(items)).reshape(groups, BATCH)
    contexts = {"context_0": transitions(SMALL, 2, seed=1), "context_1": transitions(LARGE, 6, seed=2)}
    return TensorDict({"task": torch.tensor([3, 3, 1, 5, 1]), "transitions": learned, **contexts})


def test_losses_are_the_formulas():
    rng = np.random.default_rng(0)
    of, weight = torch.from_numpy, rng.uniform(0, 1, 5)
    mean, std = rng.normal(size=(5, 2)), rng.uniform(0.3, 2, size=(5, 2))
    loss, _ = losses.embedding_loss(Gaussian(of(mean), of(np.log(std))), of(weight))
    per_task = (0.5 * (std**2 + mean**2 - 1) - np.log(std)).sum(1)
    np.testing.assert_allclose(loss, (weight * per_task).mean())
    loss = multiplier_loss(of(weight), of(per_task), 2.0)
    np.testing.assert_allclose(loss, (weight * (2.0 - per_task)).mean())


def test_the_policy_is_the_prior_corrected():
    torch.manual_seed(0)
    prior = Gaussian(torch.randn(4, 3), torch.linspace(-9, 2, 12).view(4, 3))
    same = corrected(prior, torch.zeros(4, 6))
    torch.testing.assert_close(same.mean, prior.mean)
    torch.testing.assert_close(same.log_std.exp(), prior.log_std.exp() + 1e-3)
    moved = corrected(prior, torch.cat([torch.ones(4, 3), torch.full((4, 3), 0.5)], 1))
    torch.testing.assert_close(moved.mean, prior.mean + 1)
    before = torch.log(torch.expm1(prior.log_std.double().exp()))
    torch.testing.assert_close(
        moved.log_std.exp().double(), 1e-3 + functional.softplus(before + 0.5), rtol=1e-5, atol=0
    )
    small = torch.tensor([1e-6, 1e-3, 1.0, 30.0])
    torch.testing.assert_close(functional.softplus(inverse_softplus(small)), small)


def test_an_embedding_begins_near_the_prior():
    torch.manual_seed(0)
    posterior = TaskEncoder(3, 2, 3, width=32)(torch.randn(50, 8, 10))
    assert posterior.mean.abs().max() < 0.5
    assert (posterior.log_std.abs() < 0.3).all()


@pytest.mark.parametrize("divergence", [3.0, 0.2])
def test_multipliers_grow_while_too_much_diverges_and_never_shrink(divergence):
    module = made()
    before = module.large_alpha().item()
    posterior = Gaussian(torch.zeros(5, 2), torch.zeros(5, 2))
    weight = torch.cat([module.small_lambda().expand(SMALL), module.large_lambda()[torch.tensor([1, 5, 1])]])
    module._grow(posterior, torch.full((5,), divergence), weight, SMALL)
    grows = divergence > module.options.large_divergence
    assert (module.large_alpha().item() > before) is grows
    assert module.large_alpha().item() >= before
    np.testing.assert_allclose(module.large_lambda().detach(), 3e-6, rtol=1e-3)


def test_each_multiplier_follows_its_own_target():
    """Plain gradient descent, so that those which would shrink show their sign too."""
    targets = {"small_embedding_target": 0.7, "large_embedding_target": 4.0}
    targets |= {"small_divergence": 0.3, "large_divergence": 2.0}
    weights = {"small_embedding_weight": 0.3, "large_embedding_weight": 0.4, "small_alpha": 0.5, "large_alpha": 0.6}
    module = made(**targets, **weights)
    descend(module, ("multiplier_optimizer",), LR)
    posterior = Gaussian(torch.arange(10.0).view(5, 2) / 3, torch.zeros(5, 2))
    kl, tasks = posterior.kl_to_standard().sum(-1), [1, 5, 1]
    divergence = torch.tensor([0.1, 0.9, 1.0, 4.0, 7.0])
    weight = torch.cat([module.small_lambda().expand(SMALL), module.large_lambda()[torch.tensor(tasks)]])
    of_tasks = torch.zeros(6)
    for task, each in zip(tasks, kl[SMALL:], strict=True):
        of_tasks[task] += (4.0 - each) / LARGE
    slopes = {
        "small_lambda": 0.7 - kl[:SMALL].mean(),
        "large_lambda": of_tasks,
        "small_alpha": 0.3 - divergence[:SMALL].mean(),
        "large_alpha": 2.0 - divergence[SMALL:].mean(),
    }
    before = {name: getattr(module, name).parameter.detach().clone() for name in slopes}
    module._grow(posterior, divergence, weight, SMALL)
    for name, slope in slopes.items():
        expected = before[name] - LR * torch.sigmoid(before[name]) * slope
        torch.testing.assert_close(getattr(module, name).parameter.detach(), expected, msg=name)


def test_a_multiplier_begins_where_it_should():
    np.testing.assert_allclose(Multiplier(3e-6, 4)().detach(), [3e-6] * 4, rtol=1e-5)
    module = made(small_embedding_weight=0.1, large_embedding_weight=0.2, small_alpha=0.3, large_alpha=0.4)
    for name, value in (("small_lambda", 0.1), ("small_alpha", 0.3), ("large_alpha", 0.4)):
        np.testing.assert_allclose(getattr(module, name)().detach(), [value], rtol=1e-5)
    np.testing.assert_allclose(module.large_lambda().detach(), [0.2] * 6, rtol=1e-5)  # one for each task


def written_out(module, data):
    """One update task by task, in torch's own terms, after the authors' order of steps, and some of its metrics."""
    options, after = module.options, data["transitions", "next"]
    names = ("encoder", "policy", "critics", "target_critics")
    encoder, policy, critics, targets = (copy.deepcopy(getattr(module, name)) for name in names)
    steps = descent({"encoder": encoder, "policy": policy, "critics": critics}, LR)
    posteriors = []
    for context in (data["context_0"], data["context_1"]):
        following = context["next"]
        seen = [context["observation"], context["action"], following["reward"], following["terminated"].double()]
        posteriors += [
            encoder(torch.cat([*each, s], -1)[None]) for *each, s in zip(*seen, following["observation"], strict=True)
        ]
    noise = torch.randn(BATCH, SMALL + LARGE, options.embedding_dim, dtype=torch.float64)
    e = torch.stack([p.mean + p.log_std.exp() * n for p, n in zip(posteriors, noise.transpose(0, 1), strict=True)])

    def policy_at(part, e):
        out = plain(policy, torch.cat([part["observation"], e], -1))
        shift, spread = out.chunk(2, -1)
        prior = torch.distributions.Normal(part["prior_mean"], part["prior_log_std"].exp())
        std = 1e-3 + functional.softplus(torch.log(torch.expm1(prior.stddev)) + spread)
        normal = torch.distributions.Normal(prior.mean + shift, std)
        return normal, torch.distributions.kl_divergence(normal, prior).sum(-1)

    draws = torch.randn(2 * (SMALL + LARGE) * BATCH, SKILL, dtype=torch.float64).chunk(2)
    normal, divergence = policy_at(data["transitions"], e.detach())
    skill = normal.mean + normal.stddev * draws[0].view_as(normal.mean)
    following, next_divergence = policy_at(after, e.detach())
    next_skill = following.mean + following.stddev * draws[1].view_as(normal.mean)
    alpha = torch.cat([module.small_alpha().expand(SMALL), module.large_alpha().expand(LARGE)])[:, None]
    q = torch.stack([plain(each, torch.cat([after["observation"], e, next_skill], -1)) for each in targets]).amin(0)
    future = q.squeeze(-1) - alpha * next_divergence.clamp(max=options.divergence_clip)
    goal = after["reward"].squeeze(-1) + options.discount * (future * ~after["terminated"].squeeze(-1))
    now = data["transitions"]
    values = [plain(each, torch.cat([now["observation"], e, now["action"]], -1)).squeeze(-1) for each in critics]
    loss = sum(0.5 * functional.mse_loss(value, goal.detach()) for value in values)
    large = [module.large_lambda()[task] for task in data["task"][SMALL:]]
    weights = [*[module.small_lambda()[0]] * SMALL, *large]
    kls = [(0.5 * ((2 * p.log_std).exp() + p.mean**2 - 1) - p.log_std).sum() for p in posteriors]
    loss = loss + sum(w.detach() * kl for w, kl in zip(weights, kls, strict=True)) / len(kls)
    loss.backward()
    steps["critics"].step()
    steps["encoder"].step()
    known = torch.cat([now["observation"], e.detach(), skill], -1)
    smallest = torch.minimum(*(plain(each, known).squeeze(-1) for each in critics))
    steps["policy"].zero_grad()
    actor = (alpha.detach() * divergence - smallest).mean()
    actor.backward()
    steps["policy"].step()
    with torch.no_grad():
        for follower, leader in zip(targets.parameters(), critics.parameters(), strict=True):
            follower += options.tau * (leader - follower)
    metrics = {"actor_loss": actor, "divergence_small": divergence[:SMALL].mean()}
    return dict(zip(names, (encoder, policy, critics, targets), strict=True)), metrics


def test_an_update_is_the_authors():
    module = made(divergence_clip=0.02, large_embedding_weight=0.1)
    with torch.no_grad():
        module.large_lambda.parameter += torch.arange(6.0)
        for parameter in module.target_critics.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    data = batch(module).double()
    module = module.double()
    for part in (data["transitions"], data["context_0"], data["context_1"]):
        part["next", "terminated"] = part["next", "terminated"].bool()
    data["task"] = data["task"].long()
    torch.manual_seed(5)
    expected, metrics = written_out(module, data)
    torch.manual_seed(5)
    descend(module, ("critic_optimizer", "actor_optimizer"), LR)
    found = module.update(data)
    assert_close(module, expected)
    # Where no ReLU switches, the critics' gradient for a skill does not depend on the embedding; their values do.
    for name, value in metrics.items():
        torch.testing.assert_close(found[name], value.detach(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("explore", [True, False])
def test_skills_are_samples_of_the_corrected_prior_or_its_mean(explore):
    module = made()
    seen = TensorDict({"observation": torch.randn(3000, STATES)}, [3000])
    state = TensorDict({"embedding": torch.randn(3000, 2)}, [3000])
    skill, same, _ = module.act(seen, state, explore)
    prior = Gaussian.from_output(module.skills.prior_net(seen["observation"])).detach()
    policy = corrected(prior, plain(module.policy, torch.cat([*seen.values(), *state.values()], 1)).detach())
    deviation = (skill - policy.mean) / policy.log_std.exp()
    np.testing.assert_allclose(deviation.std(), float(explore), atol=0.05 if explore else 1e-4)
    assert same is state


def test_skills_and_their_prior_never_change():
    module = made()
    before = copy.deepcopy(module.skills.state_dict())
    module.update(batch(module))
    for key, tensor in module.skills.state_dict().items():
        assert torch.equal(tensor, before[key])


def test_embeddings_come_from_the_prior_a_sampled_context_or_are_the_mean_given_all():
    module = made(large_context=3)
    memory = TaskReplay(8, module.views())
    given = transitions(40)
    memory.extend(torch.arange(40) % 2, given, ("context",))
    tasks = torch.tensor([0, 1])
    draws = torch.stack([module.begin("prior", tasks, memory)["embedding"] for _ in range(2000)])
    np.testing.assert_allclose(draws.std(0), 1, atol=0.1)
    mean = module.posterior(given[::2][None]).mean.detach()
    torch.testing.assert_close(module.begin("all", tasks, memory)["embedding"][:1], mean)
    drawn = torch.stack([module.begin("context", tasks, memory)["embedding"] for _ in range(200)])
    assert (drawn.std(0) > 0.3).all()


def test_a_posterior_is_inferred_once_for_each_task_and_goes_to_its_worlds(monkeypatch):
    module, seen = made(), []
    memory = TaskReplay(8, module.views())
    memory.extend(torch.arange(40) % 3, transitions(40), ("context",))
    own = [module.posterior(memory.all(task, "context")[None]).mean[0].detach() for task in range(3)]
    posterior = module.posterior
    monkeypatch.setattr(module, "posterior", lambda context: seen.append(context) or posterior(context))
    tasks = [2, 0, 2, 2, 0]
    found = module.begin("all", torch.tensor(tasks), memory)["embedding"]
    torch.testing.assert_close(found, torch.stack([own[task] for task in tasks]))
    assert len(seen) == 2


def test_an_embedding_from_elsewhere_is_refused():
    with pytest.raises(ValueError, match="not 'task'"):
        made().begin("task", torch.tensor([0]), TaskReplay(8, {}))


def test_warm_up_epochs_and_updates_follow_from_the_counters():
    module = made(reuse=10.0, frames=1000)
    tasks = tuple(range(6))
    epoch = [
        CollectEpisodes(tasks, "prior", into=("context", "replay")),
        CollectEpisodes(tasks, "context", into=("replay",)),
    ]
    assert module.plan() == [
        CollectEpisodes(tasks, "prior", transitions=6, into=("context",), counted=False),
        CollectEpisodes(tasks, "context", transitions=BATCH, into=("replay",), counted=False),
        *epoch,
    ]
    module.env_frames, module.transitions = 500, 60
    updates = 10 * 60 // ((SMALL + LARGE) * BATCH)
    assert module.plan() == [UpdateTasks(updates, (SMALL, LARGE), (2, 6), BATCH)]
    module.training_step(batch(module), 0)
    assert module.plan() == epoch
    module.transitions += 1
    assert module.plan()[0].updates == 1
    module.digested, module.env_frames = module.transitions, 6 * 1000 - 1
    assert module.plan() == epoch
    module.env_frames += 1
    assert module.plan() == []
    assert module.progress() == (6000, 6000)


@pytest.mark.parametrize(("options", "count"), [({"small_tasks": 3, "large_tasks": 2}, 3), ({"large_tasks": 5}, 5)])
def test_batches_that_ranks_cannot_share_are_refused_at_once(options, count):
    with pytest.raises(InputError, match=f"a group of {count} tasks cannot be shared evenly by 2 processes"):
        made(world_size=2, **options)


def test_the_published_number_of_updates():
    """42 in an epoch of the kitchen: 23 tasks, two episodes of 28 skills."""
    kitchen = {"small_tasks": 3, "large_tasks": 27, "batch_size": 256, "reuse": 256.0}
    module = made(**kitchen)
    module.env_frames, module.transitions = 1, 2 * 23 * 28
    assert module.plan()[0].updates == 42


def test_adaptation_is_conditioned_on_twenty_episodes():
    first, second = made().adaptation()
    assert (first.tasks, first.given, first.episodes, first.into) == ((6, 7), "prior", 20, ("context",))
    assert (second.tasks, second.given, second.episodes, second.into) == ((6, 7), "all", 20, ())
