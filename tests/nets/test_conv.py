import copy

import pytest
import torch
from torch.nn import functional

from lightning_skills.errors import InputError
from lightning_skills.nets.conv import ConvEncoder, ConvMLP, perceptron
from lightning_skills.nets.mlp import MLP
from lightning_skills.nets.numpy_mlp import frozen


def with_used_statistics(network: torch.nn.Module) -> torch.nn.Module:
    """Float64 in eval mode; every parameter and BatchNorm's statistics away from their initial values."""
    network = network.double().eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0.1, 0.4)
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.normal_(norm.running_mean, 0.0, 0.5)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return network


def test_layers_at_32_pixels():
    convolutions = [layer for layer in ConvEncoder((6, 32, 32), 32).layers if isinstance(layer, torch.nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [(6, 8), (8, 16), (16, 32), (32, 32)]
    assert all(layer.kernel_size == (4, 4) for layer in convolutions)
    assert [layer.stride for layer in convolutions] == [(2, 2)] * 3 + [(1, 1)]
    assert [layer.padding for layer in convolutions] == [(1, 1)] * 3 + [(0, 0)]
    # As everywhere, what BatchNorm follows has no bias of its own.
    assert [layer.bias is not None for layer in convolutions] == [True, False, False, True]


@pytest.mark.parametrize("training", [False, True])
def test_features_are_those_of_the_formula(training):
    torch.manual_seed(0)
    encoder = with_used_statistics(ConvEncoder((6, 32, 32), 5)).train(training)
    images = torch.randn(2, 3, 6, 32, 32, dtype=torch.float64)
    one, two, norm_two, three, norm_three, head = [
        layer for layer in copy.deepcopy(encoder).layers if not isinstance(layer, torch.nn.LeakyReLU)
    ]
    x = functional.leaky_relu(one(images.flatten(0, 1)), 0.2)
    x = functional.leaky_relu(norm_two(two(x)), 0.2)
    x = functional.leaky_relu(norm_three(three(x)), 0.2)
    assert x.shape == (6, 32, 4, 4)
    expected = torch.einsum("bchw,fchw->bf", x, head.weight) + head.bias
    torch.testing.assert_close(encoder(images), expected.view(2, 3, 5))


def test_convolutions_start_as_torchs_and_linear_maps_xavier_normal():
    torch.manual_seed(0)
    conv = ConvMLP((6, 64, 64), 4, layers=1, width=200, normalised=True, features=250)
    three = conv.conv.layers[5]
    limit = (16 * 16) ** -0.5  # uniform
    assert three.weight.abs().max().item() == pytest.approx(limit, rel=0.01)
    assert three.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)
    assert conv.mlp.first.weight.std().item() == pytest.approx((2 / 450) ** 0.5, rel=0.02)


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (64, 64)])
def test_any_power_of_two_is_halved_to_4_pixels(size):
    encoder = ConvEncoder((3, *size), 7)
    assert encoder(torch.randn(2, 3, *size)).shape == (2, 7)
    assert encoder.layers[-1].in_channels == size[0]


@pytest.mark.parametrize("size", [(32, 16), (48, 48), (4, 4), (31, 31), (2, 2)])
def test_other_images_are_refused(size):
    with pytest.raises(InputError, match=f"{size[0]}x{size[1]} pixels: .*power of two"):
        ConvEncoder((3, *size), 7)


@pytest.mark.parametrize("learning", [1, 4, 6, None])
def test_only_the_rows_that_learn_give_gradients(learning):
    torch.manual_seed(0)
    network = with_used_statistics(ConvMLP((2, 16, 16), 3, layers=2, width=5, normalised=True, features=4))
    images, weights = (torch.randn(6, *shape, dtype=torch.float64) for shape in ((2, 16, 16), (3,)))
    both = network(images, learning=learning)
    rows = slice(0, learning)
    alone = network(images[rows])
    assert torch.equal(both[rows], alone)
    torch.testing.assert_close(both, network(images))
    found = torch.autograd.grad((weights * both).sum(), [*network.parameters()])
    expected = torch.autograd.grad((weights[rows] * alone).sum(), [*network.parameters()])
    torch.testing.assert_close(found, expected)
    assert all(gradient.any() for gradient in found)


def test_the_mlp_is_on_vectors_or_on_the_features_of_images():
    sizes = {"outputs": 4, "layers": 2, "width": 8, "normalised": True}
    plain, on_images = perceptron(5, **sizes), perceptron([6, 16, 16], **sizes, features=7)
    assert isinstance(plain, MLP)
    assert isinstance(on_images, ConvMLP)
    assert plain.first.in_features == 5
    assert on_images.conv.layers[-1].out_channels == on_images.mlp.first.in_features == 7
    for mlp in (plain, on_images.mlp):
        assert (len(mlp.hidden), len(mlp.norms), mlp.last.out_features) == (2, 2, 4)


@pytest.mark.parametrize("inputs", [5, (6, 16, 16)])
def test_a_frozen_network_is_the_network_in_eval_mode(inputs):
    torch.manual_seed(0)
    network = with_used_statistics(perceptron(inputs, 4, layers=2, width=8, normalised=True, features=7)).float()
    x = torch.randn(3, *(inputs if isinstance(inputs, tuple) else (inputs,)))
    out = frozen(network)(x)
    assert not out.requires_grad
    torch.testing.assert_close(out, network(x).detach(), rtol=1e-4, atol=1e-5)
