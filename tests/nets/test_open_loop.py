import pytest
import torch

from lightning_skills.nets.mlp import MLP
from lightning_skills.nets.open_loop import OpenLoopDecoder
from tests.nets.test_conv import with_used_statistics


def build(horizon: int = 5, context_dim: int | None = None, **options) -> OpenLoopDecoder:
    torch.manual_seed(0)
    decoder = OpenLoopDecoder(3, 2, horizon, width=6, context_dim=context_dim, **options)
    return with_used_statistics(decoder)


def step_by_step(decoder: OpenLoopDecoder, skill: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
    """Each step embeds the last predicted action and the skill, runs an LSTM cell and predicts the next action."""
    width = decoder.lstm.hidden_size
    cell = torch.nn.LSTMCell(width, width).to(skill)
    for name, parameter in zip(
        ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), decoder.lstm.parameters(), strict=True
    ):
        delattr(cell, name)
        setattr(cell, name, parameter)
    if context is None:
        action, h, c = (part.repeat(len(skill), 1) for part in decoder.start[None].split([2, width, width], dim=1))
    else:
        action, h, c = decoder.first_action(context), *decoder.first_state(context).split(width, dim=1)
    actions = []
    for _ in range(decoder.horizon):
        h, c = cell(decoder.embedding(torch.cat([action, skill], dim=1)), (h, c))
        action = decoder.head(h)
        actions.append(action)
    return torch.stack(actions, dim=1)


@pytest.mark.parametrize("context_dim", [None, 4])
@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_it_is_the_autoregressive_lstm_and_so_are_its_gradients(horizon, context_dim):
    decoder = build(horizon, context_dim).train()
    skill = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    context = None
    inputs = [skill, *decoder.parameters()]
    if context_dim is not None:
        context = torch.randn(7, context_dim, dtype=torch.float64, requires_grad=True)
        inputs.append(context)
    ours, theirs = decoder(skill, context), step_by_step(decoder, skill, context)
    assert ours.shape == (7, horizon, 2)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(ours)
    found, expected = (torch.autograd.grad((weights * out).sum(), inputs) for out in (ours, theirs))
    torch.testing.assert_close(found, expected)
    assert all(gradient.any() for gradient in found)


def test_it_starts_from_zeros_that_are_trained_or_not():
    for trained in (True, False):
        decoder = OpenLoopDecoder(3, 2, 5, 6, trained_start=trained)
        assert decoder.start.shape == (2 + 6 + 6,)
        assert not decoder.start.any()
        assert decoder.start.requires_grad == trained
    assert OpenLoopDecoder(3, 2, 5, 6).start.requires_grad


def test_a_conditioned_decoder_predicts_its_start_by_two_mlps_of_the_priors_depth():
    decoder = OpenLoopDecoder(3, 2, 5, 6, context_dim=4)
    assert decoder.start is None
    for mlp, outputs in ((decoder.first_action, 2), (decoder.first_state, 12)):
        assert isinstance(mlp, MLP)
        sizes = (mlp.first.in_features, mlp.first.out_features, mlp.last.out_features)
        assert sizes == (4, 6, outputs)
        assert len(mlp.hidden) == len(mlp.norms) == 6


def test_both_biases_of_the_forget_gate_start_at_one_and_linear_maps_xavier_normal():
    torch.manual_seed(0)
    decoder = OpenLoopDecoder(100, 60, 5, width=200)
    for bias in (decoder.lstm.bias_ih_l0, decoder.lstm.bias_hh_l0):
        assert bias[200:400].eq(1).all()
        assert bias[:200].abs().max() < 0.1
        assert bias[400:].abs().max() < 0.1
    assert decoder.lstm.weight_hh_l0.abs().max().item() == pytest.approx(200**-0.5, rel=0.01), "torch's own"
    for linear in (decoder.embedding, decoder.head):
        spread = (2 / (linear.in_features + linear.out_features)) ** 0.5
        assert linear.weight.std().item() == pytest.approx(spread, rel=0.03)
        assert not linear.bias.any()
