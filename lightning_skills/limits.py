"""Limits of options, written where the option is: ``lr: float = positive(1e-3)``. Importable without torch.

:mod:`lightning_skills.config` checks them once a config is composed, so that a message can name the option in full.
None, where an option's type allows it, lies within every limit.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from lightning_skills.errors import InputError

Value = TypeVar("Value")
KEY = "limit"


@dataclass(frozen=True)
class Limit:
    """What a value must satisfy.

    Args:
        holds: Whether a value does.
        demand: The end of the sentence "seed is -1; ...".
    """

    holds: Callable[[Any], bool]
    demand: str


def _option(default: Value, holds: Callable[[Any], bool], demand: str) -> Value:
    limited: Value = field(default=default, metadata={KEY: Limit(holds, demand)})
    return limited


def positive(default: Value) -> Value:
    """An option that is a finite number above 0."""
    return _option(default, lambda value: 0 < value < math.inf, "it must be positive")


def at_least(low: float, default: Value) -> Value:
    """An option that is a finite number, ``low`` or more."""
    return _option(default, lambda value: low <= value < math.inf, f"it must be at least {low}")


def within(low: int, high: int, default: Value) -> Value:
    """An option that is a number from ``low`` to ``high``, both included."""
    return _option(default, lambda value: low <= value <= high, f"it must be from {low} to {high}")


def one_of(choices: Sequence[Any], default: Value) -> Value:
    """An option that is one of ``choices``."""
    return _option(default, lambda value: value in choices, f"choose one of {', '.join(map(str, choices))}")


def check(options: Any, name: str = "") -> None:
    """Hold every field of a dataclass, and of those inside it, against its limit.

    Args:
        options: An instance.
        name: What it is called, for the message.

    Raises:
        InputError: names the option, its value and what it must be.
    """
    for item in fields(options):
        value, path = getattr(options, item.name), f"{name}.{item.name}" if name else item.name
        limit = item.metadata.get(KEY)
        if limit is not None and value is not None and not limit.holds(value):
            raise InputError(f"{path} is {value!r}; {limit.demand}")
        if is_dataclass(value):
            check(value, path)
