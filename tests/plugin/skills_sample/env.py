"""The env plug-in: a point that should move to a target on a line."""

from dataclasses import dataclass

from lightning_skills.plugins import EnvSpec


@dataclass(frozen=True)
class TargetConfig:
    """Options of the env."""

    task: str = "near"  # "near", "far" or "both"
    horizon: int = 20  # steps


ENV = EnvSpec(
    name="target",
    summary="a point on a line that should stand on a target (sample plug-in)",
    config=TargetConfig,
    make="skills_sample.worlds:make",
    tasks=("near", "far"),
    distributions=("both",),
    smoke={"horizon": 5},
)
