import pytest
import torch
from torch import nn

from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.phases.base import PhaseContext, PhaseModule


class TwoNets(PhaseModule):
    def __init__(self):
        super().__init__(PhaseContext(None, EnvInfo({"observation": (3,)}, 2, 10)))
        self.learned = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.fixed = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
        self.keep_frozen(self.fixed)

    plan = build_optimizers = update = artefact = progress = None


def test_frozen_parts_stay_in_eval_mode_and_without_gradients():
    module = TwoNets()
    module.train()
    assert module.learned[1].training
    assert not module.fixed[1].training
    assert not any(parameter.requires_grad for parameter in module.fixed.parameters())
    before = module.fixed[1].running_mean.clone()
    module.fixed(torch.randn(8, 3))
    assert torch.equal(module.fixed[1].running_mean, before)


def test_counters_are_part_of_the_state():
    module, other = TwoNets(), TwoNets()
    module.env_frames, module.transitions, module.updates = 7, 5, 3
    other.load_state_dict(module.state_dict())
    assert (other.env_frames, other.transitions, other.updates) == (7, 5, 3)


def test_a_step_moves_only_what_its_optimizer_holds():
    module = TwoNets()
    a, b = module.learned[0].weight, module.learned[0].bias
    optimizer = torch.optim.SGD([a], lr=0.5)
    loss = (a * 2).sum() + (b * 3).sum()
    before_a, before_b = a.detach().clone(), b.detach().clone()
    module.step(optimizer, loss)
    torch.testing.assert_close(a.detach(), before_a - 1.0)
    assert torch.equal(b.detach(), before_b)
    assert b.grad is None


def test_a_phase_that_does_not_act_says_so():
    with pytest.raises(NotImplementedError, match="TwoNets does not act"):
        TwoNets().act(None, None, True)
    with pytest.raises(NotImplementedError, match="TwoNets does not act"):
        TwoNets().skill_execution()
