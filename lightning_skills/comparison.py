"""``python -m lightning_skills report``: curves and tables over any set of recorded runs."""

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lightning_skills import tables, unseen
from lightning_skills.command import Tolerance
from lightning_skills.errors import InputError
from lightning_skills.evaluation.statistics import MIN_SEEDS, describe_curves
from lightning_skills.groups import Group, group_runs
from lightning_skills.mlflow_runs import PREFIX, find_mlflow_runs
from lightning_skills.page import page
from lightning_skills.recorded import RecordedRun, align, find_runs
from lightning_skills.report import PANEL, columns_for, csv_table, make_folder, new_figure, scale_axes
from lightning_skills.words import options_and_places

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

OPTIONS = {"out": "report", "metric": "", "by": "", "uri": ""}
SMOKE = "smoke"
"""What runs with ``debug=smoke`` are called, unless they were given another name."""
HEADLINE = ("return", "success")
"""What is drawn unless told otherwise."""
PREFIXES = {"eval/": "evaluation ", "train/": "training ", "": ""}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#333a45")
"""Told apart by colour-blind eyes too (Okabe and Ito, 2008)."""
DASHES: tuple[Literal["solid", "dashed", "dotted"], ...] = ("solid", "dashed", "dotted")
"""For more groups than colours."""

ANONYMOUS = dict.fromkeys(("Creator", "Date", "Format", "Type"))
"""Without date and version, the same runs give the same file."""
Style = tuple[str, Literal["solid", "dashed", "dotted"]]


def main(words: Sequence[str]) -> int:
    """The command: runs, folders above them, ``mlflow:EXPERIMENT``, ``key=value`` options; returns the exit status.

    Raises:
        InputError: as :func:`compare`, or if an option is unknown. A folder that is bad is said and left out.
    """
    options, places = options_and_places(words, OPTIONS)
    metrics, by = (list(filter(None, options[key].split(","))) for key in ("metric", "by"))
    skip = Tolerance()
    runs = _without_smoke(_find(places, options["uri"], skip))
    if runs:
        print(compare(runs, Path(options["out"]), metrics, by, ["python", "-m", "lightning_skills", "report", *words]))
    return skip.status


def compare(
    runs: Sequence[RecordedRun],
    out: Path,
    metrics: Sequence[str],
    by: Sequence[str] = (),
    made_by: Sequence[str] = (),
) -> str:
    """Write ``report.html``, ``curves.png``, ``curves.svg``, ``table.md`` and ``table.csv``.

    Where runs have acted in tasks to test on, ``unseen.png`` and ``unseen.svg`` too.

    Args:
        runs: What to compare.
        out: Folder of the report, made if it is not there.
        metrics: Quantities to draw; ``success`` stands for ``eval/success`` and ``train/success``.
        by: Options to group by; without any, runs of the same config are together.
        made_by: The command that makes this report, for the page.

    Returns:
        The table and where the files are, for the terminal.

    Raises:
        InputError: if no run has rows, there is no such metric or option, a run is there twice, or ``out`` cannot be
            written.
    """
    groups = group_runs(runs, by)
    keys = _columns(groups, metrics)
    table = tables.markdown(groups)
    make_folder(out)
    try:
        (out / "table.md").write_text(table + "\n")
        (out / "table.csv").write_text(csv_table(tables.every_run(groups)))
        drawn = [group for group in groups if any(group.curves(key) for key in keys)]
        with new_figure(*_size(drawn, keys), out / "curves.png") as figure:
            draw(figure, drawn, keys)
            figure.savefig(out / "curves.png")
            figure.savefig(out / "curves.svg", metadata=ANONYMOUS)
        learners = [group for group in groups if unseen.curves(group)]
        if learners:
            with new_figure(*_size(learners, ["return"]), out / "unseen.png") as figure:
                draw_unseen(figure, learners)
                figure.savefig(out / "unseen.png")
                figure.savefig(out / "unseen.svg", metadata=ANONYMOUS)
        svgs = [(out / f"{name}.svg").read_text() for name in ("curves", *["unseen"] * bool(learners))]
        (out / "report.html").write_text(page(groups, svgs[0], made_by, *svgs[1:]))
    except PermissionError as error:
        raise InputError(f"cannot write to {out}: {error.strerror}") from None
    names = ["report.html", "curves.png", "curves.svg", "table.md", "table.csv"]
    names += ["unseen.png", "unseen.svg"] if learners else []
    return "\n".join([table, "", *[f"look at  {out / name}" for name in names]])


def draw(figure: "Figure", groups: Sequence[Group], keys: Sequence[str]) -> None:
    """Draw metrics over env frames: a block for each task, a panel for each metric, a colour for each group.

    Below 5 seeds a group is their mean and a thin line for each, from 5 on the interquartile mean with its bootstrap
    interval. While one of them is unfinished the seeds are drawn as well, since it ends the common curve.

    Args:
        figure: An empty one of :func:`compare`'s size.
        groups: What to compare; each has one of the metrics at least.
        keys: Columns of ``metrics.csv``.
    """
    _draw_tasks(figure, groups, lambda block, members, styles: _draw_task(block, members, keys, styles))


def draw_unseen(figure: "Figure", groups: Sequence[Group]) -> None:
    """Draw the returns of episodes in tasks to test on over their number, as :func:`draw` does.

    Args:
        figure: An empty one.
        groups: Those of which there are such returns.
    """
    _draw_tasks(figure, groups, _draw_unseen)


def _draw_tasks(
    figure: "Figure",
    groups: Sequence[Group],
    draw_task: Callable[["SubFigure", Sequence[Group], Mapping[str, Style]], None],
) -> None:
    from matplotlib.lines import Line2D

    names = list(dict.fromkeys(map(str, groups)))
    cycle = itertools.cycle((colour, dashes) for dashes in DASHES for colour in COLOURS)
    styles: dict[str, Style] = dict(zip(names, cycle, strict=False))
    tasks = tables.by_task(groups)
    blocks = figure.subfigures(len(tasks), 1, squeeze=False)[:, 0]
    for block, (task, members) in zip(blocks, tasks.items(), strict=True):
        block.suptitle(task, x=0.012, ha="left", fontsize=12, fontweight="bold")
        draw_task(block, members, styles)
    handles = [Line2D([], [], color=colour, linestyle=dashes, linewidth=2) for colour, dashes in styles.values()]
    figure.legend(handles, names, loc="outside upper left", ncols=4, fontsize=9)
    figure.supxlabel(_caption(groups), x=0.012, ha="left", fontsize=7.5, color="#6b7380")


def _find(places: Sequence[Path], uri: str, skip: Tolerance) -> list[RecordedRun]:
    """The runs of all places, of whichever kind."""
    experiments = [str(place).removeprefix(PREFIX) for place in places if str(place).startswith(PREFIX)]
    folders = [place for place in places if not str(place).startswith(PREFIX)]
    if uri and not experiments:
        raise InputError(f"uri= says where {PREFIX}EXPERIMENT is; give one, or leave it out")
    return find_runs(folders, skip) + (find_mlflow_runs(experiments, uri) if experiments else [])


def _without_smoke(runs: Sequence[RecordedRun]) -> Sequence[RecordedRun]:
    """Without those that only tried whether all phases run, unless there are no others."""
    others = [run for run in runs if run.name != SMOKE]
    if others and len(others) < len(runs):
        print(f"left out: runs with debug=smoke, {len(runs) - len(others)} of {len(runs)}", file=sys.stderr)
    return others or runs


def _columns(groups: Sequence[Group], metrics: Sequence[str]) -> list[str]:
    """The columns that metrics stand for, evaluations first; those that no group has are left out."""
    columns = []
    for metric in metrics or HEADLINE:
        found = [key for key in (f"eval/{metric}", f"train/{metric}", metric) if any(g.curves(key) for g in groups)]
        if metrics and not found:
            raise InputError(
                f"no run has {metric!r} over env frames; there is {', '.join(_there(groups)) or 'nothing'}"
            )
        columns += found
    if not columns:
        raise InputError(_why_nothing(groups))
    return sorted(dict.fromkeys(columns), key=lambda key: [key.startswith(prefix) for prefix in PREFIXES], reverse=True)


def _there(groups: Sequence[Group]) -> list[str]:
    """All quantities that can be drawn."""
    rows = [run.rows[0] for group in groups for run in group.runs if run.rows]
    keys = [key for row in rows for key in row if key not in ("phase", "env_frames", "updates", "wall_s")]
    drawable = [key for key in dict.fromkeys(keys) if any(group.curves(key) for group in groups)]
    return list(dict.fromkeys(key.removeprefix("eval/").removeprefix("train/") for key in drawable))


def _why_nothing(groups: Sequence[Group]) -> str:
    run = max((run for group in groups for run in group.runs), key=lambda run: len(run.rows))
    if not run.rows:
        return f"{run.place} has no rows yet; wait for the first logging step"
    there = _there(groups)
    if there:
        return f"no run has a return or success over env frames; give metric=, there is {', '.join(there)}"
    return f"no run has stepped its environment yet; {run.place} is at {run.progress()}"


def _size(groups: Sequence[Group], keys: Sequence[str]) -> tuple[float, float]:
    columns = columns_for(len(keys))
    block = PANEL[1] * math.ceil(len(keys) / columns) + 0.35
    return max(columns, 2) * PANEL[0], len(tables.by_task(groups)) * block + 0.5


def _draw_task(block: "SubFigure", groups: Sequence[Group], keys: Sequence[str], styles: Mapping[str, Style]) -> None:
    columns = columns_for(len(keys))
    grid = block.subplots(math.ceil(len(keys) / columns), columns, squeeze=False).ravel()
    for axes in grid[len(keys) :]:
        axes.set_axis_off()
    for axes, key in zip(grid, keys, strict=False):
        for group in groups:
            if curves := group.curves(key):
                _draw_group(axes, curves, bool(group.unfinished), styles[str(group)])
        if axes.lines:
            _dress(axes, key)
        else:
            axes.set_axis_off()
    # One range for all: evaluations begin and end elsewhere than training rows.
    last = max(axes.dataLim.x1 for axes in grid if axes.lines)
    for axes in grid:
        axes.set_xlim(-0.03 * last, 1.03 * last)


def _draw_unseen(block: "SubFigure", groups: Sequence[Group], styles: Mapping[str, Style]) -> None:
    axes = block.subplots()
    for group in groups:
        _draw_group(axes, unseen.curves(group), bool(group.unfinished), styles[str(group)])
    axes.set_title("return by episode in tasks to test on")
    means = any(unseen.trains(run) for group in groups for run in group.runs)
    how = f" (of training: mean of {unseen.WINDOW} from it on)" if means else ""
    axes.set_xlabel(f"episode{how}", fontsize=7.5)
    scale_axes(axes, "return")


def _draw_group(axes: "Axes", curves: Sequence[np.ndarray], unfinished: bool, style: Style) -> None:
    frames, values = align(curves)
    centre, interval = describe_curves(values)
    if len(curves) > 1 and (interval is None or unfinished):
        for curve in curves:
            _line(axes, curve, style, 0.8, 0.35)
    if interval is not None:
        axes.fill_between(frames, *interval, color=style[0], alpha=0.18, linewidth=0)
    _line(axes, np.stack([frames, centre]), style, 2)


def _line(axes: "Axes", curve: np.ndarray, style: Style, width: float, alpha: float = 1.0) -> None:
    marker = "o" if curve.shape[1] == 1 else None
    colour, dashes = style
    axes.plot(*curve, color=colour, linestyle=dashes, linewidth=width, alpha=alpha, marker=marker, markersize=3.5)


def _caption(groups: Sequence[Group]) -> str:
    numbers = [len(group.runs) for group in groups]
    few = f"below {MIN_SEEDS} seeds: their mean, and each of them thin"
    many = f"from {MIN_SEEDS} seeds on: interquartile mean and 95 % bootstrap interval"
    return "; ".join([few] * (min(numbers) < MIN_SEEDS) + [many] * (max(numbers) >= MIN_SEEDS))


def _dress(axes: "Axes", key: str) -> None:
    prefix = next(prefix for prefix in PREFIXES if key.startswith(prefix))
    quantity = key.removeprefix(prefix)
    axes.set_title(f"{PREFIXES[prefix]}{quantity}".removeprefix("time/").replace("_", " "))
    axes.set_xlabel("env frames", fontsize=7.5)
    scale_axes(axes, quantity)
