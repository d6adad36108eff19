import copy

import pytest
import torch

from lightning_skills.optim import FusedAdam, FusedRAdam


def gradients(parameters, step):
    generator = torch.Generator().manual_seed(step)
    for parameter in parameters:
        parameter.grad = (0.1 + step % 3) * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)


RADAM = (FusedRAdam, torch.optim.RAdam)
ADAM = (FusedAdam, torch.optim.Adam)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pair", [ADAM, RADAM], ids=["adam", "radam"])
def test_every_step_is_that_of_torch(pair, dtype):
    torch.manual_seed(0)
    ours = [torch.randn(3, 4, dtype=dtype).requires_grad_(), torch.randn(5, dtype=dtype).requires_grad_()]
    theirs = copy.deepcopy(ours)
    one, other = (each(values, lr=1e-2, eps=1e-2) for each, values in zip(pair, (ours, theirs), strict=True))
    for step in range(40):
        for parameters, optimizer in ((ours, one), (theirs, other)):
            gradients(parameters, step)
            optimizer.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", [FusedAdam, FusedRAdam])
def test_it_goes_on_from_its_state(optimizer):
    torch.manual_seed(0)
    straight = [torch.randn(3, 4).requires_grad_()]
    broken = copy.deepcopy(straight)
    first, second = optimizer(straight), optimizer(broken)
    for step in range(12):
        if step == 6:
            state = copy.deepcopy(second.state_dict())
            second = optimizer(broken, lr=1.0)
            second.load_state_dict(state)
        for parameters, each in ((straight, first), (broken, second)):
            gradients(parameters, step)
            each.step()
    assert torch.equal(straight[0], broken[0])


@pytest.mark.parametrize("pair", [ADAM, RADAM], ids=["adam", "radam"])
def test_a_gradient_may_lie_in_memory_in_another_order_than_its_parameter(pair):
    torch.manual_seed(0)
    ours = torch.randn(3, 4).requires_grad_()
    theirs, gradient = copy.deepcopy(ours), torch.randn(4, 3).t()
    for each, parameter in zip(pair, (ours, theirs), strict=True):
        parameter.grad = gradient
        each([parameter], lr=1e-2).step()
    torch.testing.assert_close(ours, theirs)
