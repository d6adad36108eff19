"""What an online phase stores and counts, transition by transition, in worlds whose course is known in advance."""

import dataclasses

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from lightning_skills.data.batch_env import BatchEnv, EnvInfo
from lightning_skills.data.episodes import RECENT_EPISODES, Episodes
from lightning_skills.data.online import OnlineData
from lightning_skills.data.skill_env import SkillExecution
from lightning_skills.phases.base import Collect, PhaseContext, PhaseModule, Update

ENDS, HORIZON, SKILL = (2, 6, 100), 9, 4
LENGTHS = [min(end, HORIZON) for end in ENDS]
SOLVED_AT = (3, 5)
INFO = EnvInfo({"observation": (1,)}, action_dim=2, horizon=HORIZON)


class Diary(BatchEnv):
    """Observes 1000 * world + 100 * episode + step; the n-th step is rewarded with n; some worlds end by themselves."""

    def __init__(self):
        super().__init__(range(len(ENDS)))
        self.info = INFO
        self.count, self.episode = np.zeros((2, len(ENDS)))

    def _reset(self, worlds):
        self.episode[worlds] += self.count[worlds] > 0
        self.count[worlds] = 0

    def _step(self, action, worlds):
        self.count[worlds] += 1
        count = self.count[worlds]
        return count, count >= np.array(ENDS)[worlds], np.isin(count, SOLVED_AT)

    def _observe(self):
        seen = 1000 * np.arange(len(ENDS)) + 100 * self.episode + self.count
        return {"observation": seen[:, None].astype(np.float32)}

    def _get_state(self):
        return {"count": self.count.copy(), "episode": self.episode.copy()}

    def _set_state(self, state):
        self.count, self.episode = state["count"].copy(), state["episode"].copy()


class Noisy(Diary):
    """Begins anywhere."""

    def _reset(self, worlds):
        super()._reset(worlds)
        self.episode[worlds] = [self.rngs[world].random() for world in worlds]


class Witness(PhaseModule):
    """Acts with what it observes and how many skills it has chosen in this episode, and tells what it was asked."""

    def __init__(self, timeout_is_done=False, world_size=1):
        super().__init__(PhaseContext(None, INFO, worlds=len(ENDS), world_size=world_size))
        self.timeout_is_done = timeout_is_done

    plan = build_optimizers = update = artefact = progress = None

    def skill_execution(self):
        return SkillExecution(None, SKILL, action_dim=2, bound=None, timeout_is_done=self.timeout_is_done)

    def capacities(self):
        return {"replay": 1000, "elsewhere": 1000}

    def initial_state(self, worlds):
        return TensorDict({"skills": torch.zeros(worlds)}, batch_size=[worlds])

    def act(self, observation, state, explore, policy=0):
        seen, skills = observation["observation"].clone(), state["skills"].clone()
        told = {"seen": seen, "explore": torch.full_like(skills, explore), "policy": torch.full_like(skills, policy)}
        action = torch.cat([seen, skills[:, None]], dim=1)
        state = TensorDict({"skills": skills + 1}, batch_size=state.batch_size)
        return action, state, TensorDict(told, batch_size=observation.batch_size)

    def act_otherwise(self, observation, state, explore):
        return self.act(observation, state, explore, policy=1)

    def annotate(self, transitions):
        for part in (transitions, transitions["next"]):
            part["doubled"] = 2 * part["observation"]
        return transitions


@dataclasses.dataclass
class Skill:
    """The course of one skill: its episode, its number within it, and the steps before and after it."""

    episode: int
    number: int
    start: int
    end: int

    @property
    def reward(self):
        return sum(range(self.start + 1, self.end + 1))


def course(world, skills):
    """The first so many skills of a world."""
    starts = range(0, LENGTHS[world], SKILL)
    return [
        Skill(i // len(starts), i % len(starts), start, min(start + SKILL, LENGTHS[world]))
        for i in range(skills)
        for start in [starts[i % len(starts)]]
    ]


def stored(data, world=None, into="replay"):
    """What was stored, in order: of one world, or of all."""
    buffer = data.buffers[into]._storage.get(slice(None))
    return buffer if world is None else buffer[world :: len(ENDS)]


def column(transitions, *key):
    return transitions[key].flatten().tolist()


def collected(skills=12, ahead=False, **options):
    data = OnlineData(Witness(**options), Diary(), ahead)
    data.collect(Collect(skills * len(ENDS)))
    return data


@pytest.mark.parametrize("world", range(len(ENDS)))
def test_a_transition_runs_from_the_state_of_the_choice_to_the_last_one_of_the_skill(world):
    transitions, skills = stored(collected(), world), course(world, 12)
    before = [1000.0 * world + 100 * skill.episode + skill.start for skill in skills]
    after = [1000.0 * world + 100 * skill.episode + skill.end for skill in skills]
    assert column(transitions, "observation") == before
    assert column(transitions, "next", "observation") == after, "the end of an episode is not the start of the next"
    assert transitions["action"].tolist() == [[x, skill.number] for x, skill in zip(before, skills, strict=True)]
    assert column(transitions, "seen") == before
    assert column(transitions, "next", "reward") == [skill.reward for skill in skills]
    assert column(transitions, "next", "frames") == [skill.end - skill.start for skill in skills]


@pytest.mark.parametrize("timeout_is_done", [False, True])
def test_an_episode_that_ran_out_of_time_terminates_only_if_told_so(timeout_is_done):
    data = collected(timeout_is_done=timeout_is_done)
    for world in range(len(ENDS)):
        ended = ENDS[world] <= HORIZON or timeout_is_done
        expected = [ended and skill.end == LENGTHS[world] for skill in course(world, 12)]
        assert column(stored(data, world), "next", "terminated") == expected


def test_annotations_are_of_the_states_they_are_stored_with():
    transitions = stored(collected())
    for part in (transitions, transitions["next"]):
        assert torch.equal(part["doubled"], 2 * part["observation"])


def test_training_explores():
    assert column(stored(collected()), "explore") == [1.0] * 36


def test_the_acting_state_goes_on_within_an_episode_and_starts_afresh_with_each():
    data = collected(skills=6)
    numbers = [stored(data, world)["action"][:, 1].tolist() for world in range(len(ENDS))]
    assert numbers == [[0, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 1], [0, 1, 2, 0, 1, 2]]


def test_each_instruction_names_its_policy_and_its_buffer():
    data = OnlineData(Witness(), Diary())
    for collect in (Collect(3, "act_otherwise"), Collect(3), Collect(6, "act_otherwise", into="elsewhere")):
        data.collect(collect)
    assert column(stored(data), "policy") == [1.0] * 3 + [0.0] * 3
    assert column(stored(data, into="elsewhere"), "policy") == [1.0] * 6


@pytest.mark.parametrize(("asked", "given"), [(1, 3), (3, 3), (4, 6), (7, 9)])
def test_all_worlds_step_together_so_transitions_are_rounded_up(asked, given):
    data = OnlineData(Witness(), Diary())
    data.collect(Collect(asked))
    assert data.module.transitions == len(data.buffers["replay"]) == given


def test_primitive_steps_are_counted_not_skills():
    data = collected(skills=5)
    frames = sum(skill.end - skill.start for world in range(len(ENDS)) for skill in course(world, 5))
    assert data.module.env_frames == frames
    assert data.module.transitions == 15


def test_ranks_share_the_transitions_and_the_batches_and_count_those_of_all(monkeypatch):
    monkeypatch.setattr("lightning_skills.data.collected.total", lambda totals: totals.mul_(2))
    data = OnlineData(Witness(world_size=2), Diary())
    data.collect(Collect(7))
    assert len(data.buffers["replay"]) == 6
    assert data.module.transitions == 12
    assert data.module.env_frames == 2 * stored(data)["next", "frames"].sum().item()
    assert len(data.sample(Update(1, batch_size=8))) == 4


def test_a_batch_comes_from_the_buffer_that_is_asked():
    data = OnlineData(Witness(), Diary())
    data.collect(Collect(3))
    data.collect(Collect(3, "act_otherwise", into="elsewhere"))
    assert column(data.sample(Update(1, batch_size=5)), "policy") == [0.0] * 5
    assert column(data.sample(Update(1, batch_size=5, source="elsewhere")), "policy") == [1.0] * 5
    with pytest.raises(NotImplementedError, match="windows"):
        data.sample(Update(1, batch_size=5, window=2))


def test_what_is_stored_stays_whatever_happens_to_what_it_was_made_of():
    data = collected(skills=5)
    before = stored(data).clone()
    batch = data.sample(Update(1, batch_size=64))
    for tensors in (batch, data.acting.collector._carrier, data.acting.actor.state):
        tensors.apply_(torch.zero_)
    for array in (data.acting.env.worlds.count, data.acting.env._observation["observation"]):
        array[:] = -1
    after = stored(data)
    for key in before.keys(include_nested=True, leaves_only=True):
        assert torch.equal(before[key], after[key]), key


def test_the_metrics_are_means_over_finished_episodes():
    skills, finished = 5, []
    data = collected(skills=skills)
    for length in LENGTHS:
        episodes = skills // len(range(0, length, SKILL))
        finished += [(sum(range(1, length + 1)), any(step <= length for step in SOLVED_AT), length)] * episodes
    assert len(finished) == 5 + 2 + 1
    returns, success, frames = np.mean(finished, axis=0)
    assert data.episodes.metrics() == pytest.approx(
        {"train/return": returns, "train/success": success, "train/episode_frames": frames}
    )


def add(episodes, reward, success, frames, done):
    episodes.add(np.array(reward), np.array(success), np.array(frames), np.array(done))
    return episodes.metrics()


def test_an_episode_is_solved_if_any_of_its_skills_solves_it_and_the_next_starts_from_nothing():
    episodes = Episodes(2)
    assert add(episodes, [1.0, 5.0], [True, False], [4, 4], [False, False]) == {}
    add(episodes, [2.0, 5.0], [True, False], [4, 4], [False, False])
    metrics = add(episodes, [4.0, 5.0], [False, False], [1, 4], [True, False])
    assert metrics == {"train/return": 7.0, "train/success": 1.0, "train/episode_frames": 9.0}
    metrics = add(episodes, [9.0, 5.0], [False, False], [2, 4], [True, False])
    assert metrics == {"train/return": 8.0, "train/success": 0.5, "train/episode_frames": 5.5}


def test_the_metrics_forget_old_episodes():
    episodes = Episodes(1)
    for reward in range(RECENT_EPISODES + 50):
        metrics = add(episodes, [float(reward)], [reward < 50], [1], [True])
    assert metrics["train/return"] == np.mean(range(50, RECENT_EPISODES + 50))
    assert metrics["train/success"] == 0.0


def test_worlds_that_step_ahead_take_the_same_course():
    whole, ahead = (stored(collected(ahead=ahead)).flatten_keys() for ahead in (False, True))
    assert whole.keys() == ahead.keys()
    assert all(torch.equal(whole[key], ahead[key]) for key in whole.keys())  # noqa: SIM118 (it iterates over rows)


def test_an_action_is_chosen_when_the_step_before_it_is_handed_out():
    data = OnlineData(Witness(), Diary(), ahead=True)
    for policy in ("act", "act_otherwise", "act_otherwise", "act"):
        data.collect(Collect(3, policy))
    assert column(stored(data), "policy") == [0.0] * 6 + [1.0] * 6


def test_only_what_was_handed_out_is_counted():
    data = collected(skills=5, ahead=True)
    assert data.module.transitions == 15
    assert data.module.env_frames == stored(data)["next", "frames"].sum().item()


def test_an_error_in_the_background_ends_the_run():
    class Stuck(Diary):
        def _step(self, action, worlds):
            if (self.count >= SKILL).any():
                raise RuntimeError("a wall")
            return super()._step(action, worlds)

    data = OnlineData(Witness(), Stuck(), ahead=True)
    data.collect(Collect(3))
    with pytest.raises(RuntimeError, match="a wall"):
        data.collect(Collect(3))
    data.teardown("fit")


def test_a_policy_that_fails_ahead_does_not_hang():
    data = OnlineData(Witness(), Diary(), ahead=True)
    data.collect(Collect(3))
    data.collect(Collect(3, "there_is_no_such_policy"))
    with pytest.raises(AttributeError, match="there_is_no_such_policy"):
        data.collect(Collect(3))


def test_what_other_ranks_did_not_write_down_is_taken_over_and_worlds_are_new(tmp_path):
    data = OnlineData(Witness(), Noisy())
    data.collect(Collect(12 * len(ENDS)))
    states = []
    for rank in range(2):
        (tmp_path / str(rank)).mkdir()
        states.append(data.save(tmp_path / str(rank), None)[0])
    ended, starts = data.episodes.ended(), []
    assert ended
    for rank, seed in ((0, 5), (1, 5), (0, 6)):
        other = OnlineData(Witness(), Noisy())
        other.deal([tmp_path / "0", tmp_path / "1"], states, rank, np.random.SeedSequence([rank, seed]))
        assert other.episodes.ended() == ([] if rank else sorted(ended * 2))
        other.collect(Collect(len(ENDS)))
        starts.append(column(stored(other)[-len(ENDS) :], "observation"))
    again = OnlineData(Witness(), Noisy())
    again.collect(Collect(len(ENDS)))
    first = column(stored(again), "observation")
    assert len({tuple(each) for each in (*starts, first)}) == 4
