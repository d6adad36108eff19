import pytest
import torch
from tensordict import TensorDict

from benchmarks.plain import PlainPretrain, PlainSkillRL
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.options import SkillPretrainOptions, SkillRLOptions
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from lightning_skills.phases.skill_rl import SkillRLModule

INFO = EnvInfo({"observation": (6,)}, 3, 50)
SIZES = {"horizon": 4, "latent_dim": 4, "encoder_width": 8, "width": 16, "decoder_layers": 2, "prior_layers": 2}


def shuffled(module: torch.nn.Module) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def pretrain() -> SkillPretrainModule:
    torch.manual_seed(0)
    module = SkillPretrainModule(PhaseContext(SkillPretrainOptions(**SIZES, clip_updates=0), INFO))
    shuffled(module)
    module.build_optimizers()
    return module.train()


def skill_rl() -> SkillRLModule:
    artefact = pretrain().artefact()
    options = SkillRLOptions(kl_estimator="sampled", critic_width=16)
    module = SkillRLModule(PhaseContext(options, INFO, {"skills": artefact}))
    shuffled(module.policy)
    shuffled(module.target_critics)
    module.build_optimizers()
    return module.train()


def test_the_fast_pretraining_update_has_the_gradients_of_the_plain_one():
    fast = pretrain()
    plain = PlainPretrain(fast.model, fast.options.beta).train()
    batch = TensorDict({"observation": torch.randn(8, 5, 6), "action": torch.randn(8, 5, 3)}, [8, 5])
    torch.manual_seed(1)
    fast.update(batch)
    torch.manual_seed(1)
    plain.loss(batch).backward()
    pairs = {
        "encoder": (fast.model.encoder.lstm.weight_ih_l0, plain.encoder.cell.weight_ih),
        "embedding": (fast.model.encoder.embedding.weight, plain.encoder.embedding.weight),
        "head": (fast.model.encoder.head.weight, plain.encoder.head.weight),
        "decoder": (fast.model.decoder.first.weight, plain.decoder[0].weight),
        "batchnorm": (fast.model.decoder.norms[1].weight, plain.decoder[6].weight),
        "prior": (fast.model.prior_net.first.weight, plain.prior[0].weight),
    }
    for name, (ours, theirs) in pairs.items():
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    assert sum(p.grad.norm() for p in fast.model.parameters()).item() > 0.1


def test_both_pretraining_updates_leave_the_same_weights():
    fast = pretrain()
    plain = PlainPretrain(fast.model, fast.options.beta).train()
    plain.updates = 100
    for seed in range(8):
        batch = TensorDict({"observation": torch.randn(8, 5, 6), "action": torch.randn(8, 5, 3)}, [8, 5])
        for each in (fast, plain):
            torch.manual_seed(seed)
            each.update(batch)
    # RAdam divides by the gradient's own size, so rounding shows where that is nearly zero.
    torch.testing.assert_close(fast.model.decoder.last.weight, plain.decoder[-1].weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(fast.model.prior_net.last.weight, plain.prior[-1].weight, rtol=1e-3, atol=1e-4)


def test_the_fast_rl_update_has_the_gradients_of_the_plain_one(monkeypatch):
    # The order of draws is free, so the noise must not depend on it.
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.linspace(-0.5, 0.8, x.shape[-1]).expand_as(x))
    fast = skill_rl()
    plain = PlainSkillRL(fast)
    now = {"observation": torch.randn(8, 6), "action": torch.randn(8, 4)}
    observation, reward, terminated = torch.randn(8, 6), torch.rand(8, 1), torch.rand(8, 1) < 0.5
    following = TensorDict({"observation": observation, "reward": reward, "terminated": terminated}, [8])
    batch = fast.annotate(TensorDict({**now, "next": following}, [8]))
    fast.update(batch)
    losses, _ = plain.losses({**now, "next_observation": observation, "reward": reward, "done": terminated.float()})
    pairs = [
        (losses[0], fast.policy.parameters(), plain.policy.parameters()),
        (losses[1], fast.critics[0].parameters(), plain.critics[0].parameters()),
        (losses[2], fast.critics[1].parameters(), plain.critics[1].parameters()),
        (losses[3], [fast.log_alpha], [plain.log_alpha]),
    ]
    for loss, ours, theirs in pairs:
        found = [parameter.grad for parameter in ours]
        expected = torch.autograd.grad(loss, [*theirs], retain_graph=True)
        # The folded MLP lists all hidden weights before their BatchNorms, the chain lists them in turns.
        for norm_of in (lambda gradient: gradient.norm().item(), lambda gradient: gradient.sum().item()):
            assert sorted(map(norm_of, found)) == pytest.approx(sorted(map(norm_of, expected)), rel=1e-4, abs=1e-6)
