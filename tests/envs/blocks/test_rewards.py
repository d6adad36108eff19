"""Rewards against states made by hand; the numbers are those of SPiRL's released environments."""

import numpy as np
import pytest

from envs.blocks import rewards
from envs.blocks.rewards import Grip, Progress

TABLE = 0.84
"""Height of a block on the table."""


def places(*blocks):
    """One world."""
    return np.array([blocks], dtype=float)


def grip(y, z, left=0.04, right=0.04):
    return Grip(np.array([[y, z]]), np.array([[left, right]]))


def one(*, of, beside=0.0, above=0.0):
    """Whether block 1 is ``of`` (a predicate), beside and above block 0, which lies on the table."""
    return bool(of(places((0.1, TABLE), (0.1 + beside, TABLE + above)))[0, 1])


@pytest.mark.parametrize(("rise", "expected"), [(0.0, False), (0.029, False), (0.0294, True), (0.3, True)])
def test_lifted_above_what_a_block_on_its_corner_rises(rise, expected):
    assert bool(rewards.lifted(places((0.0, TABLE + rise)))[0, 0]) is expected


@pytest.mark.parametrize(
    ("beside", "above", "expected"),
    [(0.0, 0.08, True), (0.039, 0.08, True), (-0.039, 0.3, True), (0.041, 0.08, False), (0.0, 0.074, False)],
)
def test_stacked_is_above_another_block(beside, above, expected):
    assert one(of=rewards.stacked, beside=beside, above=above) is expected


@pytest.mark.parametrize(
    ("beside", "above", "expected"),
    [
        (0.0, 0.08, True),
        (0.079, 0.08, True),
        (0.081, 0.08, False),
        (0.0, 0.041, True),
        (0.0, 0.084, True),
        (0.0, 0.086, False),
        (0.5, 0.02, True),  # not lifted
        (0.5, 0.05, False),
    ],
)
def test_supported_is_not_lifted_or_loosely_on_a_block(beside, above, expected):
    assert one(of=rewards.supported, beside=beside, above=above) is expected


def test_support_is_passed_on_upwards():
    def by_recursion(blocks, i):
        y, z = blocks[i]
        below = [j for j, (yj, zj) in enumerate(blocks) if abs(y - yj) < 0.08 and 0.04 < z - zj < 0.085]
        return z - TABLE <= 0.04 * (3**0.5 - 1) or any(by_recursion(blocks, j) for j in below)

    rng = np.random.default_rng(0)
    blocks = np.stack([rng.uniform(0, 0.2, (300, 9)), TABLE + 0.08 * rng.integers(0, 5, (300, 9))], axis=2)
    expected = np.array([[by_recursion(world, i) for i in range(9)] for world in blocks])
    assert np.array_equal(rewards.supported(blocks), expected)
    high = expected & (blocks[..., 1] > TABLE + 0.2)
    assert high.any()
    assert (~expected).any()


@pytest.mark.parametrize(
    ("gripper", "expected"),
    [
        (grip(0.0, 1.11), True),
        (grip(0.0, 1.079), False),  # too close above the block
        (grip(0.0, 1.141), False),  # too far
        (grip(0.0, 1.11, left=0.029), False),
        (grip(0.0, 1.11, right=0.051), False),
        (grip(0.031, 1.11), False),  # the right finger is not on the other side of its centre
        (grip(0.029, 1.11), True),
        (grip(-0.031, 1.11), False),
        (grip(0.081, 1.11, right=0.05), False),
    ],
)
def test_grasped_between_the_fingers_off_the_table(gripper, expected):
    assert bool(rewards.grasps(places((0.0, 1.0)), gripper)[0, 0]) is expected
    on_table = Grip(gripper.position - [0, 0.16], gripper.fingers)
    assert not rewards.grasps(places((0.0, TABLE)), on_table).any()


def test_height_is_that_of_the_highest_block_that_counts():
    tower = places((0.0, TABLE), (0.0, 0.92), (0.01, 1.0), (0.5, TABLE), (0.5, 1.3))
    everything, nothing = np.ones((1, 5), dtype=bool), np.zeros((1, 5), dtype=bool)
    assert rewards.tower_height(tower, everything) == pytest.approx(0.16), "the block in the air is not supported"
    assert rewards.tower_height(tower, np.array([[1, 1, 0, 1, 1]], dtype=bool)) == pytest.approx(0.08)
    assert rewards.tower_height(tower, nothing) == 0.0
    assert rewards.tower_height(tower - [0.0, 0.001], everything & np.array([[1, 0, 0, 1, 0]], dtype=bool)) == 0.0


def test_dense_bonus_of_a_block_that_is_grasped_lifted_stacked_and_dropped():
    progress, world = Progress(1, 3), np.array([0])
    held, afar = grip(0.4, 1.11), grip(0.0, 1.5)
    on_table = [(0.0, TABLE), (0.2, TABLE)]

    def bonus(block, gripper):
        progress.update(world, places(*on_table, block), gripper)
        return float(progress.bonus(world)[0])

    in_hand = (0.4, 1.0)
    assert [bonus(in_hand, held) for _ in range(4)] == [0.0] * 4
    assert bonus(in_hand, afar) == 0.0, "the fifth step in a row is missing"
    assert [bonus(in_hand, held) for _ in range(5)] == [0.0] * 4 + [1.0]
    assert progress.counts()["blocks_set_down"] == [0]
    assert bonus((0.4, TABLE), afar) == 1.0, "once lifted, always rewarded"
    assert {name: count.tolist() for name, count in progress.counts().items()} == {
        "blocks_grasped": [1],
        "blocks_lifted": [1],
        "blocks_above": [0],
        "blocks_set_down": [1],
    }
    assert bonus((0.2, 0.92), afar) == 2.0
    assert bonus((0.4, TABLE), afar) == 2.0
    progress.reset(world)
    assert bonus((0.2, 0.92), afar) == 0.0, "stacked, and not grasped in this episode"


def test_blocks_that_were_not_grasped_earn_nothing_while_others_do():
    progress, worlds = Progress(3, 2), np.array([2, 0])
    blocks = np.array([[(0.0, 1.0), (0.5, 1.2)], [(0.0, TABLE), (0.5, 1.0)]])
    gripper = Grip(np.array([[0.0, 1.11], [0.5, 1.11]]), np.full((2, 2), 0.04))
    for _ in range(5):
        progress.update(worlds, blocks, gripper)
    assert progress.lifted.tolist() == [[False, True], [False, False], [True, False]]
    assert progress.bonus(np.arange(3)).tolist() == [1.0, 0.0, 1.0]
    assert progress.counts()["blocks_lifted"].tolist() == [1, 0, 1]
    assert progress.counts()["blocks_above"].tolist() == [0, 0, 0]
