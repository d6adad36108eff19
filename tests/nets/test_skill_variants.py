"""Skill models of every decoder, on states and on images."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lightning_skills.artefacts import Artefact
from lightning_skills.nets.conv import ConvEncoder, ConvMLP
from lightning_skills.nets.skill_model import SkillModel, SkillModelSettings, SkillOutput
from lightning_skills.phases.options import DECODERS
from tests.nets.drawings import Drawings, scenes
from tests.nets.test_conv import with_used_statistics
from tests.nets.test_open_loop import step_by_step

H, D, A = 4, 3, 2
STATES = SkillModelSettings(
    state_dim=5, action_dim=A, horizon=H, latent_dim=D, encoder_width=5, width=6, decoder_layers=2, prior_layers=2
)
IMAGES = replace(STATES, image_shape=(6, 16, 16), features=7, past_actions=1)
SETTINGS = {
    f"{name}-{decoder}": replace(settings, decoder=decoder)
    for name, settings in (("states", STATES), ("images", IMAGES))
    for decoder in DECODERS
}
every_variant = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def build(settings: SkillModelSettings) -> SkillModel:
    torch.manual_seed(0)
    return with_used_statistics(SkillModel(settings))


def window(settings: SkillModelSettings, items: int = 6) -> tuple[Tensor, Tensor]:
    """What is to be seen in each row of a window, states or images, and the actions but for the last row's."""
    torch.manual_seed(1)
    rows = settings.horizon + settings.past_actions + 1
    if settings.image_shape is None:
        seen = torch.randn(items, rows, settings.state_dim, dtype=torch.float64)
    else:
        seen = Drawings().double()(scenes(torch.randn(items, rows, 2, dtype=torch.float64)))
    return seen, torch.randn(items, rows - 1, settings.action_dim, dtype=torch.float64)


def textbook(model: SkillModel, seen: Tensor, actions: Tensor, noise: Tensor) -> SkillOutput:
    """The model step by step. The skill starts in row n; with images there is an action before it, and n = 1."""
    settings, n = model.settings, model.settings.past_actions
    if settings.decoder == "closed_loop":
        # Of images, action k goes with frames k and k + 1, of which the row of the latter consists.
        context = model.perception(seen[:, n:])[:, : actions.shape[1]]
        steps = [torch.cat([actions[:, k], context[:, k]], dim=1) for k in range(actions.shape[1])]
    elif settings.decoder == "conditioned":
        context = model.perception(seen[:, n])
        steps = [torch.cat([action, context], dim=1) for action in actions.unbind(1)]
    else:
        context = None
        steps = [*actions.unbind(1)]
    encoder = model.encoder
    outputs, _ = encoder.lstm(torch.stack([encoder.embedding(step) for step in steps]))
    mean, log_std = encoder.posterior(encoder.head(outputs[-1])).split(settings.latent_dim, dim=1)
    log_std = log_std.clamp(-10, 2)
    skill = mean + log_std.exp() * noise
    if settings.decoder == "closed_loop":
        decoded = [model.decoder(torch.cat([context[:, t], skill], dim=1)) for t in range(settings.horizon)]
        action = torch.stack(decoded, dim=1)
    else:
        action = step_by_step(model.decoder, skill, context)
    prior_mean, prior_log_std = model.prior_net(seen[:, n]).split(settings.latent_dim, dim=1)
    return SkillOutput((mean, log_std), skill, action, (prior_mean, prior_log_std.clamp(-10, 2)))


@every_variant
def test_it_is_the_model_of_the_textbook(settings, monkeypatch):
    model, (seen, actions) = build(settings), window(settings)
    noise = torch.randn(6, D, dtype=torch.float64)
    monkeypatch.setattr(torch, "randn_like", lambda x: noise)
    ours = model(seen[:, model.seen_rows], actions)
    theirs = textbook(model, seen, actions, noise)
    assert ours.action.shape == (6, H, A)
    for one, other in zip(ours, theirs, strict=True):
        for ours_, theirs_ in zip(one, other, strict=True):
            torch.testing.assert_close(ours_, theirs_)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("states-closed_loop", [0, 1, 2, 3]),
        ("states-open_loop", [0]),
        ("states-conditioned", [0]),
        ("images-closed_loop", [1, 2, 3, 4, 5]),
        ("images-open_loop", [1]),
        ("images-conditioned", [1]),
    ],
)
def test_rows_that_are_looked_at(name, rows):
    model = build(SETTINGS[name])
    assert model.window == (H + 1 if "states" in name else H + 2)
    assert [*range(model.window)][model.seen_rows] == rows


@pytest.mark.parametrize("name", SETTINGS)
def test_what_posterior_decoder_and_prior_see(name, monkeypatch):
    model, (seen, actions) = build(SETTINGS[name]), window(SETTINGS[name])
    monkeypatch.setattr(torch, "randn_like", torch.zeros_like)
    looked_at = seen[:, model.seen_rows]
    before = model(looked_at, actions)
    for row in range(looked_at.shape[1]):
        changed = looked_at.clone()
        changed[:, row] += 0.5
        after = model(changed, actions)
        posterior, action, prior = (
            not torch.equal(one, other)
            for one, other in (
                (before.posterior.mean, after.posterior.mean),
                (before.action, after.action),
                (before.prior.mean, after.prior.mean),
            )
        )
        assert prior == (row == 0)
        assert posterior == ("open_loop" not in name)
        assert action == posterior
        skill = before.skill
        if "closed_loop" in name:
            moved = ~model.decode(looked_at[:, :H], skill).isclose(model.decode(changed[:, :H], skill)).all(-1).all(0)
            assert moved.nonzero().flatten().tolist() == [row][: row < H]


@every_variant
def test_the_posterior_sees_every_action_and_the_past_one(settings):
    model, (seen, actions) = build(settings), window(settings)
    assert actions.shape[1] == H + settings.past_actions
    before = model(seen[:, model.seen_rows], actions).posterior.mean
    for step in range(actions.shape[1]):
        changed = actions.clone()
        changed[:, step] += 0.5
        assert not torch.equal(model(seen[:, model.seen_rows], changed).posterior.mean, before)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name.startswith("images")])
def test_each_convolutional_encoder_is_trained_by_its_own_losses(name):
    model, (seen, actions) = build(SETTINGS[name]).train(), window(SETTINGS[name])
    assert isinstance(model.prior_net, ConvMLP)
    assert isinstance(model.perception, ConvEncoder) == ("open_loop" not in name)
    output = model(seen[:, model.seen_rows], actions)
    names = [each for each, _ in model.named_parameters()]

    def reached(loss: Tensor) -> set[str]:
        gradients = torch.autograd.grad(loss, [*model.parameters()], retain_graph=True, allow_unused=True)
        return {each for each, gradient in zip(names, gradients, strict=True) if gradient is not None}

    of_prior = {each for each in names if each.startswith("prior_net")}
    assert any("conv" in each for each in of_prior)
    assert reached(output.prior.log_prob(output.skill.detach()).sum()) == of_prior
    assert reached((output.action - actions[:, -H:]).square().sum()) == {*names} - of_prior
    encoder_side = {each for each in names if each.startswith(("encoder", "perception"))}
    assert reached(output.posterior.kl_to_standard().sum()) == encoder_side


def test_the_conditioned_start_and_the_closed_loop_see_features_of_the_same_encoder():
    for name, inputs in (("images-closed_loop", 7 + D), ("states-closed_loop", 5 + D)):
        assert SkillModel(SETTINGS[name]).decoder.first.in_features == inputs
    for name, inputs in (("images-conditioned", 7), ("states-conditioned", 5)):
        decoder = SkillModel(SETTINGS[name]).decoder
        assert decoder.first_action.first.in_features == decoder.first_state.first.in_features == inputs
    sees = {"closed_loop": True, "conditioned": True, "open_loop": False}
    for name, settings in SETTINGS.items():
        beside = (7 if "images" in name else 5) * sees[settings.decoder]
        assert SkillModel(settings).encoder.embedding.in_features == A + beside


@every_variant
def test_the_low_level_policy_is_the_decoder_in_eval_mode(settings):
    model = build(settings).float()
    renderer = None if settings.image_shape is None else Drawings()
    states, now = np.random.default_rng(0).normal(size=(2, 8, 5)).astype(np.float32)
    observation = {"observation": states, "scene": now[:, :4]}
    skill = np.random.default_rng(1).normal(size=(8, D)).astype(np.float32)
    policy = model.low_level(renderer)
    actions = policy(observation, skill)
    assert isinstance(actions, np.ndarray)
    assert actions.dtype == np.float32
    assert actions.shape == (8, model.chunk, A)
    assert model.chunk == (1 if settings.decoder == "closed_loop" else H)
    seen = torch.from_numpy(states) if renderer is None else renderer(torch.from_numpy(observation["scene"]))
    context = None if settings.decoder == "open_loop" else seen[:, None]
    expected = model.decode(context, torch.from_numpy(skill)).detach()
    np.testing.assert_allclose(actions, expected, rtol=1e-4, atol=1e-5)
    # It acts on what it sees at present, and only that: one key of the observation, or none.
    for key in ("observation", "scene"):
        other = policy({**observation, key: observation[key] + 1}, skill)
        sees = settings.decoder != "open_loop" and key == ("observation" if renderer is None else "scene")
        assert np.array_equal(other, actions) != sees


@every_variant
def test_an_artefact_on_disk_rebuilds_the_model(settings, tmp_path):
    settings = replace(settings, trained_start=False)
    model, (seen, actions) = build(settings).float(), window(settings)
    model.to_artefact().save(tmp_path / "skills")
    again = SkillModel.from_artefact(Artefact.load(tmp_path / "skills", "skills")).eval()
    shape = None if settings.image_shape is None else [*settings.image_shape]
    assert asdict(again.settings) == asdict(replace(settings, image_shape=shape))
    assert model.state_dict().keys() == again.state_dict().keys()
    assert (again.window, again.seen_rows, again.chunk) == (model.window, model.seen_rows, model.chunk)
    results = []
    for each in (model, again):
        torch.manual_seed(2)
        output = each(seen[:, each.seen_rows].float(), actions.float())
        results.append([*output.posterior, output.skill, output.action, *output.prior])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
    starts = [p.requires_grad for name, p in again.named_parameters() if name == "decoder.start"]
    assert starts == [False] * (settings.decoder == "open_loop")
