"""Whole episodes of several tasks: who runs them, what is stored of them, and what batches hold."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tensordict import TensorDict

from lightning_skills import summaries
from lightning_skills.data.batch_env import BatchEnv, EnvInfo, TaskDistribution
from lightning_skills.data.skill_env import SkillExecution
from lightning_skills.data.tasks import TaskData
from lightning_skills.errors import InputError
from lightning_skills.evaluation.adaptation import adapt
from lightning_skills.phases.base import CollectEpisodes, PhaseContext, UpdateTasks
from lightning_skills.phases.meta_train import MetaTrainModule

LENGTHS = (3, 8, 5, 9, 4)
"""Primitive steps of an episode of each task; the last two are to test on."""
TASKS = TaskDistribution(("a", "b", "c"), ("d", "e"))
SKILL = 4
INFO = EnvInfo({"observation": (2,)}, action_dim=2, horizon=50, tasks=TASKS)


class Tasks(BatchEnv):
    """Observes its task and how many steps it has done; every step of task t is rewarded with t + 1."""

    def __init__(self, worlds):
        super().__init__(range(worlds))
        self.info = INFO
        self.count = np.zeros(worlds)

    def _reset(self, worlds):
        self.count[worlds] = 0

    def _step(self, action, worlds):
        self.count[worlds] += 1
        task = self.task_index[worlds]
        ended = self.count[worlds] >= np.array(LENGTHS)[task]
        return task + 1.0, ended, ended & (task == 4)

    def _observe(self):
        return {"observation": np.stack([self.task_index, self.count], axis=1).astype(np.float32)}

    def _get_state(self):
        return {"count": self.count.copy()}

    def _set_state(self, state):
        self.count = state["count"].copy()


class Witness(MetaTrainModule):
    """Acts with the number that its episode began with, and with how much it could look into then."""

    def __init__(self, world_size=1):
        super().__init__(PhaseContext(None, INFO, world_size=world_size))
        self.begun, self.annotated = [], 0

    plan = build_optimizers = update = artefact = progress = None

    def skill_execution(self):
        return SkillExecution(None, SKILL, action_dim=2, bound=None)

    def views(self):
        return {"context": 100, "replay": 100}

    def initial_state(self, worlds):
        return TensorDict({"begun": torch.zeros(worlds, 2)}, batch_size=[worlds])

    def begin(self, given, tasks, memory):
        number = len(self.begun) + 1 + torch.arange(len(tasks))
        self.begun += [(given, task) for task in tasks.tolist()]
        looked = memory.views["context"].sizes[tasks]
        return TensorDict({"begun": torch.stack([number, looked], dim=1).float()}, batch_size=[len(tasks)])

    def annotate(self, transitions):
        self.annotated += len(transitions)
        return transitions

    def act(self, observation, state, explore):
        return state["begun"], state, TensorDict({}, batch_size=observation.batch_size)

    def embedding_of(self, state):
        return state["begun"]

    def adaptation(self):
        return [
            CollectEpisodes((3, 4), "nothing", episodes=3, into=("context",)),
            CollectEpisodes((3, 4), "context", episodes=2),
        ]


def made(worlds, rank=0, **options):
    return TaskData(Witness(**options), Tasks(worlds), rank)


def skills(task):
    return -(-LENGTHS[task] // SKILL)


def kept(data, task, view="replay"):
    return data.memory.all(task, view)


@pytest.mark.parametrize("worlds", [1, 2, 3, 7])
def test_every_task_runs_its_episodes_whole(worlds):
    data = made(worlds)
    data.collect(CollectEpisodes((0, 1, 2), "nothing", episodes=4, into=("replay",)))
    for task in range(3):
        stored = kept(data, task)
        assert len(stored) == 4 * skills(task)
        assert (stored["observation"][:, 0] == task).all()
        assert stored["next", "frames"].sum() == 4 * LENGTHS[task]
        assert stored["next", "reward"].sum() == 4 * LENGTHS[task] * (task + 1)
        assert stored["next", "terminated"].sum() == 4
    assert data.module.env_frames == 4 * sum(LENGTHS[:3])
    assert data.module.transitions == 4 * sum(map(skills, range(3)))
    returns = sorted(row[0] for row in data.episodes.recent)
    assert returns == sorted(4 * [float(LENGTHS[task] * (task + 1)) for task in range(3)])


def test_episodes_go_on_until_there_are_enough_transitions():
    data = made(2)
    data.collect(CollectEpisodes((0, 1, 2), "nothing", transitions=5, into=("context",)))
    assert [len(kept(data, task, "context")) for task in range(3)] == [5, 6, 6]  # of 1, 2 and 2 an episode
    assert [len(kept(data, task)) for task in range(3)] == [0, 0, 0]
    data.collect(CollectEpisodes((1,), "nothing", into=("context", "replay")))
    assert [len(kept(data, task, "context")) for task in range(3)] == [5, 8, 6]
    assert len(kept(data, 1)) == 2


def test_what_goes_nowhere_is_counted_and_not_kept():
    data = made(2)
    data.collect(CollectEpisodes((0, 1, 2), "nothing", episodes=2))
    assert data.module.transitions == 2 * sum(map(skills, range(3)))
    assert (data.memory.written, data.module.annotated) == (0, 0)
    data.collect(CollectEpisodes((0,), "nothing", into=("context",)))
    assert (data.memory.written, data.module.annotated) == (skills(0), skills(0))


def test_views_forget_only_the_tasks_that_are_collected():
    data = made(2)
    data.collect(CollectEpisodes((0, 1, 2), "nothing", episodes=2, into=("context", "replay")))
    data.collect(CollectEpisodes((1, 2), "nothing", into=("context",), clear=("context",)))
    assert [len(kept(data, task, "context")) for task in range(3)] == [2, 2, 2]
    assert [len(kept(data, task)) for task in range(3)] == [2, 4, 4]


def test_an_episode_keeps_what_it_began_with_and_sees_what_came_before_it():
    data = made(2)
    for given in ("nothing", "context"):
        data.collect(CollectEpisodes((0, 1, 2), given, episodes=2, into=("context",)))
    begun = data.module.begun
    assert [given for given, _ in begun] == ["nothing"] * 6 + ["context"] * 6
    for task in range(3):
        number, looked = kept(data, task, "context")["action"].unbind(1)
        runs, counts = number.unique_consecutive(return_counts=True)
        assert counts.tolist() == [skills(task)] * 4
        assert [begun[int(run) - 1][1] for run in runs] == [task] * 4
        assert looked[0] == 0
        assert looked[-1] >= 2 * skills(task)


def test_ranks_run_their_own_tasks():
    parts = [made(2, rank, world_size=2) for rank in range(2)]
    for data in parts:
        data.collect(CollectEpisodes((0, 1, 2), "nothing", episodes=2, into=("replay", "context")))
    assert [[len(kept(data, task)) for task in range(3)] for data in parts] == [[2, 0, 4], [0, 4, 0]]
    batch = parts[1].sample(UpdateTasks(1, groups=(4, 2), contexts=(3, 5), batch_size=6))
    assert batch["task"].tolist() == [1] * 3
    with pytest.raises(InputError, match="a group of 3 tasks cannot be shared evenly by 2 processes"):
        parts[0].sample(UpdateTasks(1, groups=(3,), contexts=(1,), batch_size=1))
    with pytest.raises(InputError, match="3 tasks to train on cannot be shared by 4 processes"):
        made(2, 3, world_size=4)


def test_a_batch_holds_the_transitions_of_its_tasks():
    data = made(3)
    data.collect(CollectEpisodes((0, 1, 2), "nothing", episodes=5, into=("replay",)))
    data.collect(CollectEpisodes((0, 1, 2), "nothing", into=("context",)))
    torch.manual_seed(0)
    batch = data.sample(UpdateTasks(1, groups=(3, 20), contexts=(2, 7), batch_size=6))
    assert batch["transitions"].batch_size == (23, 6)
    assert (batch["context_0"].batch_size, batch["context_1"].batch_size) == ((3, 2), (20, 7))
    assert set(batch["task"].tolist()) == {0, 1, 2}
    contexts = torch.cat([batch["context_0", "observation"][:, :1, 0], batch["context_1", "observation"][:, :1, 0]])
    assert torch.equal(contexts.squeeze(1), batch["task"].float())
    assert (batch["transitions", "observation"][..., 0] == batch["task"][:, None]).all()
    assert (batch["context_1", "action"][..., 0] > 15).all()  # of the later episodes alone
    assert (batch["transitions", "action"][..., 0] <= 15).all()


@pytest.mark.parametrize(("rank", "ranks", "own"), [(0, 1, [0, 1, 2]), (1, 2, [1])])
def test_a_batch_without_groups_is_of_every_task_of_the_rank(rank, ranks, own):
    data = TaskData(Witness(ranks), Tasks(3), rank)
    data.collect(CollectEpisodes((0, 1, 2), "", into=("replay",)))
    batch = data.sample(UpdateTasks(1, (), (), 7))
    assert batch["task"].tolist() == own
    np.testing.assert_array_equal(batch["transitions", "observation"][..., 0], np.repeat([own], 7, axis=0).T)


def test_a_context_holds_what_the_phase_looks_at():
    data = made(3)
    data.collect(CollectEpisodes((0, 1, 2), "nothing", into=("replay", "context")))
    batches = []
    for keys in (None, ("action", ("next", "reward"))):
        data.module.context_keys = keys
        torch.manual_seed(0)
        batches.append(data.sample(UpdateTasks(1, groups=(3, 2), contexts=(2, 7), batch_size=6)))
    whole, part = batches
    for name in ("context_0", "context_1"):
        assert set(part[name].keys(True, True)) == {"action", ("next", "reward")}
        assert (part[name] == whole[name].select(*part[name].keys(True, True))).all()
    assert (part["transitions"] == whole["transitions"]).all()


def test_restored_data_go_on_alike(tmp_path):
    data, again = made(2), made(2)
    data.collect(CollectEpisodes((0, 1, 2), "nothing", episodes=2, into=("replay", "context")))
    state, tensors = data.save(tmp_path, None)
    again.restore(state, {key: value.clone() for key, value in tensors.items()}, tmp_path)
    again.module.begun, again.module.env_frames = list(data.module.begun), data.module.env_frames
    for each in (data, again):
        each.collect(CollectEpisodes((2, 0), "context", episodes=2, into=("replay",)))
    for task in range(3):
        ours, theirs = kept(data, task), kept(again, task)
        assert len(ours) == len(theirs) > 0
        assert (ours == theirs).all()
    assert data.episodes.state() == again.episodes.state()


def test_adaptation_runs_every_stage_in_the_tasks_to_test_on(tmp_path):
    module = Witness()
    torch.manual_seed(0)
    stream = torch.get_rng_state()
    result = adapt(module, lambda seeds: Tasks(len(seeds)), seed=3)
    assert torch.equal(torch.get_rng_state(), stream)
    assert module.training
    assert result.tasks == ("d", "e")
    assert result.curves.tolist() == [[36.0] * 5, [20.0] * 5]
    assert result.returns.tolist() == [36.0, 36.0, 20.0, 20.0]
    assert result.metrics() == {
        "eval/return": 28.0,
        "eval/success": 0.5,
        "eval/episode_frames": 6.5,
        "eval/return_before": 28.0,
    }
    assert result.details()["adaptation"] == {"d": [36.0] * 5, "e": [20.0] * 5}
    assert [given for given, _ in module.begun] == ["nothing"] * 6 + ["context"] * 4
    assert module.annotated == 3 * (skills(3) + skills(4))  # the last stage goes nowhere
    assert result.trajectories[0][:, 1].tolist() == [0, 4, 8, 9]
    assert [states[0, 0] for states in result.before] == [3.0] * 3 + [4.0] * 3
    numbers = [[n for n, begun in enumerate(module.begun, 1) if begun == ("context", task)] for task in (3, 4)]
    stored = [3 * skills(task) for task in (3, 4)]
    known = [[[n, count] for n in own] for own, count in zip(numbers, stored, strict=True)]
    assert result.embeddings == result.details()["embeddings"] == {"d": known[0], "e": known[1]}


class Uneven(Tasks):
    """Episodes are the shorter, the later the world."""

    def _step(self, action, worlds):
        reward, _, solved = super()._step(action, worlds)
        return reward, self.count[worlds] >= 9 - np.arange(self.num_worlds)[worlds], solved


def test_episodes_are_in_the_order_in_which_they_began():
    result = adapt(Witness(), lambda seeds: Uneven(len(seeds)), seed=3)
    lengths = result.curves[:, :3] / np.array([[4], [5]])
    assert sorted(lengths.ravel()) == [4, 5, 6, 7, 8, 9]
    assert (np.diff(lengths) < 0).all()


def test_who_has_one_stage_and_no_embedding_says_so():
    module = Witness()
    module.adaptation = lambda: Witness.adaptation(module)[:1]
    module.embedding_of = lambda state: None
    result = adapt(module, lambda seeds: Tasks(len(seeds)), seed=3)
    assert result.before == []
    assert result.embeddings == {}
    assert "embeddings" not in result.details()


@pytest.mark.parametrize(("wished", "protocol"), [(True, True), (True, False), (False, True)])
def test_what_is_said_of_an_evaluation_is_how_its_last_episodes_went(wished, protocol):
    module = Witness()
    first, last = module.adaptation()
    module.adaptation = lambda: [replace(first, explore=not protocol), replace(last, explore=protocol)]
    said = summaries.judged("meta", adapt(module, lambda seeds: Tasks(len(seeds)), seed=3, explore=wished))
    assert said["explore"] is (wished and protocol)
    how = "sampling" if wished and protocol else "mode"
    assert summaries.episodes(said) == f"4 episodes, the last 2 of 5 in each of 2 tasks, {how}"
