"""How busy the machine is while a phase trains, measured by MLflow's own monitors."""

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor

PREFIX = "system/"
"""By which MLflow's pages know them."""


class SystemMetrics:
    """CPU, memory and NVIDIA GPUs of this machine; GPUs need the package ``nvidia-ml-py``.

    MLflow's own thread asks the server every ten seconds whether the run goes on, and ends for good with the first
    answer that fails. So its monitors are read here, and what they say goes the way of all metrics.
    """

    def __init__(self) -> None:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

        self._monitors: list[BaseMetricsMonitor] = [CPUMonitor()]
        with suppress(Exception):  # no package, no driver, no GPU: each its own error, and none is worth a run
            self._monitors.append(GPUMonitor())

    def measure(self) -> dict[str, float]:
        """Values by name: CPU since the last call, the others now; in percent, megabytes and watts."""
        found: dict[str, float] = {}
        for monitor in self._monitors:
            with suppress(Exception):  # a driver that fails while the run goes on
                monitor.collect_metrics()
                found |= {f"{PREFIX}{key}": value for key, value in monitor.aggregate_metrics().items()}
                monitor.clear_metrics()
        return found
