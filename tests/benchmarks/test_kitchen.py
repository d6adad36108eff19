import sys

from gymnasium_robotics.utils import mujoco_utils

from benchmarks import kitchen


def test_all_sides_are_timed(monkeypatch, capsys):
    monkeypatch.setattr(mujoco_utils, "mujoco", mujoco_utils.mujoco)  # so that it is put back
    monkeypatch.setattr(sys, "argv", ["kitchen", "--worlds", "2", "--rounds", "1", "--steps", "4"])
    kitchen.main()
    printed = capsys.readouterr().out
    for name in ("FrankaKitchen", "whole model, 1 thread", "lean model, 2 threads", "lean over whole"):
        assert name in printed
