"""SiMPL on a target task: what it infers the task from, what it learns from, and its updates against the formulas."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from lightning_skills.artefacts import Artefact
from lightning_skills.data.batch_env import BatchEnv, EnvInfo
from lightning_skills.data.tasks import TaskData
from lightning_skills.errors import InputError
from lightning_skills.evaluation.protocol import final
from lightning_skills.phases import target_task
from lightning_skills.phases.base import CollectEpisodes, PhaseContext, Update
from lightning_skills.phases.skill_agent import propose
from methods.simpl import METHOD
from methods.simpl.adapt import SimplAdaptModule
from methods.simpl.config import SimplAdaptOptions
from tests.methods import test_simpl as meta

ONE_TASK = EnvInfo({"observation": (meta.STATES,)}, meta.ACTIONS, 50)
LENGTHS = (35, 50, 12)
"""Primitive steps of an episode after another: 4, 5 and 2 skills."""
SKILLS = (4, 5, 2)
BATCH = 6


def trained():
    """A meta-trained policy, some of whose multipliers have grown."""
    module = meta.made(embedding_dim=2)
    for _ in range(3):
        module.update(meta.batch(module))
    return module


def made(before=None, worlds=1, world_size=1, **options):
    before = before or trained()
    artefacts = {"skills": before.context.artefacts["skills"], "meta": before.artefact()}
    chosen = SimplAdaptOptions(**{"batch_size": BATCH, "reuse": 6.0, "conditioning_episodes": 3, **options})
    context = PhaseContext(chosen, ONE_TASK, artefacts, worlds=worlds, world_size=world_size)
    module = SimplAdaptModule(context).train()
    module.build_optimizers()
    return module


class Walk(BatchEnv):
    """Wanders about; episodes end after so many steps, in turn."""

    def __init__(self, worlds=1):
        super().__init__(range(worlds))
        self.info, self.episode = ONE_TASK, np.full(worlds, -1)
        self.place = np.zeros((worlds, meta.STATES))

    def _reset(self, worlds):
        self.episode[worlds] += 1
        for world in worlds:
            self.place[world] = self.rngs[world].normal(size=meta.STATES)

    def _step(self, action, worlds):
        self.place[worlds, : meta.ACTIONS] += action
        ended = self.elapsed[worlds] >= np.array(LENGTHS)[self.episode[worlds] % 3]
        return self.place[worlds, 0], ended, ended

    def _observe(self):
        return {"observation": self.place.astype(np.float32)}

    def _get_state(self):
        return {"place": self.place.copy(), "episode": self.episode.copy()}

    def _set_state(self, state):
        self.place, self.episode = state["place"].copy(), state["episode"].copy()


def test_it_goes_on_from_meta_training():
    before = trained()
    module = made(before)
    for name in ("encoder", "policy", "critics"):
        for key, tensor in getattr(before, name).state_dict().items():
            assert torch.equal(getattr(module, name).state_dict()[key], tensor)
    for ours, theirs in zip(module.target_critics.parameters(), before.critics.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(before.critics[0].last.weight, before.target_critics[0].last.weight)
    assert module.alpha().item() == before.large_alpha().item() != before.options.large_alpha
    assert not any(optimizer.state for optimizer in module.build_optimizers())
    assert not any(parameter.requires_grad for parameter in module.encoder.parameters())


def test_only_the_first_episodes_say_what_the_task_is_and_nothing_is_learned_from_them():
    module = made()
    torch.manual_seed(1)
    data = TaskData(module, Walk())
    first, second = module.plan()
    data.collect(first)
    context = data.memory.all(0, "context")
    assert len(context) == sum(SKILLS)
    assert len(data.memory.all(0, "replay")) == 0
    assert (module.transitions, module.env_frames) == (0, sum(LENGTHS))
    mean = module.posterior(context[None]).mean[0].detach()
    assert torch.equal(module.embedding, mean)
    assert mean.abs().min() > 0
    data.collect(second)
    for _ in range(3):
        module.training_step(module.annotate(data.sample(Update(1, BATCH))), 0)
        (episode,) = module.plan()
        data.collect(episode)
    assert torch.equal(module.embedding, mean)
    learned = data.memory.all(0, "replay")
    assert len(learned) == module.transitions == sum(SKILLS) + SKILLS[0]
    kept = {tuple(row) for row in learned["observation"].tolist()}
    assert not kept & {tuple(row) for row in context["observation"].tolist()}


def test_every_first_episode_has_another_embedding_and_later_ones_have_the_tasks():
    module = made(conditioning_episodes=200)
    memory = TaskData(module, Walk()).memory
    module.embedding.copy_(torch.tensor([0.3, -2.0]))
    drawn = module.begin("prior", torch.zeros(900, dtype=torch.int64), memory)["embedding"]
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.15)
    np.testing.assert_allclose(drawn.std(0), 1, atol=0.15)
    for state in (module.begin("all", torch.zeros(3, dtype=torch.int64), memory), module.initial_state(3)):
        np.testing.assert_allclose(state["embedding"], [[0.3, -2.0]] * 3)


def test_an_episode_keeps_the_embedding_that_it_began_with(monkeypatch):
    module = made()
    act, explored = module.act, []

    def watched(observation, state, explore):
        explored.append(explore)
        action, state, extras = act(observation, state, explore)
        return action, state, extras.set("known", state["embedding"])

    monkeypatch.setattr(module, "act", watched)
    data = TaskData(module, Walk())
    for collect in module.plan():
        data.collect(collect)
    assert all(explored)
    embeddings, lengths = data.memory.all(0, "context")["known"].unique_consecutive(dim=0, return_counts=True)
    assert lengths.tolist() == [*SKILLS]
    assert len(embeddings.unique(dim=0)) == 3
    assert (data.memory.all(0, "replay")["known"] == module.embedding).all()


def test_ranks_share_the_first_episodes_and_take_the_mean_of_what_they_infer(monkeypatch):
    other, module = torch.tensor([4.0, -6.0]), made(world_size=2, conditioning_episodes=3)
    monkeypatch.setattr(target_task, "averages", lambda tensors, size: [(tensors[0] + other) / size])
    data = TaskData(module, Walk(), rank=1)
    first, second = module.plan()
    data.collect(first)
    context = data.memory.all(0, "context")
    assert len(context) == sum(SKILLS[:2])  # two of three, rounded up
    expected = (module.posterior(context[None]).mean[0].detach() + other) / 2
    torch.testing.assert_close(module.embedding, expected)
    assert second.episodes == 2
    data.collect(second)
    assert len(data.memory.all(0, "replay")) == SKILLS[2]
    assert len(data.sample(Update(1, BATCH))) == BATCH // 2


def test_an_episode_is_followed_by_as_many_updates_as_it_has_transitions():
    """Kitchen: 28 skills an episode, no update before the tenth."""
    module = made(batch_size=256, reuse=256.0)
    first, episode = module.plan()
    assert first == CollectEpisodes((0,), "prior", 3, into=("context",), counted=False)
    assert episode == CollectEpisodes((0,), "all", 1, into=("replay",))
    module.env_frames = 3 * 280
    for number in range(1, 13):
        module.env_frames, module.transitions = module.env_frames + 280, module.transitions + 28
        module.collected(episode, 28, None)
        if number < 10:
            assert module.plan() == [episode]
            continue
        assert module.plan() == [Update(28, 256)]
        module.digested, module.updates = module.transitions, module.updates + 28
        assert module.plan() == [episode]
    module.env_frames = module.options.frames
    assert module.plan() == []
    module.transitions += 28  # what was collected last is learned from all the same
    assert module.plan() == [Update(28, 256)]


def test_a_round_has_an_episode_in_every_world():
    assert made(worlds=3, world_size=2).plan()[1].episodes == 6


def written_out(module, data):
    """One update in torch's own terms, in the order of the authors' code."""
    options, after, e = module.options, data["next"], module.embedding.expand(len(data), -1)
    names = ("policy", "critics", "target_critics", "alpha")
    policy, critics, targets, alpha = (copy.deepcopy(getattr(module, name)) for name in names)
    descent = {name: torch.optim.SGD(each.parameters(), lr=0.1) for name, each in {"c": critics, "p": policy}.items()}

    def policy_at(part):
        shift, spread = meta.plain(policy, torch.cat([part["observation"], e], -1)).chunk(2, -1)
        prior = torch.distributions.Normal(part["prior_mean"], part["prior_log_std"].exp())
        std = 1e-3 + functional.softplus(torch.log(torch.expm1(prior.stddev)) + spread)
        normal = torch.distributions.Normal(prior.mean + shift, std)
        return normal, torch.distributions.kl_divergence(normal, prior).sum(-1)

    draws = torch.randn(2 * len(data), meta.SKILL, dtype=torch.float64).chunk(2)
    normal, divergence = policy_at(data)
    following, next_divergence = policy_at(after)
    next_skill = following.mean + following.stddev * draws[1]
    weight = functional.softplus(alpha.parameter).detach()
    q = torch.cat([meta.plain(each, torch.cat([after["observation"], e, next_skill], -1)) for each in targets], -1)
    future = q.min(-1).values - weight * torch.minimum(next_divergence, torch.tensor(options.divergence_clip).double())
    target = after["reward"].squeeze(-1) + options.discount * (~after["terminated"].squeeze(-1)).double() * future
    values = [meta.plain(each, torch.cat([data["observation"], e, data["action"]], -1)).squeeze(-1) for each in critics]
    sum(0.5 * functional.mse_loss(value, target.detach()) for value in values).backward()
    descent["c"].step()
    descent["p"].zero_grad()
    known = torch.cat([data["observation"], e, normal.mean + normal.stddev * draws[0]], -1)
    smallest = torch.minimum(*(meta.plain(each, known).squeeze(-1) for each in critics))
    (weight * divergence - smallest).mean().backward()
    descent["p"].step()
    gradient = torch.sigmoid(alpha.parameter.detach()) * (options.target_divergence - divergence.mean().detach())
    with torch.no_grad():
        alpha.parameter -= 0.1 * gradient
        for follower, leader in zip(targets.parameters(), critics.parameters(), strict=True):
            follower += options.tau * (leader - follower)
    return dict(zip(names, (policy, critics, targets, alpha), strict=True))


def test_an_update_is_the_authors():
    module = made(tau=0.1)
    with torch.no_grad():
        for parameter in [*module.policy.parameters(), *module.target_critics.parameters()]:
            parameter += 0.2 * torch.randn_like(parameter)
    module.embedding.copy_(torch.tensor([0.7, -1.2]))
    data = module.annotate(meta.transitions(9)).double()
    data["next", "terminated"] = data["next", "terminated"].bool()
    module = module.double()
    divergence = propose(module.policy, data, module.embedding.expand(9, -1))[3]
    module.options = dataclasses.replace(module.options, divergence_clip=divergence.median().item())
    torch.manual_seed(5)
    expected = written_out(module, data)
    torch.manual_seed(5)
    for name in ("critic_optimizer", "actor_optimizer", "alpha_optimizer"):
        setattr(module, name, torch.optim.SGD(getattr(module, name).param_groups[0]["params"], lr=0.1))
    module.update(data)
    for name, network in expected.items():
        found = dict(getattr(module, name).named_parameters())
        for key, parameter in network.named_parameters():
            torch.testing.assert_close(found[key], parameter, rtol=1e-6, atol=1e-9, msg=f"{name}.{key}")


@pytest.mark.parametrize(("wanted", "grows"), [(1e-6, True), (100.0, False)])
def test_alpha_grows_while_too_much_diverges_and_never_shrinks(wanted, grows):
    module = made(target_divergence=wanted)
    alphas = [module.alpha().item()]
    for _ in range(5):
        module.update(module.annotate(meta.transitions(9)))
        alphas.append(module.alpha().item())
    assert (np.diff(alphas) > 0).all() if grows else len(set(alphas)) == 1


def test_it_is_judged_by_episodes_with_the_tasks_embedding(monkeypatch):
    module, seen = made(), []
    module.embedding.copy_(torch.tensor([0.7, -1.2]))
    act = module.act
    monkeypatch.setattr(module, "act", lambda *given: seen.append(given[1]["embedding"]) or act(*given))
    from lightning_skills.run_options import EvaluationOptions

    result = final(module, lambda seeds: Walk(len(seeds)), EvaluationOptions(episodes=4))
    assert result.frames.tolist() == [LENGTHS[0]] * 4
    np.testing.assert_allclose(torch.cat(seen), [[0.7, -1.2]] * len(torch.cat(seen)), rtol=1e-6)


def test_what_it_hands_on_acts_alike():
    module, again = made(), made()
    module.embedding.copy_(torch.tensor([0.7, -1.2]))
    module.update(module.annotate(meta.transitions(9)))
    again.load_artefact(module.artefact())
    assert torch.equal(again.initial_state(2)["embedding"], module.initial_state(2)["embedding"])
    for ours, theirs in zip(again.policy.parameters(), module.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_networks_for_other_states_or_of_another_version_are_refused():
    before = trained()
    handed_on = before.artefact()
    other = Artefact("simpl", {**handed_on.settings, "encoder_width": 4}, handed_on.tensors)
    before.artefact = lambda: other
    with pytest.raises(InputError, match="the encoder of 'simpl' was meta-trained on other states or skills"):
        made(before)
    old = Artefact("simpl", {"embedding_dim": 2}, handed_on.tensors)
    before.artefact = lambda: old
    with pytest.raises(InputError, match=r"'simpl' is damaged .*another version wrote it"):
        made(before)


def test_the_published_values():
    """The authors' scripts; the paper shows 500 episodes of up to 2000 frames, in the kitchen 200 of 280."""
    common = {"lr": 3e-4, "discount": 0.99, "tau": 5e-3, "batch_size": 256, "reuse": 256.0, "capacity": 20_000}
    for env, own in (
        ("maze", {"target_divergence": 1.0, "divergence_clip": 5.0, "frames": 500 * 2000}),
        ("kitchen", {"target_divergence": 5.0, "divergence_clip": 20.0, "frames": 1000 * 280}),
    ):
        preset = METHOD.preset(env, "any")
        over = {key.partition(".")[2]: value for key, value in preset.items() if key.startswith("adapt.")}
        options = SimplAdaptOptions(**over)
        assert {key: getattr(options, key) for key in {**common, **own}} == {**common, **own}
        assert options.conditioning_episodes == 20
