"""MTRL's experts and their distillation against the formulas, what acts where, and what it hands on."""

import copy

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from torch.nn import functional

from lightning_skills.nets.corrected_prior import corrected
from lightning_skills.nets.gaussian import Gaussian
from lightning_skills.phases.base import CollectEpisodes, PhaseContext, Update, UpdateTasks
from lightning_skills.phases.options import SpirlTargetTaskOptions
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from methods.mtrl import METHOD
from methods.mtrl.adapt import MtrlAdaptModule
from methods.mtrl.config import MtrlOptions
from methods.mtrl.losses import distillation_loss
from methods.mtrl.module import MtrlModule
from tests.methods.test_simpl import INFO, LR, SKILL, SKILLS, STATES, transitions
from tests.methods.test_simpl_adapt import ONE_TASK
from tests.methods.written_out import descend, plain
from tests.nets.test_mlp_stack import member

TASKS, BATCH = 6, 5
OPTIMIZERS = ("critic_optimizer", "actor_optimizer", "alpha_optimizer", "shared_optimizer")


def made(**options):
    torch.manual_seed(0)
    skills = SkillPretrainModule(PhaseContext(SKILLS, INFO)).artefact()
    chosen = MtrlOptions(**{"layers": 2, "width": 8, "batch_size": BATCH, **options})
    module = MtrlModule(PhaseContext(chosen, INFO, {"skills": skills})).train()
    module.build_optimizers()
    return module


def adapted(before, **options):
    artefacts = {"skills": before.context.artefacts["skills"], "meta": before.artefact()}
    module = MtrlAdaptModule(PhaseContext(SpirlTargetTaskOptions(**options), ONE_TASK, artefacts)).train()
    module.build_optimizers()
    return module


def batch(module, *tasks):
    learned = module.annotate(transitions(len(tasks) * BATCH)).reshape(len(tasks), BATCH)
    return TensorDict({"task": torch.tensor(tasks), "transitions": learned})


def everyone(module):
    return batch(module, *range(TASKS))


def policy_at(network, part):
    shift, spread = network(part["observation"]).chunk(2, -1)
    prior = torch.distributions.Normal(part["prior_mean"], part["prior_log_std"].exp())
    std = 1e-3 + functional.softplus(torch.log(torch.expm1(prior.stddev)) + spread)
    normal = torch.distributions.Normal(prior.mean + shift, std)
    return normal, torch.distributions.kl_divergence(normal, prior).sum(-1)


def step(network, loss):
    """One of gradient descent; losses are means over tasks."""
    for parameter, gradient in zip(
        network.parameters(), torch.autograd.grad(loss / TASKS, [*network.parameters()]), strict=True
    ):
        parameter.data -= LR * gradient


def written_out(module, data):
    """One update, expert by expert, in torch's own terms; what each has become, and the shared policy."""
    options, after = module.options, []
    draws = torch.randn(2, BATCH, TASKS, SKILL, dtype=torch.float64)
    shared, distillation = copy.deepcopy(module.policy), 0
    for task in range(TASKS):
        now = data["transitions"][task]
        following = now["next"]
        expert, *critics = (member(stack, task) for stack in (module.experts, *module.critics))
        targets = [member(stack, task) for stack in module.target_critics]
        raw = module.alpha.parameter[task].detach().clone().requires_grad_()
        alpha = functional.softplus(raw)
        normal, divergence = policy_at(expert, now)
        beyond, next_divergence = policy_at(expert, following)
        arriving = torch.cat([following["observation"], beyond.mean + beyond.stddev * draws[1, :, task]], -1)
        future = torch.minimum(*(target(arriving).squeeze(-1) for target in targets))
        future = future - alpha * next_divergence.clamp(max=options.divergence_clip)
        ended = following["terminated"].squeeze(-1)
        goal = (following["reward"].squeeze(-1) + options.discount * torch.where(ended, 0.0, future)).detach()
        for critic, target in zip(critics, targets, strict=True):
            value = critic(torch.cat([now["observation"], now["action"]], -1)).squeeze(-1)
            step(critic, 0.5 * functional.mse_loss(value, goal))
            for follower, leader in zip(target.parameters(), critic.parameters(), strict=True):
                follower.data += options.tau * (leader.data - follower.data)
        taken = torch.cat([now["observation"], normal.mean + normal.stddev * draws[0, :, task]], -1)
        smallest = torch.minimum(*(critic(taken).squeeze(-1) for critic in critics))
        step(expert, (alpha.detach() * divergence - smallest).mean())
        (alpha * (options.target_divergence - divergence.detach().mean())).backward()
        after.append((expert, critics, targets, raw.detach() - LR * raw.grad / TASKS))
        experts = policy_at(expert, now)[0]
        imitation = policy_at(lambda x: plain(shared, x), now)[0]
        fixed = torch.distributions.Normal(experts.mean.detach(), experts.stddev.detach())
        distillation = distillation + torch.distributions.kl_divergence(fixed, imitation).sum(-1).mean()
    step(shared, distillation)
    return after, shared


def assert_same(stack, task, network):
    for ours, theirs in zip(member(stack, task).parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.fixture
def doubles():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_an_update_is_spirls_in_every_task_and_a_distillation(doubles):
    module = made(divergence_clip=0.05, tau=0.1)
    with torch.no_grad():
        module.alpha.parameter += torch.arange(TASKS)
        for parameter in module.target_critics.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    data = everyone(module)
    torch.manual_seed(5)
    after, shared = written_out(module, data)
    torch.manual_seed(5)
    descend(module, OPTIMIZERS, LR)
    module.update(data)
    for task, (expert, critics, targets, raw) in enumerate(after):
        assert_same(module.experts, task, expert)
        for stacks, networks in ((module.critics, critics), (module.target_critics, targets)):
            for stack, network in zip(stacks, networks, strict=True):
                assert_same(stack, task, network)
        torch.testing.assert_close(module.alpha.parameter[task], raw)
    for ours, theirs in zip(module.policy.parameters(), shared.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_the_shared_policy_becomes_the_mixture_of_opposed_experts():
    """The Gaussian nearest to two in this KL has the mean of their means, and covers both."""
    experts = Gaussian(torch.tensor([[3.0], [-1.0]]), torch.zeros(2, 1))
    mean, log_std = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([mean, log_std], lr=0.05)
    for _ in range(500):
        optimizer.zero_grad()
        distillation_loss(experts, Gaussian(mean, log_std))[0].backward()
        optimizer.step()
    assert mean.item() == pytest.approx(1.0, abs=1e-3)
    assert log_std.exp().item() == pytest.approx((1 + 2**2) ** 0.5, abs=1e-3)


def test_experts_get_no_gradient_from_distillation():
    experts = Gaussian(torch.randn(4, 2, requires_grad=True), torch.randn(4, 2, requires_grad=True))
    loss, _ = distillation_loss(experts, Gaussian(torch.zeros(4, 2, requires_grad=True), torch.zeros(4, 2)))
    loss.backward()
    assert experts.mean.grad is experts.log_std.grad is None


def test_an_expert_learns_from_its_own_task_alone():
    module = made()
    before = copy.deepcopy(module.experts), copy.deepcopy(module.critics)
    descend(module, OPTIMIZERS, LR)
    module.update(batch(module, 1, 4))
    for old, new in ((before[0], module.experts), *zip(before[1], module.critics, strict=True)):
        moved = [not torch.equal(old.weights[-1][task], new.weights[-1][task]) for task in range(TASKS)]
        assert moved == [False, True, False, False, True, False]


def test_experts_act_in_their_tasks_and_the_shared_policy_everywhere():
    module = made()
    tasks = torch.tensor([4, 0, 4])
    state = module.begin("task", tasks, None)
    seen = TensorDict({"observation": torch.randn(3, STATES)}, [3])
    prior = Gaussian.from_output(module.skills.prior_net(seen["observation"]))
    skills, same, _ = module.act_expert(seen, state, False)
    assert same is state
    for world, task in enumerate(tasks):
        own = Gaussian(prior.mean[world], prior.log_std[world])
        expected = corrected(own, member(module.experts, task)(seen["observation"][world])).mean
        torch.testing.assert_close(skills[world], expected)
    shared = corrected(prior, plain(module.policy, seen["observation"])).mean
    for given in (state, module.initial_state(3)):
        torch.testing.assert_close(module.act(seen, given, False)[0], shared)


def test_rounds_are_an_episode_of_each_task_and_updates_follow_once_there_is_a_batch():
    module = made(reuse=10.0, frames=100)
    episodes = CollectEpisodes(tuple(range(TASKS)), "task", policy="act_expert", into=("replay",))
    module.transitions, module.env_frames = TASKS * BATCH - 1, 80
    assert module.plan() == [episodes]
    module.transitions += TASKS
    module.collected(episodes, TASKS, None)
    assert module.plan() == [UpdateTasks(2, (), (), BATCH)]  # for the last round alone, not for those before it
    module.training_step(everyone(module), 0)
    assert module.plan() == [episodes]
    module.transitions += 7
    module.collected(episodes, 7, None)
    assert module.plan() == [UpdateTasks(2, (), (), BATCH)]
    module.digested, module.env_frames = module.transitions, TASKS * 100 - 1
    assert module.plan() == [episodes]
    module.env_frames += 1
    assert module.plan() == []


def test_it_is_judged_in_other_tasks_by_the_shared_policy():
    assert made().adaptation() == [CollectEpisodes((6, 7), "task", 20)]


def test_a_target_task_begins_with_the_shared_policy_and_nothing_else():
    before = made()
    before.update(everyone(before))
    module = adapted(before, initial_alpha=0.3, batch_size=BATCH)
    for ours, theirs in zip(module.policy.parameters(), before.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    for critic, target in zip(module.critics, module.target_critics, strict=True):
        assert torch.equal(critic.last.weight, target.last.weight)
    assert module.alpha().item() == pytest.approx(0.3)
    assert module.plan() == [CollectEpisodes((0,), "all", 1, into=("replay",))]
    module.env_frames = module.transitions = BATCH
    module.latest.fill_(BATCH)
    assert module.plan() == [Update(256, BATCH)]


@pytest.mark.parametrize(("wanted", "direction"), [(1e-6, 1), (100.0, -1)])
def test_alpha_follows_the_divergence_both_ways(wanted, direction):
    module = adapted(made(), target_divergence=wanted, alpha_lr=1e-2)
    data, alphas = module.annotate(transitions(9)), [module.alpha().item()]
    for _ in range(3):
        module.update(data)
        alphas.append(module.alpha().item())
    assert (direction * np.diff(alphas) > 0).all()
    assert module.alpha.parameter.grad is not None
    assert module.alpha_optimizer.param_groups[0]["lr"] == 1e-2


def test_experts_of_the_kitchen_make_an_update_for_each_skill_of_an_episode_from_the_first_on():
    module = made(batch_size=256)
    module.transitions, module.env_frames = 10 * 28 * TASKS, 1
    module.collected(CollectEpisodes(tuple(range(TASKS)), "task"), 28 * TASKS, None)
    assert [instruction.updates for instruction in module.plan()] == [28]


def test_the_published_values_of_spirl():
    """Spec of SiMPL, section 4: its SPiRL baseline."""
    maze = {"initial_alpha": 0.05, "target_divergence": 1.0, "alpha_lr": 3e-4, "frames": 500 * 2000}
    kitchen = {"initial_alpha": 1.0, "target_divergence": 5.0, "alpha_lr": 3e-3, "frames": 1000 * 280}
    for env, own, sizes in (("maze", maze, (3, 256)), ("kitchen", kitchen, (5, 128))):
        for phase, kind in (("meta", MtrlOptions), ("adapt", SpirlTargetTaskOptions)):
            preset = METHOD.preset(env, "any")
            over = {key.partition(".")[2]: value for key, value in preset.items() if key.startswith(f"{phase}.")}
            options = kind(**over)
            assert {key: getattr(options, key) for key in own} == own
            assert options.divergence_clip == 10
            if phase == "meta":
                assert (options.layers, options.width) == sizes
