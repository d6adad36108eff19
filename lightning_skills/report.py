"""Pictures and tables of recorded runs. Nothing here needs a display, and matplotlib is loaded by the first picture."""

import csv
import html
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_skills.data.batch_env import BatchEnv
from lightning_skills.errors import InputError
from lightning_skills.parts import phase_of
from lightning_skills.recorded import Row, mean_series, number, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING, EVALUATION, INK, FAINT = "#4c78a8", "#e4572e", "#333a45", "#e6e8ec"
STYLE: dict[Any, Any] = {
    "figure.dpi": 130,
    "text.parse_math": False,
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": "#b8bec8",
    "axes.labelcolor": "#6b7380",
    "axes.titlesize": 9.5,
    "figure.constrained_layout.w_pad": 0.09,
    "figure.constrained_layout.h_pad": 0.07,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": "#6b7380",
    "ytick.color": "#6b7380",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "svg.hashsalt": "lightning_skills",
}
COLUMNS = 4
"""Panels side by side, at most."""
PANEL = (3.1, 2.2)
"""Width and height of one in inches."""
FIRST = ("return", "success", "loss")
"""Quantities that come before the others."""
SMOOTHED_FROM = 60
"""Points from which on a running mean is drawn over the values."""
FILM_FRAMES, FILM_BYTES, FRAME_MS = 150, 2_000_000, 70


@dataclass(frozen=True)
class Panel:
    """One quantity of one phase.

    Args:
        quantity: Its name without ``train/`` or ``eval/``.
        axis: The counter it is drawn against, ``env_frames`` or ``updates``.
        training: ``[2, n]``, counter and value.
        evaluation: ``[2, n]``.
    """

    quantity: str
    axis: str
    training: np.ndarray
    evaluation: np.ndarray


@dataclass(frozen=True)
class Snapshot:
    """Where an agent went.

    Args:
        title: Of its panel.
        trajectories: State vectors, each ``[T, state_dim]``.
        task: Index of the task they are of, in an env of several; None: of whichever.
    """

    title: str
    trajectories: Sequence[np.ndarray]
    task: int | None = None


def panels(rows: Sequence[Row]) -> dict[str, list[Panel]]:
    """What there is to draw, by phase: each quantity that has a finite value, in the order of their importance.

    Of a phase in parts, these are means over its tasks.
    """
    phases: dict[str, list[Row]] = {}
    for row in rows:
        phases.setdefault(phase_of(row["phase"]), []).append(row)
    return {phase: drawn for phase, part in phases.items() if (drawn := _phase_panels(part))}


def learning_curves(metrics_csv: Path, out: Path) -> None:
    """Draw every quantity of a run, one small plot each, into a PNG.

    Online phases run over env frames, offline ones over updates; evaluations are drawn over the training curve.

    Args:
        metrics_csv: The run's ``metrics.csv``.
        out: The picture.

    Raises:
        InputError: if there is nothing to draw.
    """
    phases = panels(read_metrics(metrics_csv))
    if not phases:
        raise InputError(f"{metrics_csv} holds no finite metric; look at the run's log")
    columns = max(columns_for(len(drawn)) for drawn in phases.values())
    heights = [PANEL[1] * math.ceil(len(drawn) / columns) + 0.45 for drawn in phases.values()]
    with new_figure(max(columns, 2) * PANEL[0], sum(heights), out) as figure:
        parts = figure.subfigures(len(phases), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, (phase, drawn) in zip(parts, phases.items(), strict=True):
            part.suptitle(phase, x=0.012, ha="left", fontsize=12, fontweight="bold")
            grid = part.subplots(math.ceil(len(drawn) / columns), columns, squeeze=False).ravel()
            for axes, panel in zip(grid, drawn, strict=False):
                _draw_panel(axes, panel)
            for axes in grid[len(drawn) :]:
                axes.set_axis_off()
        save_png(figure, out)


def make_folder(out: Path) -> Path:
    """Make a folder for pictures and tables.

    Raises:
        InputError: if it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}") from None
    return out


def env_frames(frames: int) -> str:
    """A counter in short, as a title."""
    return f"{_short(frames)} env frames"


def trajectory_panels(env: BatchEnv, snapshots: Sequence[Snapshot], out: Path) -> bool:
    """Draw where the agent went, one panel per snapshot, into a PNG.

    Args:
        env: Knows how to draw its states.
        snapshots: What each panel shows.
        out: The picture.

    Returns:
        Whether there is a picture; False if this env has none, or there are no snapshots.
    """
    if not snapshots:
        return False
    columns = columns_for(len(snapshots))
    lines = math.ceil(len(snapshots) / columns)
    with new_figure(2.6 * columns, 2.8 * lines, out) as figure:
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, snapshot in zip(grid, snapshots, strict=False):
            axes.grid(False)
            if not env.draw(axes, snapshot.trajectories, snapshot.task):
                return False
            axes.set_title(snapshot.title)
        for axes in grid[len(snapshots) :]:
            axes.set_axis_off()
        figure.set_figheight((0.4 + 2.4 * max(map(_slimness, grid[: len(snapshots)]))) * lines)
        save_png(figure, out)
    return True


def _slimness(axes: "Axes") -> float:
    """Height over width of a panel, at most 1; of one that is not drawn to scale 1."""
    if axes.get_aspect() == "auto" or axes.get_adjustable() == "datalim":
        return 1.0
    left, right, low, high = axes.axis()
    return min(1.0, abs((high - low) / (right - left)))


def film(env: BatchEnv, trajectory: np.ndarray, out: Path) -> bool:
    """Write a short looping GIF of one trajectory: at most 150 frames, 14 a second, under 2 MB.

    Args:
        env: Knows how to film its states.
        trajectory: ``[T, state_dim]``.
        out: The GIF.

    Returns:
        Whether there is a film; False if this env has none.
    """
    frames = env.film(trajectory)
    if frames is None or not len(frames):
        return False
    shown = np.unique(np.linspace(0, len(frames) - 1, FILM_FRAMES).round().astype(int))
    out.parent.mkdir(parents=True, exist_ok=True)
    scale, encoded = 1.0, _gif(frames[shown], 1.0)
    while len(encoded) >= FILM_BYTES:
        scale *= 0.8
        encoded = _gif(frames[shown], scale)
    out.write_bytes(encoded)
    return True


def summary_table(rows: Sequence[tuple[str, str]]) -> str:
    """Two aligned columns for the terminal."""
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in rows)


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a markdown table; a column that a row lacks stays empty."""
    columns = _columns(rows)
    cells = [columns, *[[_text(row.get(column, "")).replace("|", "\\|") for column in columns] for row in rows]]
    widths = [max(3, *(len(line[index]) for line in cells)) for index in range(len(columns))]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def html_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as an HTML table; a column that a row lacks stays empty."""
    columns = _columns(rows)
    head = _html_row("th", columns)
    body = "\n".join(_html_row("td", [_text(row.get(column, "")) for column in columns]) for row in rows)
    return f"<table>\n<thead>\n{head}\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def csv_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header, floats exact."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def columns_for(panels: int) -> int:
    """Panels side by side, such that the last line is as full as can be."""
    return math.ceil(panels / math.ceil(panels / COLUMNS))


def scale_axes(axes: "Axes", quantity: str) -> None:
    """Few and short ticks, those of counters whole; a success rate is shown over its whole range."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, integer=axis is axes.xaxis))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    if quantity == "success":
        axes.set_ylim(-0.04, 1.04)
        axes.set_yticks([0, 0.5, 1])


@contextmanager
def new_figure(width: float, height: float, out: Path) -> Iterator["Figure"]:
    """An empty figure in the house style, free of pyplot's global state; its folder is made."""
    import matplotlib
    from matplotlib.figure import Figure

    out.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained", facecolor="white")


def save_png(figure: "Figure", out: Path) -> None:
    """What ``figure.savefig`` writes, which draws all of it twice, and not once as here: a third of its time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).print_png(out)


def _phase_panels(rows: Sequence[Row]) -> list[Panel]:
    axis = "env_frames" if any(number(row["env_frames"]) > 0 for row in rows) else "updates"
    keys = [key for key in rows[0] if key not in ("phase", "env_frames", "updates", "wall_s")]
    quantities = list(dict.fromkeys(key.removeprefix("train/").removeprefix("eval/") for key in keys))
    found = []
    for quantity in sorted(quantities, key=_rank):
        training = np.concatenate([mean_series(rows, axis, key) for key in (quantity, f"train/{quantity}")], axis=1)
        panel = Panel(quantity, axis, training, mean_series(rows, axis, f"eval/{quantity}"))
        if panel.training.size or panel.evaluation.size:
            found.append(panel)
    return found


def _rank(quantity: str) -> tuple[int, bool]:
    """Sorting key: the headline quantities, then the others in their order, speed last."""
    return FIRST.index(quantity) if quantity in FIRST else len(FIRST), quantity.startswith("time/")


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    if panel.training.size:
        _draw_training(axes, *panel.training)
    if panel.evaluation.size:
        axes.plot(*panel.evaluation, "o-", color=EVALUATION, linewidth=1.4, markersize=3.5, label="evaluation")
    if panel.training.size and panel.evaluation.size:
        axes.legend(loc="best", fontsize=7.5, handlelength=1.4, borderaxespad=0.2)
    axes.set_title(panel.quantity.removeprefix("time/").replace("_per_s", " per second").replace("_", " "))
    axes.set_xlabel(panel.axis.replace("_", " "), fontsize=7.5)
    scale_axes(axes, panel.quantity)


def _draw_training(axes: "Axes", counter: np.ndarray, value: np.ndarray) -> None:
    if len(value) < SMOOTHED_FROM:
        marker = "o" if len(value) == 1 else None
        axes.plot(counter, value, color=TRAINING, linewidth=1.4, marker=marker, markersize=3.5, label="training")
        return
    axes.plot(counter, value, color=TRAINING, linewidth=0.7, alpha=0.3)
    axes.plot(counter, _running_mean(value), color=TRAINING, linewidth=1.5, label="training")


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Centred mean over a twentieth of the points, at the ends over as many of them as there are."""
    half = max(1, len(values) // 40)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    first, last = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def _short(value: float) -> str:
    """A tick label: 1500000 is 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _gif(frames: np.ndarray, scale: float) -> bytes:
    from PIL import Image

    size = (max(1, round(frames.shape[2] * scale)), max(1, round(frames.shape[1] * scale)))
    images = [Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS) for frame in frames]
    # One palette for all frames, or still parts would flicker.
    some = [np.asarray(images[index]) for index in (0, len(images) // 2, -1)]
    palette = Image.fromarray(np.concatenate(some)).quantize(128)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    file = io.BytesIO()
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=FRAME_MS, loop=0)
    return file.getvalue()


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))
