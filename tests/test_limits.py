import math
from dataclasses import dataclass, field

import pytest

from lightning_skills import limits
from lightning_skills.errors import InputError


@dataclass(frozen=True)
class Inner:
    rate: float = limits.positive(1.0)


@dataclass(frozen=True)
class Options:
    count: int = limits.at_least(2, 3)
    share: float = limits.within(0, 1, 0.5)
    size: int | None = limits.at_least(1, None)
    kind: str = limits.one_of(("a", "b"), "a")
    free: float = -1.0
    inner: Inner = field(default_factory=Inner)


def test_values_on_the_limit_pass_and_defaults_stay():
    assert Options() == Options(3, 0.5, None, "a", -1.0, Inner(1.0))
    limits.check(Options(count=2, share=0, size=1, kind="b"))
    limits.check(Options(share=1, inner=Inner(1e-9)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(count=1), "x.count is 1; it must be at least 2"),
        (Options(share=1.1), "x.share is 1.1; it must be from 0 to 1"),
        (Options(share=math.nan), "x.share is nan; it must be from 0 to 1"),
        (Options(size=0), "x.size is 0; it must be at least 1"),
        (Options(kind="c"), "x.kind is 'c'; choose one of a, b"),
        (Options(inner=Inner(0.0)), "x.inner.rate is 0.0; it must be positive"),
        (Options(inner=Inner(math.inf)), "x.inner.rate is inf; it must be positive"),
    ],
)
def test_a_value_beyond_its_limit_is_named_in_full(options, message):
    with pytest.raises(InputError) as error:
        limits.check(options, "x")
    assert str(error.value) == message
