"""PEARL's losses and updates against the formulas, and what it collects when."""

import copy

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch.nn import functional

from lightning_skills.data.batch_env import EnvInfo, TaskDistribution
from lightning_skills.data.task_replay import TaskReplay
from lightning_skills.errors import InputError
from lightning_skills.losses import pearl as losses
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.phases.base import CollectEpisodes, PhaseContext, UpdateTasks
from lightning_skills.phases.options import PearlOptions
from lightning_skills.phases.pearl import PearlModule
from tests.methods.written_out import assert_close, descend, descent, plain

STATES, ACTIONS, TASKS, BATCH, CONTEXT = 3, 2, 4, 5, 6
LR = 0.01
INFO = EnvInfo(
    {"observation": (STATES,), "dense": (1,)}, ACTIONS, 10, TaskDistribution(tuple("abcdefgh"), tuple("xyz"))
)


def made(world_size=1, **options):
    torch.manual_seed(0)
    defaults = {"embedding_dim": 2, "encoder_width": 8, "layers": 2, "width": 8}
    sizes = {"meta_batch": TASKS, "batch_size": BATCH, "context_size": CONTEXT}
    module = PearlModule(PhaseContext(PearlOptions(**{**defaults, **sizes, **options}), INFO, world_size=world_size))
    module.build_optimizers()
    return module.train()


def test_a_batch_that_ranks_cannot_share_is_refused_at_once():
    with pytest.raises(InputError, match="a group of 5 tasks cannot be shared evenly by 2 processes"):
        made(world_size=2, meta_batch=5)


def test_a_reward_that_the_env_does_not_have_is_refused_at_once():
    with pytest.raises(InputError, match=r"train_reward is 'dens'; this environment has reward, dense$"):
        made(train_reward="dens")


def transitions(*shape, seed=0):
    torch.manual_seed(seed)
    following = {
        "observation": torch.randn(*shape, STATES),
        "dense": torch.randn(*shape, 1),
        "reward": torch.randn(*shape, 1),
        "terminated": torch.rand(*shape, 1) < 0.4,
    }
    now = {"observation": torch.randn(*shape, STATES), "action": torch.randn(*shape, ACTIONS)}
    return TensorDict({**now, "next": TensorDict(following, shape)}, shape)


def batch():
    return TensorDict({"transitions": transitions(TASKS, BATCH), "context_0": transitions(TASKS, CONTEXT, seed=1)})


def test_losses_are_the_formulas():
    rng = np.random.default_rng(0)
    reward, following, value, critics, log_prob = rng.normal(size=(5, TASKS, BATCH))
    done, both = rng.random((TASKS, BATCH)) < 0.5, rng.normal(size=(TASKS, BATCH, 2))
    given = [torch.from_numpy(each) for each in (reward, done, following)]
    target = losses.critic_target(*given, scale=5.0, discount=0.9)
    expected = 5.0 * reward + 0.9 * (1 - done) * following
    np.testing.assert_allclose(target, expected)
    loss, _ = losses.critic_loss(torch.from_numpy(both), target)
    np.testing.assert_allclose(loss, sum(((both[..., i] - expected) ** 2).mean() for i in range(2)))
    mean, std = rng.normal(size=(TASKS, 2)), rng.uniform(0.3, 2, size=(TASKS, 2))
    posterior = Gaussian(torch.from_numpy(mean), torch.from_numpy(np.log(std)))
    kl, metrics = losses.embedding_loss(posterior, weight=0.1, tasks=TASKS)
    per_task = (0.5 * (std**2 + mean**2 - 1) - np.log(std)).sum(1)
    np.testing.assert_allclose(kl, 0.1 * per_task.sum())
    np.testing.assert_allclose(metrics["kl"], per_task.mean())
    loss, _ = losses.value_loss(*(torch.from_numpy(each) for each in (value, critics, log_prob)), alpha=0.3)
    np.testing.assert_allclose(loss, ((value - (critics - 0.3 * log_prob)) ** 2).mean())
    policy = Gaussian(*(torch.from_numpy(rng.normal(size=(TASKS, BATCH, ACTIONS))) for _ in range(2)))
    given = (policy, torch.from_numpy(critics), torch.from_numpy(log_prob))
    loss, _ = losses.policy_loss(*given, alpha=0.3, penalty=1e-3)
    penalty = 1e-3 * ((policy.mean.numpy() ** 2).mean() + (policy.log_std.numpy() ** 2).mean())
    np.testing.assert_allclose(loss, (0.3 * log_prob - critics).mean() + penalty)


def written_out(module, data):
    """One update in torch's own terms, after the authors' order of steps."""
    options = module.options
    encoder, policy, value, target = (
        copy.deepcopy(each) for each in (module.encoder, module.policy, module.value, module.target_value)
    )
    critics = copy.deepcopy(module.critics)
    steps = descent({"encoder": encoder, "policy": policy, "value": value, "critics": critics}, LR)
    learned = options.initial_alpha is not None
    alpha = copy.deepcopy(module.alpha)
    weight = functional.softplus(alpha.parameter).detach() if learned else 1.0
    now, context = data["transitions"], data["context_0"]
    following = [context["next", "observation"]] if options.next_state_in_context else []
    seen = torch.cat([context["observation"], context["action"].tanh(), context["next", "reward"], *following], -1)
    mean, spread = plain(encoder.factors, seen).chunk(2, -1)
    precision = 1 / functional.softplus(spread).clamp(min=1e-7)
    variance = 1 / precision.sum(1)
    mean = variance * (mean * precision).sum(1)
    z = (mean + variance.sqrt() * torch.randn_like(mean))[:, None].expand(-1, BATCH, -1)
    kl = 0.5 * (variance + mean**2 - 1 - variance.log()).sum()
    state, after = now["observation"], now["next", "observation"]
    bootstrapped = plain(target, torch.cat([after, z], -1))
    future = bootstrapped * ~now["next", "terminated"]
    goal = options.reward_scale * now["next", "reward"] + options.discount * future
    q = [plain(critic, torch.cat([state, z, now["action"].tanh()], -1)) for critic in critics]
    loss = sum(functional.mse_loss(each, goal.detach()) for each in q) + options.kl_weight * kl
    loss.backward()
    steps["critics"].step()
    steps["encoder"].step()
    known = torch.cat([state, z], -1).detach()
    mean, log_std = plain(policy, known).chunk(2, -1)
    normal = torch.distributions.Normal(mean, log_std.clamp(-20, 2).exp())
    u = mean + normal.stddev * torch.randn_like(mean)
    log_prob = (normal.log_prob(u) - torch.log(1 - u.tanh() ** 2)).sum(-1, keepdim=True)
    smallest = torch.minimum(*(plain(critic, torch.cat([known, u.tanh()], -1)) for critic in critics))
    functional.mse_loss(plain(value, known), (smallest - weight * log_prob).detach()).backward()
    steps["value"].step()
    with torch.no_grad():
        for follower, leader in zip(target.parameters(), value.parameters(), strict=True):
            follower += options.tau * (leader - follower)
    steps["policy"].zero_grad()
    penalty = (mean**2).mean() + (log_std.clamp(-20, 2) ** 2).mean()
    ((weight * log_prob - smallest).mean() + options.output_penalty * penalty).backward()
    steps["policy"].step()
    with torch.no_grad():
        if learned:  # towards an entropy of -dim(A)
            alpha.parameter -= LR * torch.sigmoid(alpha.parameter) * (ACTIONS - log_prob.mean())
    networks = {"encoder": encoder, "policy": policy, "value": value, "target_value": target, "critics": critics}
    return networks | {"alpha": alpha}


@pytest.mark.parametrize("options", [{}, {"next_state_in_context": True}, {"reward_scale": 1.0, "initial_alpha": 0.4}])
def test_an_update_is_the_authors_also_where_the_weight_of_the_entropy_is_learned(options):
    module, data = made(**options).double(), batch().to(torch.float64)
    with torch.no_grad():
        for parameter in module.target_value.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    data["transitions", "next", "terminated"] = data["transitions", "next", "terminated"].bool()
    torch.manual_seed(5)
    expected = written_out(module, data)
    torch.manual_seed(5)
    descend(module, ("critic_optimizer", "actor_optimizer", *["alpha_optimizer"] * ("initial_alpha" in options)), LR)
    module.update(data)
    assert_close(module, expected)


def test_networks_are_as_large_as_said_and_views_hold_as_much():
    module = made(layers=3, width=7, encoder_layers=2, encoder_width=9, capacity=5)
    networks = (module.policy, *module.critics, module.value)
    assert [[linear.out_features for linear in (each.first, *each.hidden)] for each in networks] == [[7, 7, 7]] * 4
    factors = module.encoder.factors
    assert [linear.out_features for linear in (factors.first, *factors.hidden)] == [9, 9]
    assert module.views() == {"context": 5, "replay": 5}
    for each, bound in zip(networks, (1e-3, 3e-3, 3e-3, 3e-3), strict=True):
        assert 0.5 * bound < each.last.weight.abs().max() <= bound


def test_critics_may_learn_from_another_reward_than_the_context_shows():
    sparse, dense = made(), made(train_reward="dense")
    changed = batch()
    changed["transitions", "next", "reward"] += 1.0
    for module, data, same in ((sparse, changed, False), (dense, changed, True)):
        other = copy.deepcopy(module)
        other.build_optimizers()
        for each, given in ((module, batch()), (other, data)):
            torch.manual_seed(1)
            each.update(given)
        assert torch.equal(module.critics[0].last.bias, other.critics[0].last.bias) is same


def test_a_task_blind_policy_sees_no_embedding():
    module = made(task_blind=True)
    memory = TaskReplay(11, module.views())
    for given in ("prior", "context", "all"):
        assert not module.begin(given, torch.tensor([0, 1]), memory)["embedding"].any()
    data, other = batch(), batch()
    other["context_0", "observation"] += 1
    again = copy.deepcopy(module)
    again.build_optimizers()
    for each, given in ((module, data), (again, other)):
        torch.manual_seed(1)
        each.update(given)
    assert torch.equal(module.policy.last.weight, again.policy.last.weight)


def test_embeddings_come_from_the_prior_a_sampled_context_or_all_of_it():
    module = made(context_size=2)
    memory = TaskReplay(11, module.views())
    given = transitions(40)
    memory.extend(torch.arange(40) % 2, given, ("context",))
    tasks = torch.tensor([0, 1, 0])
    draws = torch.stack([module.begin("prior", tasks, memory)["embedding"] for _ in range(3000)])
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(draws.std(0), 1, atol=0.1)
    posterior = module.posterior(given[::2])
    draws = torch.stack([module.begin("all", tasks, memory)["embedding"][0] for _ in range(2000)])
    spread = posterior.log_std.exp().detach()
    np.testing.assert_allclose((draws.mean(0) - posterior.mean.detach()) / spread, 0, atol=0.15)
    np.testing.assert_allclose(draws.std(0) / spread, 1, atol=0.1)
    few = torch.stack([module.begin("context", tasks, memory)["embedding"][0] for _ in range(2000)])
    assert (few.std(0) > 2 * draws.std(0)).all()


def test_rounds_collect_and_learn_as_the_authors_do():
    module = made(
        tasks_per_round=3, initial_steps=50, prior_steps=20, posterior_steps=30, extra_steps=5, updates_per_round=7
    )
    first = module.plan()
    everywhere, *round_one = first
    assert everywhere == CollectEpisodes(tuple(range(8)), "prior", transitions=50, into=("context", "replay"))
    tasks = round_one[0].tasks
    assert len(set(tasks)) == 3
    assert round_one == [
        CollectEpisodes(tasks, "prior", transitions=20, into=("context", "replay"), clear=("context",)),
        CollectEpisodes(tasks, "prior", transitions=1, into=("context", "replay")),
        CollectEpisodes(tasks, "context", transitions=20, into=("context", "replay")),
        CollectEpisodes(tasks, "prior", transitions=1, into=("replay",)),
        UpdateTasks(7, (TASKS,), (CONTEXT,), BATCH),
    ]
    assert module.plan() == first  # it follows from the counters alone
    module.updates = 7
    assert [len(module.plan()), module.plan()[0].clear] == [5, ("context",)]
    chosen = []
    for rounds in range(40):
        module.updates = 7 * (rounds + 1)
        chosen += module.plan()[0].tasks
    assert set(chosen) == set(range(8))
    module.env_frames = module.options.frames
    assert module.plan() == []


def test_adaptation_explores_and_then_knows_all_that_was_before():
    stages = made(exploration_episodes=2, adapted_episodes=3).adaptation()
    assert [(stage.given, stage.episodes) for stage in stages] == [("prior", 2), ("all", 1), ("all", 1), ("all", 1)]
    for stage in stages:
        assert stage.tasks == (8, 9, 10)
        assert stage.into == ("context",)
        assert not stage.explore


@pytest.mark.parametrize("explore", [True, False])
def test_actions_are_samples_or_the_mode(explore):
    module = made()
    seen = TensorDict({"observation": torch.randn(3000, STATES)}, [3000])
    state = TensorDict({"embedding": torch.randn(3000, 2)}, [3000])
    u, same, _ = module.act(seen, state, explore)
    mean, log_std = plain(module.policy, torch.cat([seen["observation"], state["embedding"]], 1)).detach().chunk(2, 1)
    deviation = (u - mean) / log_std.exp()
    np.testing.assert_allclose(deviation.std(), float(explore), atol=0.05)
    assert same is state
