"""Minari data sets in and out: value by value against what Minari itself holds, and what is refused."""

import json
import shutil
import socket
import subprocess
import sys

import gymnasium
import minari
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from minari.data_collector.episode_buffer import EpisodeBuffer

from lightning_skills import __main__ as cli
from lightning_skills.data import trajectories
from lightning_skills.data.offline import OfflineData
from lightning_skills.phases.base import Update
from tests.data.planned import Planned

# Minari's own, of descriptions that the data sets made here do without.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari")

MAZE = "env=envs.gymnasium_adapters:lightning_skills/Maze-v1"
LENGTHS = (5, 9, 12)
BOX = {"observation": Box(-np.inf, np.inf, (4,), np.float32), "action": Box(-1, 1, (2,), np.float32)}
DICT = Dict(
    observation=Box(-np.inf, np.inf, (3,), np.float64),
    desired_goal=Box(-np.inf, np.inf, (2,), np.float64),
    done=Dict(kettle=Box(-np.inf, np.inf, (1,), np.float64)),
    image=Box(0, 255, (4, 4, 3), np.uint8),
)


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """Minari's folder of this test, and no network."""

    def connect(*_):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def sampled(space, count, rng):
    if isinstance(space, Dict):
        return {key: sampled(part, count, rng) for key, part in space.items()}
    if space.dtype == np.uint8:
        return rng.integers(256, size=(count, *space.shape), dtype=np.uint8)
    return rng.uniform(-1, 1, size=(count, *space.shape)).astype(space.dtype)


def collected(dataset_id="maze/random-v0", observation=BOX["observation"], change=lambda buffer: buffer, **options):
    """A Minari data set of random episodes, made by Minari; the first one ends by itself."""
    rng = np.random.default_rng(0)
    buffers = []
    for index, steps in enumerate(LENGTHS):
        last = np.arange(steps) == steps - 1
        buffer = {
            "observations": sampled(observation, steps + 1, rng),
            "actions": sampled(BOX["action"], steps, rng),
            "rewards": rng.normal(size=steps),
            "terminations": last & (index == 0),
            "truncations": last & (index != 0),
        }
        buffers.append(EpisodeBuffer(id=None, seed=index, **change(buffer)))
    options = {"action_space": BOX["action"], **options}
    return minari.create_dataset_from_buffers(dataset_id, buffers, observation_space=observation, **options)


@pytest.fixture
def bring(tmp_path, capsys):
    """Import from Minari; the data set, or the line of the error."""

    def imported(source="minari:maze/random-v0", *words):
        status = cli.main(["data", "import", source, str(tmp_path / "set"), *words])
        captured = capsys.readouterr()
        if status == 0:
            return trajectories.load(tmp_path / "set")
        assert status == 2
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        assert not list(tmp_path.glob("set*")), "something was left behind"
        return captured.err

    return imported


def pieces(data, key):
    return np.split(data.steps[key], data.starts[1:])


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
def test_values_arrive_unchanged(bring, data_format):
    source = collected(data_format=data_format)
    data = bring()
    trajectories.validate(data)
    assert data.lengths.tolist() == [steps + 1 for steps in LENGTHS]
    theirs = {"action": "actions", "reward": "rewards", "terminated": "terminations", "truncated": "truncations"}
    for index, episode in enumerate(source):
        np.testing.assert_array_equal(pieces(data, "observation")[index], episode.observations)
        for key, name in theirs.items():
            np.testing.assert_array_equal(pieces(data, key)[index][:-1], getattr(episode, name))
            assert not pieces(data, key)[index][-1].any()
    assert data.steps["observation"].dtype == data.steps["action"].dtype == np.float32
    assert data.steps["terminated"].dtype == data.steps["truncated"].dtype == bool
    assert (data.steps["terminated"].sum(), data.steps["truncated"].sum()) == (1, 2)


def test_episodes_of_an_env(bring):
    env = gymnasium.make("envs.gymnasium_adapters:lightning_skills/Maze-v1", horizon=6)
    buffers, rng = [], np.random.default_rng(0)
    for seed in range(3):
        states, steps = [env.reset(seed=seed)[0]], []
        while not steps or not (steps[-1][2] or steps[-1][3]):
            action = rng.uniform(-1, 1, 2).astype(np.float32)
            state, *rest, _ = env.step(action)
            states.append(state)
            steps.append((action, *rest))
        actions, rewards, terminations, truncations = map(list, zip(*steps, strict=True))
        buffers.append(EpisodeBuffer(None, seed, None, states, actions, rewards, terminations, truncations))
    minari.create_dataset_from_buffers("maze/random-v0", buffers, env=env)
    data = bring()
    trajectories.validate(data)
    assert data.lengths.tolist() == [7, 7, 7]
    np.testing.assert_array_equal(
        data.steps["observation"], np.concatenate([buffer.observations for buffer in buffers])
    )


def test_recipe_tells_the_source(bring, root, tmp_path):
    collected()
    recipe = bring().recipe
    assert (recipe["source"], recipe["id"], recipe["action_scale"]) == ("minari", "maze/random-v0", 1.0)
    shutil.rmtree(tmp_path / "set")
    assert bring().recipe == recipe
    shutil.rmtree(tmp_path / "set")
    metadata = root / "maze" / "random-v0" / "data" / "metadata.json"
    metadata.write_text(metadata.read_text() + "\n")
    assert bring().recipe["digest"] != recipe["digest"]


def test_windows_do_not_cross_episodes(bring):
    def label(buffer):
        buffer["observations"][:, 0] = len(buffer["actions"])
        buffer["observations"][:, 1] = np.arange(len(buffer["observations"]))
        return buffer

    collected(change=label)
    torch.manual_seed(0)
    batch = OfflineData(Planned(10), bring()).sample(Update(1, batch_size=500, window=10))["observation"]
    assert set(batch[:, 0, 0].tolist()) == {9.0, 12.0}
    assert (batch[:, :, 0] == batch[:, :1, 0]).all()
    assert (batch[:, 1:, 1] - batch[:, :-1, 1] == 1).all()
    assert batch[:, :, 1].max() == 12


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        ([], [("observation",)]),
        (["observation=desired_goal,observation"], [("desired_goal",), ("observation",)]),
        (["observation=observation,done/kettle"], [("observation",), ("done", "kettle")]),
    ],
)
@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_dict_observations(bring, words, keys, data_format):
    source = collected(observation=DICT, data_format=data_format)
    data = bring("minari:maze/random-v0", *words)
    for index, episode in enumerate(source):
        parts = []
        for path in keys:
            part = episode.observations
            for key in path:
                part = part[key]
            parts.append(part)
        np.testing.assert_array_equal(pieces(data, "observation")[index], np.concatenate(parts, axis=1))
    assert data.steps["observation"].dtype == np.float64
    trajectories.validate(data)


def test_source_by_its_folder(bring, root, tmp_path, monkeypatch):
    collected()
    shutil.move(root / "maze" / "random-v0", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    by_relative = bring("minari:elsewhere")
    shutil.rmtree(tmp_path / "set")
    assert bring(f"minari:{tmp_path / 'elsewhere'}").digest == by_relative.digest
    assert by_relative.recipe["id"] == "maze/random-v0"


def test_actions_are_divided(bring):
    def scale(buffer):
        return {**buffer, "actions": buffer["actions"] * 2}

    source = collected(change=scale, action_space=Box(-2, 2, (2,), np.float32))
    assert "beyond [-1, 1]; action_scale=NUMBER divides them" in bring()
    data = bring("minari:maze/random-v0", "action_scale=2")
    np.testing.assert_array_equal(pieces(data, "action")[1][:-1], source[1].actions / 2)


def test_columns_are_chosen(bring):
    source = collected(observation=DICT)
    data = bring("minari:maze/random-v0", "observation=observation,desired_goal", "columns=3:5,0:2")
    for index, episode in enumerate(source):
        held = episode.observations
        expected = np.concatenate([held["desired_goal"], held["observation"][:, :2]], axis=1)
        np.testing.assert_array_equal(pieces(data, "observation")[index], expected)
    assert data.recipe["columns"] == [[3, 5], [0, 2]]


def poisoned(key):
    def change(buffer):
        buffer[key][3, ...] = np.nan
        return buffer

    return change


def shortened(key):
    return lambda buffer: {**buffer, key: buffer[key][:-1]}


@pytest.mark.parametrize(
    ("made", "words", "message"),
    [
        ({"change": poisoned("observations")}, [], "observation is not finite at row 3 of trajectory 0"),
        ({"change": poisoned("actions")}, [], "action is not finite at row 3 of trajectory 0"),
        ({"change": poisoned("rewards")}, [], "reward is not finite at row 3 of trajectory 0"),
        ({"change": shortened("actions")}, [], "episode 0: 4 actions for 6 observations, not 5"),
        ({"change": shortened("truncations")}, [], "truncations must be one number for each of 5 rows, not bool [4]"),
        ({"observation": DICT}, ["observation=image"], "observation 'image' must be a float matrix"),
        ({"observation": DICT}, ["observation=done"], "observation 'done' must be a float matrix"),
        (
            {"observation": DICT},
            ["observation=goal"],
            "observations lack 'goal'; choose among desired_goal, done/kettle, image, observation",
        ),
        ({}, ["observation=desired_goal"], "observations are one array without keys; leave out observation="),
        ({}, ["horizon=4"], "horizon= is for HDF5 files"),
        ({}, ["columns=0:2,3:6"], "columns end at 6, and observations have 4"),
        ({}, ["columns=2:2"], "option 'columns' must be ranges such as 0:9,18:39, not '2:2'"),
        (
            {
                "change": lambda buffer: {**buffer, "actions": np.zeros(len(buffer["rewards"]), np.int64)},
                "action_space": Discrete(3),
            },
            [],
            "actions must be a float matrix, one vector per row, not int64",
        ),
    ],
)
def test_bad_episodes(bring, made, words, message):
    collected(**made)
    assert message in bring("minari:maze/random-v0", *words)


def test_episodes_of_different_widths(bring):
    collected(
        change=lambda buffer: {**buffer, "observations": buffer["observations"][:, : len(buffer["actions"]) // 3]}
    )
    assert "observation has width [3] in trajectory 1, [1] before" in bring()


def test_missing_ids(bring, root):
    collected()
    assert f"no Minari data set at {root}/maze/random-v1 (MINARI_DATASETS_PATH" in bring("minari:maze/random-v1")
    assert "no Minari data set at" in bring("minari:")
    assert "no Minari data set at" in bring("minari:maze")


def test_no_episodes(bring):
    minari.create_dataset_from_buffers(
        "maze/random-v0", [], observation_space=BOX["observation"], action_space=BOX["action"]
    )
    assert "is empty: it has no episodes" in bring()


def rewritten(root, **changes):
    path = root / "maze" / "random-v0" / "data" / "metadata.json"
    metadata = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in metadata.items() if value is not None}))


def test_damaged_sets(bring, root):
    collected()
    rewritten(root, total_steps=27)
    assert "is damaged: it holds 26 steps, its metadata say 27" in bring()
    rewritten(root, total_steps=26, total_episodes=4)
    assert "cannot be read (KeyError" in bring()
    rewritten(root, total_episodes=3, minari_version="9.0.0")
    assert "does not support the dataset" in bring()
    rewritten(root, minari_version=minari.__version__, observation_space='{"type": "Nothing"}')
    assert "cannot be read" in bring()
    rewritten(root, observation_space=json.dumps({"type": "Dict", "subspaces": {}}))
    assert "cannot be read" in bring()
    folder = root / "maze" / "random-v0" / "data"
    (folder / "main_data.hdf5").write_bytes((folder / "main_data.hdf5").read_bytes()[:2000])
    assert "cannot be read" in bring()
    (folder / "metadata.json").write_text("{")
    assert "cannot be read (JSONDecodeError" in bring()


def test_code_that_a_set_names_is_not_run(bring, root, tmp_path, monkeypatch):
    """Minari makes the env of the metadata where they lack the spaces; its module could do anything."""
    (tmp_path / "stranger.py").write_text("raise SystemExit('the code of the data set ran')")
    monkeypatch.syspath_prepend(tmp_path)
    spec = json.dumps({"id": "Stranger-v0", "entry_point": "stranger:Env", "additional_wrappers": [], "kwargs": {}})
    collected()
    rewritten(root, env_spec=spec)
    shutil.rmtree(bring().path)
    rewritten(root, observation_space=None)
    assert "its metadata lack observation_space; save it with a newer Minari" in bring()


@pytest.fixture
def ours(tmp_path):
    """Data of the maze's shapes without rewards; the last action, which is never trained on, is zero."""
    rng = np.random.default_rng(1)
    made = [
        {
            "observation": rng.normal(size=(rows, 4)).astype(np.float32),
            "action": np.pad(rng.uniform(-1, 1, size=(rows - 1, 2)), ((0, 1), (0, 0))).astype(np.float32),
            "episode/goal": rng.normal(size=2),
        }
        for rows in (2, 8, 15)
    ]
    return trajectories.write(tmp_path / "ours", {"made": "by hand"}, made)


def changed(data, path, **columns):
    cuts = data.starts[1:]
    steps = {key: np.split(array, cuts) for key, array in {**data.steps, **columns}.items()}
    rows = [{key: parts[index] for key, parts in steps.items()} for index in range(len(data.lengths))]
    return trajectories.write(path, {}, rows)


@pytest.fixture
def send(capsys):
    """Export; Minari's own view of it, or the line of the error."""

    def exported(data, target="minari:our/maze-v0", *words):
        status = cli.main(["data", "export", str(data.path), target, *words])
        captured = capsys.readouterr()
        if status == 0:
            assert captured.err == ""
            return minari.load_dataset(target.removeprefix("minari:"))
        assert status == 2
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
        return captured.err

    return exported


def test_export_opens_in_minari(ours, send):
    made = send(ours)
    assert made.observation_space == BOX["observation"]
    assert made.action_space == BOX["action"]
    assert (made.total_episodes, made.total_steps) == (3, 22)
    assert [len(episode) for episode in made] == [1, 7, 14]
    for index, episode in enumerate(made):
        np.testing.assert_array_equal(episode.observations, pieces(ours, "observation")[index])
        np.testing.assert_array_equal(episode.actions, pieces(ours, "action")[index][:-1])
        assert not episode.rewards.any()
        assert not episode.terminations.any()
        assert episode.truncations.tolist() == [False] * (len(episode) - 1) + [True]
    description = made.storage.metadata["description"]
    assert "Rewards are unknown and written as zeros." in description
    assert "Left out: episode/goal." in description
    assert ours.digest in description
    assert list(minari.list_local_datasets()) == ["our/maze-v0"]


def test_export_keeps_rewards_and_ends(ours, send, tmp_path):
    reward = np.arange(25, dtype=np.float32)
    terminated, truncated = np.zeros((2, 25), dtype=bool)
    terminated[8] = truncated[23] = True  # the last steps of the second and the third trajectory
    data = changed(ours, tmp_path / "rewarded", reward=reward, terminated=terminated, truncated=truncated)
    made = send(data)
    np.testing.assert_array_equal(made[1].rewards, np.arange(2, 9))
    assert made[1].terminations.tolist() == [False] * 6 + [True]
    assert not made[1].truncations.any()
    assert made[2].truncations.tolist() == [False] * 13 + [True]
    assert "unknown" not in made.storage.metadata["description"]


def test_there_and_back(ours, send, bring):
    send(ours)
    back = bring("minari:our/maze-v0")
    assert back.lengths.tolist() == ours.lengths.tolist()
    for key in ("observation", "action"):
        np.testing.assert_array_equal(back.steps[key], ours.steps[key])
        assert back.steps[key].dtype == ours.steps[key].dtype


def test_from_minari_and_back(bring, send):
    source = collected()
    made = send(bring())
    for theirs, back in zip(source, made, strict=True):
        for name in ("observations", "actions", "rewards", "terminations", "truncations"):
            np.testing.assert_array_equal(getattr(back, name), getattr(theirs, name))


def test_export_records_the_env(ours, send):
    made = send(ours, "minari:our/maze-v0", MAZE, "env.task=spirl40", "env.horizon=7")
    env = made.recover_environment()
    assert env.spec.id == "lightning_skills/Maze-v1"
    assert env.unwrapped.env.info.horizon == 7
    assert env.unwrapped.env.task.layout == "spirl40"


def test_existing_ids_stay(ours, send, root):
    send(ours)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert "the Minari data set our/maze-v0 exists already at" in send(ours)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("target", "words", "message"),
    [
        ("our/maze-v0", [], "cannot export to 'our/maze-v0'; write minari:ID"),
        ("minari:our/maze", [], "'our/maze' is no id of Minari; write namespace/name-v0"),
        ("minari:../maze-v0", [], "is no id of Minari"),
        ("minari:", [], "is no id of Minari"),
        ("minari:our/maze-v0", ["env=Nothing-v0"], "gymnasium cannot make the env 'Nothing-v0'"),
        ("minari:our/maze-v0", [MAZE, "env.task=nothing"], "unknown maze task"),
        ("minari:our/maze-v0", ["env=Pendulum-v1"], "observation has width [4], that of the env is [3]"),
        ("minari:our/maze-v0", ["env=CartPole-v1"], "action has width [2], that of the env is []"),
        ("minari:our/maze-v0", [MAZE, "task=spirl40"], "unknown option 'task'; there is env"),
        ("minari:our/maze-v0", ["Maze-v1"], "cannot read 'Maze-v1'; options are written key=value"),
        ("minari:our/maze-v0", ["env.task=spirl40"], "env.task=spirl40 is of no env; give env=ID too"),
    ],
)
def test_bad_exports(ours, send, root, target, words, message):
    assert message in send(ours, target, *words)
    assert not list(root.rglob("*.*"))


def test_bad_data_are_not_exported(ours, send, tmp_path, root):
    wild = changed(ours, tmp_path / "wild", action=ours.steps["action"] * 5)
    assert "actions leave [-1, 1]" in send(wild)
    row = trajectories.write(
        tmp_path / "row", {}, [{"observation": np.zeros((1, 4), np.float32), "action": np.zeros((1, 2), np.float32)}]
    )
    assert "trajectory 0 has one row; an episode of Minari needs two" in send(row)
    assert not root.exists() or not list(root.rglob("*.*"))


def test_a_failed_export_leaves_nothing(ours, send, root, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("minari.dataset._storages.hdf5_storage._add_episode_to_group", full)
    assert "cannot write the Minari data set our/maze-v0 (OSError: [Errno 28] No space left on device)" in send(ours)
    assert not (root / "our" / "maze-v0").exists()


def test_the_help_loads_no_library():
    code = (
        "import sys; from lightning_skills.__main__ import main; main(['--help']); main(['methods']);"
        "print([m for m in ('torch', 'mujoco', 'minari', 'gymnasium', 'h5py', 'numpy') if m in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "data import SOURCE" in output.stdout
    assert output.stdout.strip().splitlines()[-1] == "[]"
