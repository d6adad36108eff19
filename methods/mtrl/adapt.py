"""MTRL's last phase: the shared policy learns one target task."""

from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.target_task import SpirlTargetTaskModule, sizes_of, take_over


class MtrlAdaptModule(SpirlTargetTaskModule):
    """SPiRL as in SiMPL's code, whose policy begins as what was distilled from the experts; critics begin anew.

    Args:
        context: Its artefact "skills" is what "meta" was trained on.

    Raises:
        InputError: if "meta" is of other states or skills, or was written by another version.
    """

    def __init__(self, context: PhaseContext) -> None:
        meta = context.artefacts["meta"]
        super().__init__(context, sizes_of(meta, self.sizes_type))
        take_over(self.policy, meta, "policy")
