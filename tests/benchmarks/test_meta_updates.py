import dataclasses

import pytest

from benchmarks.comparison import CPU, measure
from benchmarks.meta_updates import SETTINGS, meta_training


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.sizes)
def test_every_comparison_can_be_made(setting):
    small = [word for word in setting.words if not word.startswith("method.")]
    timing = measure(meta_training(dataclasses.replace(setting, words=(*small, "debug=smoke"))), 0.0, 2, CPU)
    for rates in (timing.ours, timing.plain, timing.products):
        assert rates.shape == (2,)
        assert (rates > 0).all()
    assert timing.multiply_adds > 0
