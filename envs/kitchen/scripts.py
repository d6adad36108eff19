"""How each of the seven subtasks is done: a script of commands to the hand, which looks at the world as it goes.

A script is a generator. It yields the command of one step and goes on when that step is done, so it can wait for a
handle to be reached or a door to open. Lengths are in metres, angles in radians; the counter is before the robot, along
y; x is to the right, z up.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from envs.kitchen.arm import REST, SPEED, Command
from lightning_skills.data.batch_env import Array

Script = Iterator[Command]

AHEAD = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
"""The hand pointing at the counter, its fingers side by side."""
MICROWAVE_HINGE = np.array([-1.128, 0.455, 0.0])
CABINET_HINGE = np.array([-0.224, 0.71, 0.0])
"""Of the right door."""
BESIDE_KETTLE = np.array([-0.17, -1.1, 2.38, -2.67, -0.63, 0.75, 1.29])
AT_KETTLE = np.array([-0.54, -1.6, 2.18, -2.53, -1.12, 1.2, 1.67])
BEHIND_KETTLE = np.array([-1.73, -1.65, 1.8, -1.6, -2.21, 1.2, 2.34])
"""Postures that keep the elbow out of the way of the kettle, on its way to the back."""
PACE = (0.6, 1.1)
"""Range of the factor on all speeds of a demonstration."""
WAITS, WANDERS = 0.25, 0.25
"""Probabilities of waiting and of a detour before a subtask."""
WANDERED = np.array([[-0.5, 0.25, 2.0], [-0.05, 0.4, 2.45]])
"""Corners of the box in which detours lead."""


def by(right: float, ahead: float, up: float) -> Array:
    """A shift ``[3]``, in metres."""
    return np.array([right, ahead, up])


def rolled(angle: float) -> Array:
    """The hand turned about where it points."""
    return AHEAD @ _about_z(angle)


def _about_z(angle: float) -> Array:
    return np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])


class Hand:
    """The hand in one world, as scripts see and move it.

    Args:
        position: ``[3]``, live.
        joints: ``[30]`` of the state, live.
        sites: ``[3]`` of each site by name, live.
        jitter: Half-width of the shift of way-points, in metres.
        rng: Of all that varies.
    """

    def __init__(
        self, position: Array, joints: Array, sites: Mapping[str, Array], jitter: float, rng: np.random.Generator
    ) -> None:
        self.joints, self.rng, self.pace = joints, rng, rng.uniform(*PACE)
        self.rotation, self.closed, self.posture = AHEAD, False, REST
        self._position, self._sites, self._jitter = position, sites, jitter

    @property
    def position(self) -> Array:
        """``[3]``."""
        return self._position.copy()

    def site(self, name: str) -> Array:
        """Where a site is ``[3]``."""
        return self._sites[name].copy()

    def around(self, position: Array) -> Array:
        """A way-point, shifted at random."""
        return position + self.rng.uniform(-self._jitter, self._jitter, 3)

    def command(self, position: Array, rotation: Array, speed: float = SPEED) -> Command:
        """A step towards there."""
        self.rotation = rotation
        return Command(position, rotation, self.closed, speed * self.pace, self.posture)

    def move(self, position: Array, rotation: Array, within: float, steps: int, speed: float = SPEED) -> Script:
        """Go there, at usual pace in at most so many steps."""
        for _ in range(round(steps / self.pace)):
            if np.linalg.norm(self.position - position) < within:
                break
            yield self.command(position, rotation, speed)

    def fingers(self, closed: bool, rotation: Array, steps: int) -> Script:
        """Close or open, on the spot."""
        self.closed = closed
        position = self.position
        for _ in range(steps):
            yield self.command(position, rotation)


def between(hand: Hand) -> Script:
    """What one does between two subtasks: nothing, wait a little, or take the hand elsewhere."""
    habit = hand.rng.random()
    if habit < WAITS:
        position, rotation = hand.position, hand.rotation
        for _ in range(hand.rng.integers(2, 9)):
            yield hand.command(position, rotation)
    elif habit < WAITS + WANDERS:
        yield from hand.move(hand.rng.uniform(*WANDERED), AHEAD, 0.08, 20)


def _approach(hand: Hand, position: Array, start: Array) -> Script:
    """Go there from about ``start`` beside it, the last of the way straight."""
    yield from hand.move(hand.around(position + start), AHEAD, 0.05, 50)
    yield from hand.move(position + 0.5 * start, AHEAD, 0.015, 20)
    yield from hand.move(position, AHEAD, 0.015, 15)


def microwave(hand: Hand) -> Script:
    """Grip the handle, pull the door along its arc."""
    handle = hand.site("microhandle_site") + by(0.0, -0.01, hand.rng.uniform(-0.03, 0.03))
    end = hand.rng.uniform(-0.65, -0.5)
    hand.closed = False
    yield from _approach(hand, handle, by(0.02, -0.15, 0.02))
    yield from hand.fingers(True, AHEAD, 3)
    yield from _pull(hand, MICROWAVE_HINGE, 22, end, -0.2)
    yield from hand.fingers(False, AHEAD, 1)
    yield from hand.move(hand.position + by(0.04, -0.12, 0.03), AHEAD, 0.06, 8)


def hinge_cabinet(hand: Hand) -> Script:
    """Grip the right door's handle, pull the door along its arc."""
    handle = hand.site("hinge_site2") + by(0.0, -0.02, hand.rng.uniform(-0.08, -0.03))
    hand.closed = False
    yield from _approach(hand, handle, by(0.0, -0.14, -0.03))
    yield from hand.fingers(True, AHEAD, 3)
    yield from _pull(hand, CABINET_HINGE, 21, hand.rng.uniform(1.25, 1.32), 0.25)
    yield from hand.fingers(False, AHEAD, 1)
    yield from hand.move(hand.position + by(0.08, -0.1, -0.02), AHEAD, 0.06, 10)
    yield from hand.move(hand.position + by(0.0, 0.0, -0.3), AHEAD, 0.08, 12)


def _pull(hand: Hand, hinge: Array, joint: int, end: float, lead: float) -> Script:
    """Pull a door to an angle. The hand does not turn with it: it could not reach so far, and the handle is round."""
    arm, start = hand.position - hinge, hand.joints[joint]
    for _ in range(round(40 / hand.pace)):
        angle = hand.joints[joint] - start
        yield hand.command(hinge + _about_z(angle + lead) @ arm, AHEAD, 0.6)
        slipped = np.linalg.norm(hinge + _about_z(angle) @ arm - hand.position) > 0.1
        if slipped or abs(hand.joints[joint]) > abs(end):
            break


def kettle(hand: Hand) -> Script:
    """Grip the handle with the hand on its side, lift, carry to the back, put down."""
    rotation = rolled(-np.pi / 2)
    handle = hand.site("kettle_site") + by(hand.rng.uniform(-0.02, 0.02), 0.0, 0.0)
    goal = np.array([-0.23, 0.745]) + hand.rng.uniform(-0.03, 0.03, 2)
    hand.closed = False
    hand.posture = BESIDE_KETTLE
    yield from hand.move(hand.around(handle + by(0.0, -0.18, 0.03)), rotation, 0.05, 50)
    hand.posture = AT_KETTLE
    yield from hand.move(handle + by(0.0, -0.1, 0.0), rotation, 0.015, 20)
    yield from hand.move(handle + by(0.0, -0.02, 0.01), rotation, 0.015, 20, 0.5)
    yield from hand.fingers(True, rotation, 4)
    height = hand.position[2]
    yield from hand.move(hand.position + by(0.0, 0.0, 0.05), rotation, 0.03, 8, 0.4)
    hand.posture = BEHIND_KETTLE
    for _ in range(50):
        rest = np.clip(goal - hand.joints[23:25], -0.05, 0.05)
        yield hand.command(np.array([*(hand.position[:2] + rest), height + 0.06]), rotation, 0.5)
        slipped = np.linalg.norm(hand.site("kettle_site") - hand.position) > 0.1
        if slipped or hand.joints[24] > goal[1] - 0.02:
            break
    yield from hand.move(np.array([*hand.position[:2], height + 0.005]), rotation, 0.015, 8)
    yield from hand.fingers(False, rotation, 2)
    yield from hand.move(np.array([hand.position[0], 0.45, height]), rotation, 0.06, 20)
    hand.posture = REST
    yield from hand.move(np.array([hand.position[0], 0.3, height + 0.05]), AHEAD, 0.06, 15)


def bottom_burner(hand: Hand) -> Script:
    """Turn the lower left knob."""
    return _turn(hand, "knob2_site", 11)


def top_burner(hand: Hand) -> Script:
    """Turn the upper left knob."""
    return _turn(hand, "knob4_site", 15)


def _turn(hand: Hand, site: str, joint: int) -> Script:
    """Grip a knob and turn it by rolling the hand."""
    knob = hand.site(site) + by(0.0, -0.03, 0.0)
    end = hand.rng.uniform(-0.96, -0.76)
    hand.closed = False
    yield from _approach(hand, knob, by(0.0, -0.12, 0.0))
    yield from hand.fingers(True, AHEAD, 2)
    angle = 0.0
    for _ in range(30):
        angle = min(angle + 0.2 * hand.pace, 1.3)
        yield hand.command(knob, rolled(angle))
        if hand.joints[joint] < end:
            break
    yield from hand.fingers(False, rolled(-hand.joints[joint]), 2)
    yield from hand.move(knob + by(0.0, -0.12, 0.0), AHEAD, 0.05, 12)


def light_switch(hand: Hand) -> Script:
    """Sweep the switch to the left with closed fingers."""
    switch = hand.site("light_site") + by(0.0, -0.03, hand.rng.uniform(0.0, 0.02))
    end = hand.rng.uniform(-0.66, -0.55)
    hand.closed = True
    yield from _approach(hand, switch + by(0.085, -0.005, 0.0), by(0.03, -0.12, 0.0))
    for _ in range(30):
        yield hand.command(np.array([hand.position[0] - 0.05, *switch[1:]]), AHEAD, 0.5)
        if hand.joints[17] < end:
            break
    yield from hand.move(hand.position + by(0.02, -0.13, 0.0), AHEAD, 0.05, 10)


def slide_cabinet(hand: Hand) -> Script:
    """Grip the handle and drag the door to the right."""
    handle = hand.site("slide_site") + by(0.0, -0.025, hand.rng.uniform(-0.09, -0.03))
    end = hand.rng.uniform(0.25, 0.38)
    hand.closed = False
    yield from _approach(hand, handle, by(0.05, -0.14, -0.06))
    yield from hand.fingers(True, AHEAD, 2)
    for _ in range(40):
        yield hand.command(np.array([hand.position[0] + 0.1, *handle[1:]]), AHEAD, 0.6)
        if hand.joints[19] > end:
            break
    yield from hand.fingers(False, AHEAD, 1)
    yield from hand.move(hand.position + by(0.0, -0.14, -0.03), AHEAD, 0.05, 10)


SCRIPTS: Mapping[str, Callable[[Hand], Script]] = {
    "bottom burner": bottom_burner,
    "top burner": top_burner,
    "light switch": light_switch,
    "slide cabinet": slide_cabinet,
    "hinge cabinet": hinge_cabinet,
    "microwave": microwave,
    "kettle": kettle,
}
"""For each of :data:`envs.kitchen.tasks.SUBTASKS`."""
