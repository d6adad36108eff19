import copy

import pytest
import torch

from lightning_skills.nets.mlp_stack import MLPStack

MEMBERS, INPUTS, OUTPUTS, ITEMS = 4, 3, 2, 5


def member(stack, index):
    """One of them in torch's own terms."""
    layers = []
    for weight, bias in zip(stack.weights, stack.biases, strict=True):
        linear = torch.nn.Linear(*weight.shape[1:])
        linear.weight.data, linear.bias.data = weight.data[index].t().clone(), bias.data[index, 0].clone()
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


@pytest.fixture
def stack():
    torch.manual_seed(0)
    return MLPStack(MEMBERS, INPUTS, OUTPUTS, layers=2, width=8)


@pytest.mark.parametrize("leading", [(), (ITEMS,), (2, ITEMS)])
def test_each_sees_its_own_inputs(stack, leading):
    chosen, x = torch.tensor([2, 0]), torch.randn(*leading, 2, INPUTS)
    y = stack.of(chosen)(x)
    assert y.shape == (*leading, 2, OUTPUTS)
    for place, index in enumerate(chosen):
        torch.testing.assert_close(y[..., place, :], member(stack, index)(x[..., place, :]))


@pytest.mark.parametrize("members", [[0, 1, 2, 3], [1, 3]], ids=["all", "some"])
def test_a_step_between_two_passes_is_seen(stack, members):
    forward, x = stack.of(torch.tensor(members)), torch.randn(ITEMS, len(members), INPUTS)
    before = forward(x)
    with torch.no_grad():
        stack.biases[-1] += 1
    torch.testing.assert_close(forward(x), before + 1)


@pytest.mark.parametrize("order", [[1, 0, 2, 3], [0, 1, 2], [0, 1, 2, 3, 0]])
def test_others_are_not_taken_for_all_in_their_order(stack, order):
    x = torch.randn(ITEMS, len(order), INPUTS)
    y = stack.of(torch.tensor(order))(x)
    for place, index in enumerate(order):
        torch.testing.assert_close(y[:, place], member(stack, index)(x[:, place]))


def test_only_the_first_items_train_and_the_others_steer(stack):
    x = torch.randn(ITEMS, MEMBERS, INPUTS, requires_grad=True)
    alike = copy.deepcopy(stack)
    everyone = torch.arange(MEMBERS)
    stack.of(everyone)(x, learning=2).square().sum().backward()
    alike.of(everyone)(x.detach()[:2]).square().sum().backward()
    for ours, theirs in zip(stack.parameters(), alike.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert (x.grad.abs().sum((1, 2)) > 0).all()


def test_nothing_reaches_those_that_are_not_chosen(stack):
    stack.of(torch.tensor([1, 3]))(torch.randn(ITEMS, 2, INPUTS)).square().sum().backward()
    for parameter in stack.parameters():
        assert [bool(each.any()) for each in parameter.grad] == [False, True, False, True]


def test_weights_and_biases_are_uniform_within_one_over_the_root_of_the_inputs():
    torch.manual_seed(0)
    stack = MLPStack(50, 16, OUTPUTS, layers=2, width=64)
    for part in (stack.weights, stack.biases):
        for parameter, bound in zip(part, (1 / 4, 1 / 8, 1 / 8), strict=True):
            assert parameter.abs().max().item() == pytest.approx(bound, rel=0.05)
            assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
            assert not torch.equal(parameter[0], parameter[1])
