"""The kitchen environment: D4RL's rewards, noise and control over a batch of MuJoCo simulations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from envs.batch import MuJoCoBatch, usable_threads
from envs.kitchen import credit, model, pictures, tasks
from envs.kitchen.config import KitchenConfig
from envs.kitchen.noise import AMPLITUDE, Noise
from envs.kitchen.tasks import SUBTASKS, KitchenTask
from lightning_skills.data.batch_env import Array, EnvInfo, Observation, State, TaskDistribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KNOWN = tuple(SUBTASKS)
"""The columns of what is done."""
ROBOT = 9
"""The first joints of the state: seven of the arm and two fingers."""
SUBSTEPS = 40
"""Simulator steps of 0.002 s in one step."""
MAX_VELOCITY = 2.0
"""Of a joint at a full action, in rad/s (fingers: m/s)."""
LOWEST = np.array([-2.9, -1.8, -2.9, -3.1, -2.9, 0.0, -2.9, 0.0, 0.0])
HIGHEST = np.array([2.9, 1.8, 2.9, 0.0, 2.9, 3.8, 2.9, 0.04, 0.04])
"""Positions to which the controller may be sent."""
START = np.array(
    [
        *(0.148388023, -1.76848573, 1.84390296, -2.47685760, 0.260252026, 0.712533105, 1.59515394),
        *(0.0479267505, 0.0371350919),
        *(-2.66279850e-4, -5.18043486e-5, 3.12877220e-5, -4.51199853e-5, -3.90842156e-6, -4.22629655e-5),
        *(6.28065475e-5, 4.04984708e-5, 4.62730939e-4, -2.26906415e-4),
        *(-4.65501369e-4, -6.44129196e-3, -1.77048263e-3, 1.08009684e-3),
        *(-0.269397440, 0.350383255, 1.61944683, 1.00618764, 4.06395120e-3, -6.62095997e-3, -2.68278933e-4),
    ]
)
"""The pose in which every episode starts, at rest (D4RL's)."""


class KitchenEnv(MuJoCoBatch):
    """N kitchens with a Franka arm, and for each a task of subtasks, each of which pays 1 once.

    The state is 30 joint positions: arm 7, fingers 2, objects 21. They are observed with uniform noise; rewards and
    control follow from what is observed, as in D4RL. An action in [-1, 1] is a velocity of each of the robot's joints;
    the controller is sent to the observed position plus 0.08 s of it. An episode ends, with success, when all subtasks
    are paid for. The observation is the state followed by the goal.

    ``batch`` gives a demonstrator Jacobians and, once bound, sites; these fit the state after a ``refresh``.

    Args:
        pursued: What is paid for; several tasks have as many subtasks and show the same goal.
        seeds: One per world.
        ordered: Whether a subtask pays only once all before it have.
        goal: Whether the goal is observed.
        noise: Ratio of observation noise.
        horizon: Steps of an episode.
        threads: Native threads; they do not change what happens.
        simulated: The model; by default the lean one, whose dynamics are those of the whole.
        names: Of the tasks, if there are several.
    """

    def __init__(
        self,
        pursued: Sequence[KitchenTask],
        seeds: Sequence[int],
        ordered: bool = True,
        goal: bool = True,
        noise: float = 0.1,
        horizon: int = 280,
        threads: int = 1,
        simulated: mujoco.MjModel | None = None,
        names: TaskDistribution | None = None,
    ) -> None:
        self.model = simulated or model.lean()
        super().__init__(self.model, seeds, threads)
        self.pursued = pursued
        self.goal = credit.goal(pursued[0].shown) if goal else np.zeros(0)
        observed = credit.STATE_DIM + len(self.goal)
        self.info = EnvInfo({"observation": (observed,)}, action_dim=ROBOT, horizon=horizon, tasks=names)
        self.observed = np.zeros((self.num_worlds, credit.STATE_DIM))
        """``[N, 30]``, the noisy state that the controller starts from."""
        self._order = np.array([[KNOWN.index(name) for name in task.subtasks] for task in pursued])
        self._remaining = np.ones((self.num_worlds, self._order.shape[1]), dtype=bool)
        self._ordered = ordered
        self._amplitude = noise * AMPLITUDE
        self._noise = Noise(self.num_worlds, credit.STATE_DIM)
        self._start = self._starting_state()
        self.reset()

    def _starting_state(self) -> Array:
        self.batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
        self.batch.bind("qpos")[:] = START
        self.batch.forward()  # up to accelerations, from which the solver starts
        return self.batch.state[0].copy()

    def _reset(self, worlds: Array) -> None:
        self.batch.state[worlds] = self._start
        self._remaining[worlds] = True
        self._noise.forget(worlds)
        self._look(worlds)

    def _look(self, worlds: Array) -> None:
        noise = self._amplitude * self._noise.draw(self.rngs, worlds)
        self.observed[worlds] = self.batch.bind("qpos")[worlds] + noise

    def _step(self, action: Array, worlds: Array) -> tuple[Array, Array, Array]:
        velocity = MAX_VELOCITY * action.astype(np.float64)
        target = self.observed[worlds, :ROBOT] + velocity * (SUBSTEPS * self.model.opt.timestep)
        self.simulate(np.clip(target, LOWEST, HIGHEST), worlds, SUBSTEPS, poses=False)
        self._look(worlds)
        order = self._order[self.task_index[worlds]]
        done = np.take_along_axis(credit.done(self.observed[worlds], KNOWN), order, axis=1)
        paid = credit.paid(done, self._remaining[worlds], self._ordered)
        self._remaining[worlds] &= ~paid
        success = ~self._remaining[worlds].any(axis=1)
        return paid.sum(axis=1), success, success

    def _observe(self) -> Observation:
        goal = np.broadcast_to(self.goal, (self.num_worlds, len(self.goal)))
        return {"observation": np.concatenate([self.observed, goal], axis=1, dtype=np.float32)}

    def _get_state(self) -> State:
        own = {"observed": self.observed.copy(), "remaining": self._remaining.copy()}
        return {**super()._get_state(), **own, **self._noise.get_state()}

    def _set_state(self, state: State) -> None:
        super()._set_state(state)
        self.observed, self._remaining = state["observed"].copy(), state["remaining"].copy()
        self._noise.set_state(state)

    def visited(self, trajectory: Array) -> Array:
        """Which of the seven subtasks ``[7]`` were done at some time, in whatever order."""
        return np.asarray(credit.done(trajectory, KNOWN).any(axis=0))

    def draw(self, axes: "Axes", trajectories: Sequence[Array], task: int | None = None) -> bool:
        """Draw pictures of the trajectory (of several, each ``[T, S]``) in which most subtasks are done.

        Those of the task; among several tasks, if it is not said which, all that there are.
        """
        camera = pictures.open_camera()
        if camera is None:
            return False
        unsaid = task is None and len(self.pursued) > 1
        subtasks = KNOWN if unsaid else self.pursued[task or 0].subtasks
        counts = [int(credit.done(path, subtasks).any(axis=0).sum()) for path in trajectories]
        pictures.draw(axes, camera, trajectories[int(np.argmax(counts))])
        axes.set_xlabel(f"{max(counts)} of {len(subtasks)} subtasks")
        return True

    def film(self, trajectory: Array) -> Array | None:
        """Frames ``[F, height, width, 3]`` uint8 of one trajectory ``[T, S]``, at most 94; None: no OpenGL."""
        camera = pictures.open_camera()
        return None if camera is None else pictures.film(camera, trajectory)


def make(config: KitchenConfig, seeds: Sequence[int]) -> KitchenEnv:
    """The environment that options describe, with one world per seed.

    Raises:
        InputError: if there is no such task, or gymnasium-robotics is not installed.
    """
    threads = config.threads or usable_threads(len(seeds))
    pursued, names = tasks.pursue(config)
    return KitchenEnv(pursued, seeds, config.ordered, config.goal, config.noise, config.horizon, threads, names=names)
