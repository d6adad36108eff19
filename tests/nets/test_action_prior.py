from dataclasses import asdict, replace

import pytest
import torch

from lightning_skills.artefacts import Artefact
from lightning_skills.nets.action_prior import ActionPrior, ActionPriorSettings
from lightning_skills.nets.conv import ConvMLP
from tests.nets.test_conv import with_used_statistics

STATES = ActionPriorSettings(state_dim=5, action_dim=2, layers=3, width=6, image_shape=None, features=7)
both = pytest.mark.parametrize("settings", [STATES, replace(STATES, image_shape=(6, 16, 16))], ids=["states", "images"])


@both
def test_it_is_a_gaussian_over_one_action(settings):
    prior = ActionPrior(settings)
    mlp = prior.prior_net.mlp if isinstance(prior.prior_net, ConvMLP) else prior.prior_net
    assert (mlp.first.in_features, mlp.last.out_features) == (5 if settings.image_shape is None else 7, 4)
    assert (len(mlp.hidden), len(mlp.norms), mlp.first.out_features) == (3, 3, 6)
    seen = torch.randn(9, *(settings.image_shape or (5,)))
    mean, log_std = prior.prior(seen)
    assert mean.shape == log_std.shape == (9, 2)
    # To an actor-critic, its skills are actions, one primitive step each, that nothing decodes.
    assert (prior.latent_dim, prior.horizon, prior.chunk, prior.low_level(None)) == (2, 1, 1, None)


@both
def test_an_artefact_on_disk_rebuilds_it(settings, tmp_path):
    prior = with_used_statistics(ActionPrior(settings)).float()
    prior.to_artefact().save(tmp_path / "prior")
    again = ActionPrior.from_artefact(Artefact.load(tmp_path / "prior", "action_prior")).eval()
    assert {**asdict(again.settings), "image_shape": None} == {**asdict(settings), "image_shape": None}
    seen = torch.randn(9, *(settings.image_shape or (5,)))
    for ours, theirs in zip(prior.prior(seen), again.prior(seen), strict=True):
        assert torch.equal(ours, theirs)
