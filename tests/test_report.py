import csv
import io
import math
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from envs.maze.config import MazeConfig
from envs.maze.env import make
from lightning_skills import report
from lightning_skills.data.batch_env import BatchEnv, EnvInfo
from lightning_skills.errors import InputError
from lightning_skills.recorded import read_metrics

HEADER = "phase,env_frames,updates,wall_s,loss,train/return,eval/return,time/frames_per_s\n"
ROWS = "".join(f"skills,0,{10 * n},1.0,{1 / n},,,\n" for n in range(1, 6)) + "".join(
    f"rl,{100 * n},{n},1.0,{n}.5,{n}.0,{n + 1 if n % 2 else ''},50.0\n" for n in range(1, 101)
)


class FakeEnv(BatchEnv):
    """Pictures and films only."""

    info = EnvInfo({"observation": (2,)}, 2, 10)

    def __init__(self, pictures=True, noise=False, size=24):
        super().__init__([0])
        self.pictures, self.noise, self.size, self.drawn = pictures, noise, size, []

    def _reset(self, worlds): ...

    def _step(self, action, worlds): ...

    def _observe(self): ...

    def _get_state(self): ...

    def _set_state(self, state): ...

    def draw(self, axes, trajectories, task=None):
        self.drawn.append((len(trajectories), task))
        for path in trajectories:
            axes.plot(*path.T, color="black")
        return self.pictures

    def film(self, trajectory):
        if not self.pictures:
            return None
        if self.noise:
            shape = (len(trajectory), self.size, self.size, 3)
            return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        frames = np.full((len(trajectory), self.size, self.size, 3), 250, dtype=np.uint8)
        for index, frame in enumerate(frames):
            frame[index % self.size, index // self.size] = (200, 30, 30)
        return frames


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(HEADER + ROWS)
    return path


def ink(path):
    """Share of pixels that are not white."""
    return float((np.asarray(Image.open(path).convert("L")) < 250).mean())


@pytest.mark.parametrize("content", [None, "", HEADER])
def test_no_rows(tmp_path, content):
    path = tmp_path / "metrics.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"metrics\.csv"):
        report.learning_curves(path, tmp_path / "curves.png")


def test_panels_have_the_right_axis_and_values(metrics):
    panels = report.panels(read_metrics(metrics))
    assert [panel.quantity for panel in panels["skills"]] == ["loss"]
    assert [panel.quantity for panel in panels["rl"]] == ["return", "loss", "time/frames_per_s"]
    skills, returns = panels["skills"][0], panels["rl"][0]
    assert skills.axis == "updates"
    np.testing.assert_array_equal(skills.training, [[10, 20, 30, 40, 50], [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]])
    assert returns.axis == "env_frames"
    assert returns.training.shape == (2, 100)
    np.testing.assert_array_equal(returns.evaluation[:, :2], [[100, 300], [2, 4]])


def test_values_that_are_not_finite_are_left_out(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("phase,env_frames,updates,wall_s,a,b\nx,0,1,0,nan,nan\nx,0,2,0,3.0,inf\n")
    (panel,) = report.panels(read_metrics(path))["x"]
    np.testing.assert_array_equal(panel.training, [[2], [3.0]])
    path.write_text("phase,env_frames,updates,wall_s,a\nx,0,1,0,nan\n")
    with pytest.raises(InputError, match="finite"):
        report.learning_curves(path, tmp_path / "curves.png")


def test_a_picture_that_is_drawn_once_is_the_same(tmp_path):
    for draw in (report.save_png, lambda figure, out: figure.savefig(out)):
        with report.new_figure(4, 3, tmp_path / "a.png") as figure:
            for axes in figure.subplots(1, 2):
                axes.plot([1e6, 2e6], label="a")
                axes.legend()
            draw(figure, tmp_path / f"{draw.__name__}.png")
    first, second = (path.read_bytes() for path in tmp_path.iterdir())
    assert first == second


def test_learning_curves(metrics, tmp_path):
    out = tmp_path / "new" / "curves.png"
    report.learning_curves(metrics, out)
    with Image.open(out) as image:
        assert image.width > 700
        assert image.height > 500
        colours = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in (report.TRAINING, report.EVALUATION):
        wanted = [int(colour[index : index + 2], 16) for index in (1, 3, 5)]
        assert (np.abs(colours.astype(int) - wanted).max(axis=1) < 8).sum() > 50
    assert ink(out) > 0.01


def test_running_mean_keeps_constants_and_lines():
    np.testing.assert_allclose(report._running_mean(np.full(200, 3.0)), 3.0)
    line = np.arange(200.0)
    np.testing.assert_allclose(report._running_mean(line)[5:-5], line[5:-5])
    assert report._running_mean(line)[0] == np.mean(line[:6])


def test_trajectory_panels(tmp_path):
    env, out = FakeEnv(), tmp_path / "trajectories.png"
    path = np.random.default_rng(0).normal(size=(30, 2)).cumsum(axis=0)
    shown = [
        report.Snapshot("first", [path]),
        report.Snapshot("both", [path, path], 3),
        report.Snapshot("last", [path]),
    ]
    assert report.trajectory_panels(env, shown, out)
    assert env.drawn == [(1, None), (2, 3), (1, None)]
    assert ink(out) > 0.01


@pytest.mark.parametrize(("limits", "ratio"), [((4, 4), 1.0), ((4, 1), 0.25), ((1, 4), 1.0), (None, 1.0)])
def test_panels_are_as_high_as_what_they_show_to_scale(limits, ratio, tmp_path, monkeypatch):
    env, out = FakeEnv(), tmp_path / "trajectories.png"
    draw = env.draw

    def to_scale(axes, trajectories, task):
        draw(axes, trajectories, task)
        if limits is not None:
            axes.set(xlim=(0, limits[0]), ylim=(0, limits[1]), aspect="equal")
        return True

    monkeypatch.setattr(env, "draw", to_scale)
    assert report.trajectory_panels(env, [report.Snapshot("start", [np.zeros((3, 2))])], out)
    with Image.open(out) as image:
        assert image.height / image.width == pytest.approx((0.4 + 2.4 * ratio) / 2.6, rel=0.02)


def test_no_picture_of_an_env_that_has_none(tmp_path):
    out = tmp_path / "trajectories.png"
    assert not report.trajectory_panels(FakeEnv(pictures=False), [report.Snapshot("start", [np.zeros((3, 2))])], out)
    assert not report.trajectory_panels(FakeEnv(), [], out)
    assert not report.film(FakeEnv(pictures=False), np.zeros((3, 2)), tmp_path / "film.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("steps", "frames"), [(1, 1), (40, 40), (400, 150)])
def test_film(tmp_path, steps, frames):
    out = tmp_path / "film.gif"
    assert report.film(FakeEnv(), np.zeros((steps, 2)), out)
    with Image.open(out) as image:
        assert image.n_frames == frames
        image.seek(frames - 1)
        last = np.asarray(image.convert("RGB")).astype(int)
        if frames > 1:
            assert image.info["duration"] == report.FRAME_MS
    row, column = (steps - 1) % 24, (steps - 1) // 24
    assert last[row, column, 0] > last[row, column, 2] + 80


def test_film_shrinks_until_it_fits(tmp_path):
    out = tmp_path / "film.gif"
    assert report.film(FakeEnv(noise=True, size=180), np.zeros((150, 2)), out)
    assert out.stat().st_size < report.FILM_BYTES
    with Image.open(out) as image:
        assert image.n_frames == 150
        assert 40 < image.width < 180


def test_pictures_of_the_maze(tmp_path):
    env = make(MazeConfig(), [0])
    start = env.reset()["observation"]
    path = np.concatenate([start, *(env.step(np.ones((1, 2)) * 0.3).observation["observation"] for _ in range(60))])
    assert report.trajectory_panels(env, [report.Snapshot("start", [path])], tmp_path / "maze.png")
    assert report.film(env, path, tmp_path / "maze.gif")
    assert ink(tmp_path / "maze.png") > 0.1


def test_summary_table():
    assert report.summary_table([("return", "0.9"), ("env frames", "1.5M")]) == "return      0.9\nenv frames  1.5M"
    assert report.summary_table([]) == ""


def test_markdown_table():
    table = report.markdown_table([{"method": "spirl", "return": 1 / 3}, {"method": "a|b", "seeds": 5}])
    assert table.splitlines() == [
        "| method | return | seeds |",
        "|--------|--------|-------|",
        "| spirl  | 0.3333 |       |",
        "| a\\|b   |        | 5     |",
    ]


def test_html_table():
    table = report.html_table([{"method": "a<b&c", "return": 1 / 3}, {"method": "spirl", "seeds": 5}])
    assert table.splitlines() == [
        "<table>",
        "<thead>",
        "<tr><th>method</th><th>return</th><th>seeds</th></tr>",
        "</thead>",
        "<tbody>",
        "<tr><td>a&lt;b&amp;c</td><td>0.3333</td><td></td></tr>",
        "<tr><td>spirl</td><td></td><td>5</td></tr>",
        "</tbody>",
        "</table>",
    ]


def test_csv_table_reads_back_exactly():
    rows = list(csv.DictReader(io.StringIO(report.csv_table([{"name": "a,b", "value": math.pi}, {"other": 2}]))))
    assert rows[0]["name"] == "a,b"
    assert float(rows[0]["value"]) == math.pi
    assert rows[1] == {"name": "", "value": "", "other": "2"}


def test_import_is_light():
    code = "import sys, lightning_skills.report; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
