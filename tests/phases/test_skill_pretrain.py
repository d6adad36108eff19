import copy

import pytest
import torch
from tensordict import TensorDict

from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.nets.skill_model import SkillModel
from lightning_skills.phases.base import PhaseContext, Update
from lightning_skills.phases.options import SkillPretrainOptions
from lightning_skills.phases.skill_pretrain import SkillPretrainModule

OPTIONS = {"horizon": 4, "latent_dim": 2, "encoder_width": 8, "width": 16, "decoder_layers": 1, "prior_layers": 1}


def build(**options) -> SkillPretrainModule:
    torch.manual_seed(0)
    context = PhaseContext(SkillPretrainOptions(**{**OPTIONS, **options}), EnvInfo({"observation": (3,)}, 2, 50))
    module = SkillPretrainModule(context)
    module.build_optimizers()
    return module.train()


def windows(items: int = 16) -> TensorDict:
    """Actions that a hidden skill and the state determine."""
    states, skill = torch.randn(items, 5, 3), torch.randn(items, 1, 2)
    return TensorDict({"observation": states, "action": torch.tanh(skill + states[..., :2])}, [items, 5])


def weights(module: SkillPretrainModule) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.model.parameters()]


def posterior(module: SkillPretrainModule, batch: TensorDict) -> torch.Tensor:
    return module.model(batch["observation"][:, :-1], batch["action"][:, :-1]).posterior.mean


def test_the_last_step_of_a_window_has_no_influence():
    batch = windows()
    other = batch.clone()
    other["action"][:, -1] += 5
    other["observation"][:, -1] += 5
    results = []
    for each in (batch, other):
        module = build()
        torch.manual_seed(1)
        module.training_step(each, 0)
        results.append(weights(module))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


def test_every_other_action_has():
    module, batch = build(), windows()
    for step in range(4):
        changed = batch.clone()
        changed["action"][:, step] += 5
        posteriors = [posterior(module, each) for each in (batch, changed)]
        assert not torch.equal(*posteriors)


def test_gradients_are_clipped_during_the_first_updates_only():
    module, batch, norms = build(clip_updates=2), windows(), []
    for _ in range(3):
        module.training_step(batch, 0)
        norms.append(torch.stack([p.grad.norm() for p in module.model.parameters()]).norm().item())
    assert norms[:2] == pytest.approx([1e-3, 1e-3], rel=1e-3)
    assert norms[2] > 0.1


@pytest.mark.parametrize(("cooldown", "shares"), [(0.5, [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]), (1.0, [1, 0.875, 0.75])])
def test_the_rate_falls_over_the_last_updates(cooldown, shares):
    batch = windows()
    steady, falling = (build(updates=8, cooldown=share, clip_updates=0) for share in (0.0, cooldown))
    for share in shares:
        falling.model.load_state_dict(steady.model.state_dict())
        falling.optimizer.load_state_dict(copy.deepcopy(steady.optimizer.state_dict()))
        before = weights(steady)
        for module in (steady, falling):
            torch.manual_seed(1)
            module.training_step(batch, 0)
        moves = [
            torch.cat([(b - a).flatten() for a, b in zip(before, weights(module), strict=True)])
            for module in (steady, falling)
        ]
        torch.testing.assert_close(moves[1], share * moves[0], rtol=1e-2, atol=1e-7)


def test_it_learns_to_reconstruct():
    module = build(lr=3e-3, beta=1e-3, clip_updates=5)
    first = module.update(windows(128))["reconstruction"].item()
    for _ in range(400):
        module.training_step(windows(128), 0)
    module.model.eval()
    held_out = module.update(windows(512))["reconstruction"].item()
    assert held_out - 0.919 < 0.5 * (first - 0.919)


def test_the_plan_is_what_is_left():
    module = build(updates=3, batch_size=7)
    assert module.plan() == [Update(3, 7, window=5)]
    module.updates = 3
    assert module.plan() == []
    assert module.progress() == (3, 3)


def test_it_hands_on_the_skill_model():
    module = build()
    model = SkillModel.from_artefact(module.artefact())
    for ours, theirs in zip(module.model.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
