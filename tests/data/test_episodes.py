"""Which training episodes are written down, in which order, and that all ranks' are."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import distributed

from lightning_skills import ranks
from lightning_skills.csv_file import CsvFile
from lightning_skills.data.episodes import Episodes
from lightning_skills.launch import free_port
from lightning_skills.rows import EPISODE_COLUMNS, Rows
from lightning_skills.testing import FORKS


def add(episodes, *transitions):
    """One transition of each world: reward, success and whether the episode ends."""
    reward, success, done = (np.array(column) for column in zip(*transitions, strict=True))
    episodes.add(reward, success, np.ones(len(reward)), done.astype(bool))


def test_episodes_come_in_the_order_in_which_they_end_ties_by_world():
    episodes = Episodes(3)
    add(episodes, (1, 0, 0), (10, 0, 0), (100, 1, 1))
    episodes.counted(30)
    assert episodes.ended() == [(30, 100.0, True)]
    add(episodes, (2, 0, 1), (20, 1, 1), (5, 0, 0))
    add(episodes, (7, 0, 1), (1, 0, 0), (6, 0, 1))
    episodes.counted(90)
    assert episodes.ended() == [(90, 3.0, False), (90, 30.0, True), (90, 7.0, False), (90, 11.0, False)]
    assert episodes.ended() == []


def test_what_is_not_written_yet_is_part_of_the_state():
    episodes, again = Episodes(2), Episodes(2)
    add(episodes, (1, 0, 1), (2, 0, 0))
    episodes.counted(7)
    again.set_state(episodes.state())
    for each in (episodes, again):
        add(each, (3, 1, 1), (4, 0, 1))
        each.counted(9)
    assert again.ended() == episodes.ended() == [(7, 1.0, False), (9, 3.0, True), (9, 6.0, False)]


TRANSITIONS = (
    [[(0, True), (1, True)], [(2, True), (3, True)]],
    [[(5, False)], [(5, False)]],
    [[(20, False), (21, False), (22, True)], [(23, True)]],
)
"""Reward and end of each rank's, counted twice; ranks need not step together in between."""


def rank_with(rank, port, folder):
    distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=3)
    episodes = Episodes(1)
    for env_frames, transitions in zip((20, 40), TRANSITIONS[rank], strict=True):
        for reward, done in transitions:
            add(episodes, (reward, rank == 2, done))
        episodes.counted(env_frames)
    torch.save(episodes.ended(), folder / str(rank))
    distributed.destroy_process_group()


def test_all_ranks_know_the_episodes_of_all(tmp_path):
    port = free_port()
    processes = [FORKS.Process(target=rank_with, args=(rank, port, tmp_path)) for rank in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    first = [(20, 0.0, False), (20, 1.0, False), (20, 63.0, True)]
    second = [(40, 2.0, False), (40, 23.0, True), (40, 3.0, False)]
    assert [torch.load(tmp_path / str(rank)) for rank in range(3)] == [first + second] * 3


def test_rows_are_gathered_rank_by_rank():
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert ranks.gathered(rows) == [[[1.0, 2.0], [3.0, 4.0]]]


@pytest.fixture
def written(tmp_path):
    """The file of a phase, its rows and a data module whose episodes they are of."""
    data = SimpleNamespace(episodes=Episodes(1))
    file = CsvFile(tmp_path / "episodes.csv", EPISODE_COLUMNS)
    return tmp_path / "episodes.csv", Rows("rl/near", None, 10, data, file), data.episodes


def end(episodes, rows, value, frames):
    add(episodes, (value, value > 1, True))
    episodes.counted(frames)
    rows._write_episodes()


def test_episodes_are_numbered_from_the_start_of_the_phase_and_a_resumed_one_goes_on(written):
    path, rows, episodes = written
    path.write_text("phase,episode,env_frames,return,success\nrl/far,0,5,0.5,0\n")
    rows = Rows("rl/near", None, 10, rows._data, CsvFile(path, EPISODE_COLUMNS))
    end(episodes, rows, 1.0, 5)
    state = rows.state()
    end(episodes, rows, 0.25, 11)
    again = Rows("rl/near", None, 10, rows._data, CsvFile(path, EPISODE_COLUMNS))
    again.restore(state)
    end(episodes, again, 2.0, 12)
    with path.open() as file:
        cells = [tuple(row.values()) for row in csv.DictReader(file)]
    assert cells == [
        ("rl/far", "0", "5", "0.5", "0"),
        ("rl/near", "0", "5", "1.0", "0"),
        ("rl/near", "1", "12", "2.0", "1"),
    ]
