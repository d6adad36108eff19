"""Steps the environment while the learner updates, one step of all worlds ahead of it."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from tensordict import TensorDictBase


class Ahead:
    """Hands out steps that were begun one call earlier, and begins the next.

    The policy chooses an action before :meth:`rollout` returns; only its execution, which is the environment's work,
    goes on in the background. So the transitions depend on nothing but the order of calls: each action is chosen with
    the policy, and the random stream, as they are when the step before it is handed out.

    Args:
        rollout: Makes a step; the policy it asks calls :meth:`chosen`, then comes the environment.
    """

    def __init__(self, rollout: Callable[[], TensorDictBase]) -> None:
        self._rollout, self._chosen = rollout, Event()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="collector")
        self._next: Future[TensorDictBase] | None = None

    def chosen(self) -> None:
        """The policy has chosen: what follows may go on in the background."""
        self._chosen.set()

    def rollout(self) -> TensorDictBase:
        """The step that was begun last; the very first is made at once."""
        step = self._rollout() if self._next is None else self._next.result()
        self._chosen.clear()
        self._next = self._executor.submit(self._begin)
        self._chosen.wait()
        return step

    def _begin(self) -> TensorDictBase:
        try:
            return self._rollout()
        finally:  # also of a policy that fails
            self._chosen.set()

    def pending(self) -> TensorDictBase | None:
        """The step that the next call will hand out; None before the first. Waits for it."""
        return None if self._next is None else self._next.result()

    def resume(self, step: TensorDictBase) -> None:
        """Hand out this step next."""
        self._next = Future()
        self._next.set_result(step)

    def close(self) -> None:
        """Wait for the step under way and end the thread."""
        self._executor.shutdown()
