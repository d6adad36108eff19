"""Files of a finished run that are cut short, empty, overwritten or gone: whatever reads them says so in one line."""

import random
import shutil

import pytest

from lightning_skills import config
from lightning_skills.artefacts import Artefact
from lightning_skills.command import train
from lightning_skills.errors import InputError
from lightning_skills.recorded import find_runs

SMOKE = ["method=reward_weighted", "env=target", "debug=smoke", "logging=csv", "logging.progress=false"]
DAMAGE = {
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "random": lambda content: random.Random(0).randbytes(len(content)),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Runs with one that is finished."""
    folder = tmp_path_factory.mktemp("runs")
    assert train([*SMOKE, f"runs_dir={folder}"]) == 0
    return folder


def said(read, *arguments):
    """What a reader complains of, in one line; None if it takes everything."""
    try:
        read(*arguments)
    except InputError as error:
        complaint = str(error)
    else:
        return None
    assert "\n" not in complaint
    return complaint


def test_a_config_that_ends_with_any_of_its_first_lines_is_damaged(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    file = next(tmp_path.glob("*/*/*/seed0/config.yaml"))
    lines = file.read_text().splitlines(keepends=True)
    for kept in range(1, lines.index("logging:\n") + 1):
        file.write_text("".join(lines[:kept]))
        assert str(file) in said(find_runs, [file.parent])


@pytest.mark.parametrize("kind", [*DAMAGE, "gone"])
@pytest.mark.parametrize("name", ["config.yaml", "summary.json", "metrics.csv", "episodes.csv"])
def test_whoever_reads_a_run_says_what_is_damaged(name, kind, finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    folder = next(tmp_path.glob("*/*/*/seed0"))
    file = folder / name
    content = file.read_bytes()
    file.unlink()
    if kind != "gone":
        file.write_bytes(DAMAGE[kind](content))
    complaints = [said(config.restore, folder), said(find_runs, [folder])]
    capsys.readouterr()
    status, error = train([*SMOKE, f"runs_dir={tmp_path}"]), capsys.readouterr().err
    if name == "config.yaml":
        assert str(file) in complaints[0] or name in complaints[0]
        assert kind == "gone" or str(file) in complaints[1]
        assert (status, error.count("\n")) == ((0, 0) if kind == "gone" else (2, 1))
        assert kind == "gone" or str(file) in error
        assert kind != "gone" or said(config.restore, folder) is None  # written anew
        return
    assert (complaints[0], status) == (None, 0)  # they do not read it
    if kind == "random" or (name == "summary.json" and kind != "gone"):
        assert str(file) in complaints[1]
        return
    (run,) = find_runs([folder])  # as if it were not written yet
    assert run.summary is None or name == "episodes.csv"


@pytest.mark.parametrize("kind", [*DAMAGE, "gone"])
@pytest.mark.parametrize("name", ["artefact.json", "model.safetensors"])
def test_an_artefact_says_what_is_damaged(name, kind, finished, tmp_path):
    folder = tmp_path / "policy"
    shutil.copytree(next(finished.glob("*/*/*/seed0/artefacts/policy")), folder)
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if kind != "gone":
        (folder / name).write_bytes(DAMAGE[kind](content))
    complaint = said(Artefact.load, folder, "policy")
    assert f"{folder / name} is {'missing' if kind == 'gone' else 'damaged'}" in complaint
    assert complaint.endswith(f"take a whole copy, or delete {folder}, and its run's command makes it again")


def test_a_lost_artefact_is_made_again_and_rows_stay(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    folder = next(tmp_path.glob("*/*/*/seed0"))
    files = [
        folder / name for name in ("metrics.csv", "episodes.csv", "summary.json", "artefacts/policy/artefact.json")
    ]
    before = [file.read_bytes() for file in files]
    shutil.rmtree(folder / "artefacts")
    (folder / "summary.json").write_text("{")
    assert train([*SMOKE, f"runs_dir={tmp_path}"]) == 0
    assert [file.read_bytes() for file in files] == before
