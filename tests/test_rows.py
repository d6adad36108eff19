import csv
from types import SimpleNamespace

import pytest
import torch

from lightning_skills.csv_file import FIRST_COLUMNS, CsvFile
from lightning_skills.data.batch_env import EnvInfo
from lightning_skills.errors import InputError
from lightning_skills.phases.base import PhaseContext, PhaseModule
from lightning_skills.rows import Rows


class Told(PhaseModule):
    """Logs what it is told, without learning."""

    plan = build_optimizers = update = artefact = progress = None


def log(path, every, *updates):
    module = Told(PhaseContext(None, EnvInfo({"observation": (3,)}, 2, 10)))
    rows, trainer = Rows("phase", CsvFile(path, FIRST_COLUMNS), every, data=None), SimpleNamespace(loggers=[])
    for number, metrics in enumerate(updates, 1):
        module.updates, module.logged = number, {key: torch.tensor(value) for key, value in metrics.items()}
        rows.on_train_batch_end(trainer, module)
    return list(csv.DictReader(path.open()))


def test_a_row_is_the_mean_of_its_stretch(tmp_path):
    rows = log(tmp_path / "metrics.csv", 2, *({"loss": value} for value in (1.0, 3.0, 5.0, 11.0)))
    assert [(row["updates"], float(row["loss"])) for row in rows] == [("2", 2.0), ("4", 8.0)]


def test_a_phase_need_not_measure_anything(tmp_path):
    assert [row["updates"] for row in log(tmp_path / "metrics.csv", 2, {}, {}, {}, {})] == ["2", "4"]


@pytest.mark.parametrize(
    ("before", "after", "cut"), [(2, 5, [15, 20]), (5, 2, [12, 14, 16, 18, 20]), (3, 3, [12, 15, 18])]
)
def test_a_resumed_phase_may_cut_other_rows(before, after, cut, tmp_path):
    module = Told(PhaseContext(None, EnvInfo({"observation": (3,)}, 2, 10)))
    trainer, states = SimpleNamespace(loggers=[]), [None]
    for every, updates in ((before, range(1, 11)), (after, range(11, 21))):
        rows = Rows("phase", CsvFile(tmp_path / "metrics.csv", FIRST_COLUMNS), every, data=None)
        if states[-1]:
            rows.restore(states[-1])
        rows.on_train_start(trainer, module)
        for module.updates in updates:
            rows.on_train_batch_end(trainer, module)
        states.append(rows.state())
    written = [int(row["updates"]) for row in csv.DictReader((tmp_path / "metrics.csv").open())]
    assert [updates for updates in written if updates > 10] == cut


def test_what_is_not_finite_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match="phase 'phase' diverged: loss is nan by update 2"):
        log(tmp_path / "metrics.csv", 2, {"loss": 1.0}, {"loss": float("nan")})
