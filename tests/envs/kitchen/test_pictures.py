"""Pictures: rendered from states, without a display."""

import matplotlib
import mujoco
import numpy as np
import pytest
from matplotlib.figure import Figure

from envs.kitchen import pictures
from envs.kitchen.config import KitchenConfig
from envs.kitchen.env import KNOWN, START, make
from lightning_skills import pipeline
from lightning_skills.command import train

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def env():
    made = make(KitchenConfig(), seeds=[0])
    if made.film(START[None]) is None:
        pytest.skip("this machine cannot render without a display")
    return made


def opening(steps):
    states = np.tile(START, (steps, 1))
    states[:, 22] = np.linspace(0.0, -1.2, steps)
    return states


def test_a_film_shows_what_moves_and_thins_long_trajectories(env, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_FRAMES", 5)
    frames = env.film(opening(120))
    assert frames.shape == (5, 180, 240, 3)
    assert frames.dtype == np.uint8
    assert frames.std() > 30, "a picture should not be empty"
    moved = np.abs(frames[-1].astype(int) - frames[0]).sum(axis=2) > 30
    rows, columns = np.nonzero(moved)
    assert moved.sum() > 500
    assert rows.mean() > 90, "the microwave stands low on the left"
    assert columns.mean() < 120
    assert np.array_equal(env.film(START[None])[0], env.film(np.r_[START, np.ones(30)][None])[0])


def test_a_plot_shows_the_best_trajectory_over_its_time(env):
    axes = Figure().subplots()
    best = opening(30)
    assert env.draw(axes, [opening(30) * 0 + START, best])
    shown = axes.images[0].get_array()
    assert shown.shape == (3 * 180, 2 * 240, 3)
    assert np.array_equal(shown[:180, :240], env.film(best[:1])[0])
    assert np.array_equal(shown[-180:, -240:], env.film(best[-1:])[0])
    assert axes.get_xlabel() == "1 of 4 subtasks"


def test_among_several_tasks_subtasks_are_those_of_the_one_that_is_said(env):
    several = make(KitchenConfig(task="simpl"), seeds=[0])
    without = next(index for index, task in enumerate(several.pursued) if "microwave" not in task.subtasks)
    said = []
    for task in (None, without):
        axes = Figure().subplots()
        several.draw(axes, [opening(30)], task)
        said.append(axes.get_xlabel())
    assert said == ["1 of 7 subtasks", "0 of 4 subtasks"]


def test_envs_share_a_camera(env, monkeypatch):
    monkeypatch.setattr(pictures, "Camera", lambda: pytest.fail("a second camera"))
    other = make(KitchenConfig(), seeds=[1])
    assert np.array_equal(other.film(START[None]), env.film(START[None]))


@pytest.mark.parametrize("kind", [ImportError, AttributeError, mujoco.FatalError])
def test_a_machine_that_cannot_render_has_no_pictures_and_says_so(kind, monkeypatch):
    def broken():
        raise kind("no EGL here")

    monkeypatch.setattr(pictures, "only_camera", broken)
    blind = make(KitchenConfig(), seeds=[0])
    with pytest.warns(UserWarning, match="no EGL here"):
        assert blind.film(START[None]) is None
    with pytest.warns(UserWarning, match="without a display"):
        assert not blind.draw(Figure().subplots(), [START[None]])


def test_places_are_the_seven_subtasks(env):
    assert env.visited(np.concatenate([START[None], opening(5)])).tolist() == [name == "microwave" for name in KNOWN]
    assert not env.visited(START[None]).any()


@pytest.mark.parametrize(("closes", "rendered"), [(False, False), (True, True)])
def test_training_itself_renders_nothing(closes, rendered, env, tmp_path, monkeypatch):
    frames, render = [], mujoco.mjr_render
    monkeypatch.setattr(mujoco, "mjr_render", lambda *given: frames.append(given) or render(*given))
    if not closes:
        monkeypatch.setattr(pipeline, "close", lambda *given: None)
    words = ["method=sac", "env=kitchen", "debug=smoke", "logging=csv", "logging.progress=false"]
    assert train([*words, f"runs_dir={tmp_path}"]) == 0
    assert bool(frames) is rendered
