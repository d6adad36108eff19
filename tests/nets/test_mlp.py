import copy

import numpy as np
import pytest
import torch

from lightning_skills.nets.mlp import MLP, AffineChain, initialise_like_rlkit, torch_mlp
from lightning_skills.nets.numpy_mlp import NumpyMLP


def with_used_statistics(mlp: MLP) -> MLP:
    """BatchNorm's statistics and affine part away from their initial values."""
    mlp.train()
    for _ in range(5):
        mlp(torch.randn(64, mlp.first.in_features) * 3 + 1)
    for norm in mlp.norms:
        torch.nn.init.normal_(norm.weight, 1.0, 0.3)
        torch.nn.init.normal_(norm.bias, 0.0, 0.3)
    return mlp.eval()


def layer_by_layer(mlp: MLP, x: torch.Tensor) -> torch.Tensor:
    x = torch.nn.functional.leaky_relu(mlp.first(x), 0.2)
    for index, linear in enumerate(mlp.hidden):
        x = linear(x)
        x = mlp.norms[index](x) if mlp.norms else x
        x = torch.nn.functional.leaky_relu(x, 0.2)
    return mlp.last(x)


def test_n_hidden_layers_are_n_plus_2_weights_and_the_normalised_ones_have_no_bias():
    plain, normalised = MLP(3, 2, layers=4, width=8), MLP(3, 2, layers=4, width=8, normalised=True)
    assert sum(p.ndim == 2 for p in plain.parameters()) == 6
    assert sum(p.numel() for p in plain.parameters()) == (3 * 8 + 8) + 4 * (64 + 8) + (8 * 2 + 2)
    assert sum(p.numel() for p in normalised.parameters()) == (3 * 8 + 8) + 4 * (64 + 16) + (8 * 2 + 2)


def test_weights_are_xavier_normal_and_biases_zero():
    mlp = MLP(256, 256, layers=1, width=256)
    assert mlp.hidden[0].weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert all(not p.any() for p in mlp.parameters() if p.ndim == 1)


def test_rlkit_scales_weights_by_outputs():
    """Its `fanin_init` takes the wrong axis, and what was published was trained with that."""
    mlp = MLP(3, 2, layers=1, width=100)
    initialise_like_rlkit(mlp, last=5e-3)
    for linear in (mlp.first, *mlp.hidden):
        assert 0.095 < linear.weight.abs().max() <= 0.1
        assert (linear.bias == 0.1).all()
    assert all(2.5e-3 < parameter.abs().max() <= 5e-3 for parameter in mlp.last.parameters() if parameter.numel() > 2)


def test_a_torch_mlp_has_that_many_hidden_layers_and_torchs_weights():
    mlp = torch_mlp(400, 300, layers=3, width=100)
    assert [linear.weight.shape for linear in (mlp.first, *mlp.hidden)] == [(100, 400), (100, 100), (100, 100)]
    for linear, bound in ((mlp.first, 0.05), *((linear, 0.1) for linear in (*mlp.hidden, mlp.last))):
        for parameter in linear.parameters():
            assert 0.9 * bound < parameter.abs().max() <= bound
    assert mlp.slope == 0


def test_training_mode_normalises_over_all_leading_axes():
    mlp = MLP(5, 3, layers=2, width=16, normalised=True).train()
    x = torch.randn(4, 6, 5)
    torch.testing.assert_close(mlp(x), layer_by_layer(mlp, x.flatten(0, 1)).view(4, 6, 3))


@pytest.mark.parametrize("worlds", [1, 64])
@pytest.mark.parametrize("normalised", [False, True])
def test_numpy_equals_torch(worlds, normalised):
    torch.manual_seed(0)
    mlp = with_used_statistics(MLP(14, 2, layers=3, width=32, normalised=normalised))
    x = np.random.default_rng(0).normal(size=(worlds, 14)).astype(np.float32)
    out = NumpyMLP(mlp)(x)
    assert out.dtype == np.float32
    reference = layer_by_layer(copy.deepcopy(mlp).double(), torch.from_numpy(x).double())
    np.testing.assert_allclose(out, reference.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_the_numpy_copy_keeps_its_weights():
    mlp, x = MLP(3, 2, layers=1, width=8), np.ones((1, 3), dtype=np.float32)
    copied = NumpyMLP(mlp)
    before = copied(x)
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter.add_(1.0)
    np.testing.assert_array_equal(copied(x), before)


@pytest.mark.parametrize("normalised", [False, True])
def test_the_gradients_of_a_chain_are_right(normalised):
    torch.manual_seed(0)
    mlp = with_used_statistics(MLP(3, 2, layers=2, width=5, normalised=normalised)).double()
    parameters = [parameter.detach().requires_grad_() for layer in mlp.affine_maps() for parameter in layer]
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *maps: AffineChain.apply(x, None, 0.2, *maps), (x, *parameters))
    found = torch.autograd.grad(mlp(x).square().sum(), [x, *mlp.parameters()])
    expected = torch.autograd.grad(layer_by_layer(mlp, x).square().sum(), [x, *mlp.parameters()])
    torch.testing.assert_close(found, expected)


def test_one_pass_teaches_by_some_rows_and_steers_by_the_others():
    torch.manual_seed(0)
    mlp = MLP(3, 1, layers=2, width=5).double()
    x = torch.randn(10, 3, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(10, 1, dtype=torch.float64)
    weights[[6, 7, 9]] = 0
    out = mlp(x, learning=4)
    found = torch.autograd.grad((weights * out).sum(), [x, *mlp.parameters()])
    reference = layer_by_layer(mlp, x)
    taught = torch.autograd.grad((weights * reference)[:4].sum(), [*mlp.parameters()], retain_graph=True)
    (steered,) = torch.autograd.grad((weights * reference)[4:].sum(), x)
    torch.testing.assert_close(out, reference)
    torch.testing.assert_close(found, (steered, *taught))


def test_a_chain_without_trained_maps_passes_the_gradient_on():
    mlp = MLP(3, 2, layers=1, width=5).requires_grad_(False)
    x = torch.randn(4, 3, requires_grad=True)
    (found,) = torch.autograd.grad(mlp(x).sum(), x)
    torch.testing.assert_close(found, torch.autograd.grad(layer_by_layer(mlp, x).sum(), x)[0])
