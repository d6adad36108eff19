import re
import sys

from benchmarks import maze
from envs.maze import env
from envs.maze.config import MazeConfig


def test_every_row_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["maze", "--episodes", "3", "--trajectories", "20"])
    maze.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if re.match(r"\| .*\d", line)]
    kinds = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    assert kinds[:3] == list(maze.PLACES)
    assert [kind for kind in kinds if kind.isdigit()] == ["1", "256", "1024"]
    assert kinds[-2:] == ["uniform", "-1 or 1"]


def test_who_reaches_the_goal_is_counted(monkeypatch, capsys):
    near = env.make(MazeConfig(task="small20", radius=30.0, horizon=2), range(4))
    monkeypatch.setattr(maze.maze, "make", lambda config, seeds: near)
    maze.hardness(4)
    assert "| uniform | 4 (100.000%) |" in capsys.readouterr().out
