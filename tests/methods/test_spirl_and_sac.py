import subprocess
import sys

import pytest

from lightning_skills.phases.base import PhaseModule
from lightning_skills.plugins import resolve
from methods import sac, spirl


@pytest.mark.parametrize("method", [spirl.METHOD, sac.METHOD], ids=lambda method: method.name)
def test_every_phase_resolves_and_every_preset_names_an_option(method):
    assert all(issubclass(resolve(phase.module), PhaseModule) for phase in method.phases)
    config = method.config()
    for overrides in (method.smoke, *method.presets.values()):
        for key in overrides:
            phase, option = key.split(".")
            assert hasattr(getattr(config, phase), option), key


@pytest.mark.parametrize("name", ["spirl", "sac"])
def test_listing_does_not_load_torch(name):
    code = f"import sys; from methods.{name} import METHOD; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_sac_is_entropy_regularised_on_primitive_actions():
    options = sac.METHOD.config().rl
    assert (options.policy, options.regulariser, options.target_divergence) == ("scratch", "entropy", None)
    assert options.bound == 1.0
    assert sac.METHOD.requires == frozenset()
