"""Which skills policies that correct the skill prior are built on."""

import dataclasses

import pytest
import torch

from lightning_skills.artefacts import Artefact
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.errors import InputError
from lightning_skills.nets.skill_model import SkillModel, SkillModelSettings
from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.options import SkillTargetTaskOptions
from lightning_skills.phases.skill_agent import SkillAgent

LEARNED = SkillModelSettings(
    state_dim=4, action_dim=2, horizon=3, latent_dim=2, encoder_width=8, width=8, decoder_layers=1, prior_layers=1
)


class Agent(SkillAgent):
    plan = build_optimizers = update = None


def built(**settings: object) -> SkillAgent:
    torch.manual_seed(0)
    skills: Artefact = SkillModel(dataclasses.replace(LEARNED, **settings)).to_artefact()
    env = EnvInfo({"observation": (4,)}, action_dim=2, horizon=50)
    return Agent(PhaseContext(SkillTargetTaskOptions(), env, {"skills": skills}), layers=1, width=8)


def test_closed_loop_skills_of_states_are_executed_step_by_step() -> None:
    execution = built().skill_execution()
    assert (execution.horizon, execution.chunk) == (3, 1)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"decoder": "open_loop"}, "closed-loop skills of states; these are of states, open_loop"),
        ({"decoder": "conditioned"}, "closed-loop skills of states; these are of states, conditioned"),
        ({"image_shape": (6, 16, 16)}, "closed-loop skills of states; these are of images, closed_loop"),
        ({"state_dim": 5}, "learned on states of length 5, this environment's have 4"),
        ({"action_dim": 3}, "learned on actions of length 3, this environment's have 2"),
    ],
)
def test_other_skills_are_refused(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        built(**settings)
