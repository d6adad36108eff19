import pytest
import torch
from torch import nn

from lightning_skills.artefacts import Artefact
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.errors import InputError
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


class HandsOn(TwoNets):
    """Hands on one of its networks, or copies of its tensors."""

    def __init__(self, copies=False, setting=(1, 2)):
        super().__init__()
        self.copies, self.setting = copies, setting

    def artefact(self):
        tensors = self.learned.state_dict()
        if self.copies:
            tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        return Artefact("net", {"setting": self.setting}, tensors)


def test_a_phase_takes_its_artefact_back(tmp_path):
    one, other = HandsOn(), HandsOn()
    one.learned(torch.randn(8, 3))  # moves what BatchNorm has counted
    one.artefact().save(tmp_path / "net")
    other.load_artefact(Artefact.load(tmp_path / "net", "net"))
    assert all(tensor.equal(one.learned.state_dict()[name]) for name, tensor in other.learned.state_dict().items())
    assert not one.fixed[0].weight.equal(other.fixed[0].weight)
    assert other.learned[0].weight.requires_grad


def test_an_artefact_of_other_networks_is_refused():
    of_others = HandsOn().artefact()
    with pytest.raises(InputError, match="other networks than HandsOn"):
        HandsOn(setting=(1, 3)).load_artefact(of_others)
    narrower = {**of_others.tensors, "0.weight": torch.zeros(3, 2)}
    with pytest.raises(InputError, match="other networks"):
        HandsOn().load_artefact(Artefact("net", of_others.settings, narrower))
    with pytest.raises(InputError, match="other networks"):
        HandsOn().load_artefact(Artefact("net", of_others.settings, {}))


def test_a_phase_that_hands_on_copies_is_told_to_override():
    with pytest.raises(NotImplementedError, match="HandsOn hands on copies"):
        HandsOn(copies=True).load_artefact(HandsOn().artefact())
