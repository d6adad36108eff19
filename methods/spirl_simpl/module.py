"""SPiRL in a target task, as in SiMPL's code."""

from lightning_skills.phases.base import PhaseContext
from lightning_skills.phases.target_task import SpirlTargetTaskModule
from methods.spirl_simpl.config import SpirlSimplOptions


class SpirlSimplModule(SpirlTargetTaskModule):
    """See :class:`SpirlTargetTaskModule`.

    Args:
        context: Its ``options`` are :class:`SpirlSimplOptions`.
    """

    def __init__(self, context: PhaseContext) -> None:
        options: SpirlSimplOptions = context.options
        super().__init__(context, options)
