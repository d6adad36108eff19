import pytest
import torch

from lightning_skills.artefacts import Artefact
from lightning_skills.nets.skill_model import SkillEncoder, SkillModel, SkillModelSettings

SETTINGS = SkillModelSettings(
    state_dim=4, action_dim=2, horizon=5, latent_dim=3, encoder_width=6, width=8, decoder_layers=2, prior_layers=3
)


@pytest.fixture
def model() -> SkillModel:
    torch.manual_seed(0)
    return SkillModel(SETTINGS)


def cell_by_cell(encoder: SkillEncoder, sequence: torch.Tensor) -> torch.Tensor:
    """Embed, one LSTMCell a step, head on the last: the textbook form of the encoder."""
    width = encoder.lstm.hidden_size
    cell = torch.nn.LSTMCell(width, width).to(sequence.dtype)
    for own, source in zip(cell.parameters(), encoder.lstm.parameters(), strict=True):
        own.data = source.data
    h = c = sequence.new_zeros(len(sequence), width)
    for x in encoder.embedding(sequence).unbind(1):
        h, c = cell(x, (h, c))
    return encoder.posterior(encoder.head(h))


def test_the_encoder_is_the_textbook_lstm():
    torch.manual_seed(0)
    encoder = SkillEncoder(6, latent_dim=3, encoder_width=5, width=8).double()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.5)
    sequence = torch.randn(4, 5, 6, dtype=torch.float64)
    mean, log_std = cell_by_cell(encoder, sequence).chunk(2, -1)
    posterior = encoder(sequence)
    torch.testing.assert_close(posterior.mean, mean)
    torch.testing.assert_close(posterior.log_std, log_std.clamp(-10, 2))


def test_both_forget_gate_biases_start_at_one(model):
    for bias in (model.encoder.lstm.bias_ih_l0, model.encoder.lstm.bias_hh_l0):
        assert bias[8:16].eq(1).all()
        assert not bias[:8].eq(1).any()
        assert not bias[16:].eq(1).any()


def test_layer_counts(model):
    assert len(model.decoder.hidden) == len(model.decoder.norms) == 2
    assert len(model.prior_net.hidden) == len(model.prior_net.norms) == 3


def test_the_decoder_sees_the_state_of_each_step_and_the_prior_only_the_first(model):
    model.eval()
    states, actions = torch.randn(2, 5, 4), torch.randn(2, 5, 2)
    changed = states.clone()
    changed[:, 3] += 1
    skill = torch.randn(2, 3)
    same = model.decode(states, skill).isclose(model.decode(changed, skill)).all(-1).all(0)
    assert same.tolist() == [True, True, True, False, True]
    assert torch.equal(model(states, actions).prior.mean, model(changed, actions).prior.mean)
    assert not torch.equal(model(states, actions).posterior.mean, model(changed, actions).posterior.mean)


def test_the_prior_knows_the_first_state_and_no_other(model):
    model.eval()
    states, actions = torch.randn(2, 5, 4), torch.randn(2, 5, 2)
    prior = model(states, actions).prior
    for step in range(5):
        changed = states.clone()
        changed[:, step] += 1
        other = model(changed, actions).prior
        assert all(torch.equal(*pair) != (step == 0) for pair in zip(prior, other, strict=True))


def test_the_decoder_is_given_a_sample_of_the_posterior_and_not_its_mean(model):
    model.eval()
    states, actions = torch.randn(2, 5, 4), torch.randn(2, 5, 2)
    one, other = model(states, actions), model(states, actions)
    assert torch.equal(one.posterior.mean, other.posterior.mean)
    assert not torch.equal(one.skill, other.skill)
    for output in (one, other):
        torch.testing.assert_close(output.action, model.decode(states, output.skill))
    assert not one.action.isclose(other.action).any()


def test_reconstruction_trains_the_encoder_through_the_sample(model):
    states, actions = torch.randn(6, 5, 4), torch.randn(6, 5, 2)
    error = (model(states, actions).action - actions).square().mean()
    gradients = torch.autograd.grad(error, [*model.encoder.parameters()])
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    to_mean, to_log_std = gradients[-1].chunk(2)
    assert (to_mean != 0).all()
    assert (to_log_std != 0).all()


def test_linear_maps_of_the_encoder_start_xavier_normal_without_bias():
    torch.manual_seed(0)
    encoder = SkillEncoder(150, latent_dim=100, encoder_width=250, width=200)
    for linear in (encoder.embedding, encoder.head, encoder.posterior):
        spread = (2 / (linear.in_features + linear.out_features)) ** 0.5
        assert linear.weight.std().item() == pytest.approx(spread, rel=0.02)
        assert (linear.weight.abs() < spread).float().mean().item() == pytest.approx(0.683, abs=0.01), "not normal"
        assert not linear.bias.any()


def test_the_low_level_policy_is_the_decoder_in_eval_mode(model):
    for _ in range(3):
        model.decode(torch.randn(8, 5, 4), torch.randn(8, 3))
    model.eval()
    states, skills = torch.randn(6, 4), torch.randn(6, 3)
    ours = torch.from_numpy(model.low_level(None)({"observation": states.numpy()}, skills.numpy()))[:, 0]
    torch.testing.assert_close(ours, model.decode(states[:, None], skills)[:, 0], rtol=1e-4, atol=1e-5)


def test_an_artefact_on_disk_rebuilds_the_model(model, tmp_path):
    model.to_artefact().save(tmp_path / "skills")
    again = SkillModel.from_artefact(Artefact.load(tmp_path / "skills", "skills"))
    assert again.settings == SETTINGS
    for ours, theirs in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
