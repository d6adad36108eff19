"""MTRL's last phase: the shared policy learns one target task."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lightning_skills.optim import FusedAdam
from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.target_task import SkillTargetTaskModule, sizes, take_over
from methods.mtrl.config import MtrlAdaptOptions, MtrlSizes


class MtrlAdaptModule(SkillTargetTaskModule):
    """SPiRL as in SiMPL's code, whose policy begins as what was distilled from the experts; critics begin anew.

    Args:
        context: Its ``options`` are :class:`MtrlAdaptOptions`, its artefact "skills" those that "meta" was trained on.

    Raises:
        InputError: if "meta" is of other states or skills, or was written by another version.
    """

    options: MtrlAdaptOptions

    def __init__(self, context: PhaseContext) -> None:
        meta, options = context.artefacts["meta"], context.options
        own: MtrlSizes = sizes(MtrlSizes, meta)
        super().__init__(context, options.initial_alpha, own.layers, own.width)
        self.sizes = own
        take_over(self.policy, meta, "policy")

    def settings(self) -> Mapping[str, Any]:
        """The sizes of the networks."""
        return asdict(self.sizes)

    def optimizer_of_alpha(self) -> FusedAdam:
        """It grows and shrinks."""
        return FusedAdam(self.alpha.parameters(), lr=self.options.alpha_lr)
