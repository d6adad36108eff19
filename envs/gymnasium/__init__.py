"""Any gymnasium id as an env plug-in, e.g. ``env=gymnasium env.task=HalfCheetah-v5``."""

from envs.gymnasium.config import GymnasiumConfig
from lightning_skills.plugins import EnvSpec

ENV = EnvSpec(
    name="gymnasium",
    summary="Any registered gymnasium id with flat box observations and actions, one process, not fast",
    config=GymnasiumConfig,
    make="envs.gymnasium.env:make",
    tasks=(),
    smoke={"horizon": 20},
)
