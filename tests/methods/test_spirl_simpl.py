"""SPiRL as SiMPL's baseline: what it begins with, when it learns, and its published values."""

import pytest
import torch

from lightning_skills.phases.base import CollectEpisodes, PhaseContext, Update
from lightning_skills.phases.skill_pretrain import SkillPretrainModule
from methods.spirl_simpl import METHOD
from methods.spirl_simpl.config import SpirlSimplConfig, SpirlSimplOptions
from methods.spirl_simpl.module import SpirlSimplModule
from tests.methods.test_simpl import INFO, SKILLS, transitions
from tests.methods.test_simpl_adapt import ONE_TASK


def made(**options):
    torch.manual_seed(0)
    skills = SkillPretrainModule(PhaseContext(SKILLS, INFO)).artefact()
    chosen = SpirlSimplOptions(**{"layers": 2, "width": 8, **options})
    module = SpirlSimplModule(PhaseContext(chosen, ONE_TASK, {"skills": skills})).train()
    module.build_optimizers()
    return module


def test_updates_follow_whole_episodes_once_there_is_a_batch():
    module, episode = made(), CollectEpisodes((0,), "all", 1, into=("replay",))
    assert module.plan() == [episode]
    module.transitions, module.env_frames = 9 * 28, 9 * 280
    module.collected(episode, 28, None)
    assert module.plan() == [episode]
    module.transitions += 28
    assert module.plan() == [Update(28, 256)]


@pytest.mark.parametrize(("wanted", "direction"), [(1e-6, 1), (100.0, -1)])
def test_alpha_begins_as_told_and_follows_the_divergence_both_ways(wanted, direction):
    module = made(target_divergence=wanted, alpha_lr=1e-2, initial_alpha=0.3)
    before = module.alpha().item()
    assert before == pytest.approx(0.3)
    for _ in range(3):
        module.update(module.annotate(transitions(9)))
    assert direction * (module.alpha().item() - before) > 0


def test_the_published_values():
    """Spec of SiMPL, sections 1 and 4."""
    maze = {"initial_alpha": 0.05, "target_divergence": 1.0, "alpha_lr": 3e-4, "frames": 500 * 2000}
    kitchen = {"initial_alpha": 1.0, "target_divergence": 5.0, "alpha_lr": 3e-3, "frames": 1000 * 280}
    for env, own in (
        ("maze", {**maze, "layers": 3, "width": 256}),
        ("kitchen", {**kitchen, "layers": 5, "width": 128}),
    ):
        preset = METHOD.preset(env, "any")
        over = {key.partition(".")[2]: value for key, value in preset.items() if key.startswith("adapt.")}
        options = SpirlSimplOptions(**over)
        assert {key: getattr(options, key) for key in own} == own
        assert (options.divergence_clip, options.batch_size, options.reuse, options.capacity) == (10, 256, 256, 20_000)
        assert {key for key in preset if key.startswith("skills.")} <= {"skills.updates", "skills.cooldown"}
    skills = SpirlSimplConfig().skills
    assert (skills.encoder_width, skills.decoder_layers, skills.prior_layers, skills.beta) == (128, 5, 6, 5e-4)
