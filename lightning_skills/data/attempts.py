"""Demonstrations that are tried until enough of them succeed."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from lightning_skills.errors import InputError

Attempt = TypeVar("Attempt")

GIVE_UP = 100
"""Attempts in a row that may fail."""


def successes(
    attempts: Iterable[Attempt], failed: Callable[[Attempt], bool], hint: str
) -> Iterator[tuple[Attempt, list[Attempt]]]:
    """Those that succeed, each with the failed ones since the one before.

    Args:
        attempts: In order; they need not end.
        failed: Whether an attempt did.
        hint: What to change where too many do, the end of the message.

    Raises:
        InputError: if :data:`GIVE_UP` in a row fail.
    """
    dropped: list[Attempt] = []
    for attempt in attempts:
        if not failed(attempt):
            yield attempt, dropped
            dropped = []
            continue
        dropped.append(attempt)
        if len(dropped) == GIVE_UP:
            raise InputError(f"{GIVE_UP} demonstrations in a row failed; {hint}")
