import csv
import json

import pytest

from benchmarks.collect import collect
from lightning_skills.errors import InputError
from tests.recorded_runs import HEADER, write_run


def test_curves_and_final_evaluations(tmp_path):
    folder = write_run(tmp_path / "runs", seed=1, evaluations=[(100, 1.0, 0.5)], final=(7.0, 0.25))
    metrics = folder / "metrics.csv"
    metrics.write_text(metrics.read_text().replace(HEADER, f"{HEADER}\nskills,0,5,0.0,1.0,,,,"))
    write_run(tmp_path / "runs", seed=2, evaluations=[(100, 1.0, 0.5)])
    collect(tmp_path / "runs", tmp_path / "out", [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["final.csv", "spirl_seed1.csv"]
    assert (tmp_path / "out" / "spirl_seed1.csv").read_text().splitlines() == [
        "phase,env_frames,updates,eval/return,eval/success,train/return,train/success",
        "rl,100,10,1.0,0.5,,",
        "rl,100,10,,,1.0,0.0",
    ]
    with (tmp_path / "out" / "final.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "method": "spirl",
        "task": "maze-small20",
        "name": "default",
        "seed": "seed1",
        "env_frames": "100",
        "updates": "10",
        "episodes": "50",
        "eval/return": "7.0",
        "eval/success": "0.25",
    }


def test_of_runs_with_target_tasks_the_returns_there_and_what_came_before_are_kept(tmp_path):
    folder = write_run(tmp_path / "runs", evaluations=[(100, 1.0, 0.5)], final=(7.0, 0.25))
    rows = [f"adapt/{task},{n},{9 * n},{n + more},0" for task, more in (("a", 0), ("b", 1)) for n in range(12)]
    (folder / "episodes.csv").write_text("\n".join(["phase,episode,env_frames,return,success", *rows, ""]))
    before = json.loads((folder / "summary.json").read_text()) | {"phase": "meta", "eval/return": 3.0}
    (folder / "evaluations/meta").mkdir(parents=True)
    (folder / "evaluations/meta/summary.json").write_text(json.dumps(before))
    (folder / "evaluations/adapt/a").mkdir(parents=True)
    (folder / "evaluations/adapt/a/summary.json").write_text("{}")
    collect(tmp_path / "runs", tmp_path / "out", [])
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"final.csv", "meta.csv", "spirl_seed0.csv", "spirl_seed0_episodes.csv"}
    episodes = (tmp_path / "out/spirl_seed0_episodes.csv").read_text().splitlines()
    assert episodes == ["episode,mean_return_of_10", "0,5.0", "1,6.0", "2,7.0"]
    for name, value in (("meta", "3.0"), ("final", "7.0")):
        with (tmp_path / "out" / f"{name}.csv").open() as file:
            assert [row["eval/return"] for row in csv.DictReader(file)] == [value]


def test_runs_are_chosen_and_never_overwrite_each_other(tmp_path):
    for name in ("default", "strong"):
        write_run(tmp_path / "runs", name=name, evaluations=[(100, 1.0, 0.5)], final=(7.0, 0.25))
    with pytest.raises(InputError, match="would be one file"):
        collect(tmp_path / "runs", tmp_path / "out", [])
    with pytest.raises(InputError, match="is one of spirl/maze-small20/weak"):
        collect(tmp_path / "runs", tmp_path / "out", ["spirl/maze-small20/weak"])
    assert not (tmp_path / "out").exists()
    collect(tmp_path / "runs", tmp_path / "out", ["spirl/maze-small20/strong"])
    assert "strong" in (tmp_path / "out" / "final.csv").read_text()


def test_what_an_env_reports_is_kept(tmp_path):
    folder = write_run(tmp_path / "runs", evaluations=[(100, 1.0, 0.5)], final=(7.0, 0.25))
    metrics, summary = folder / "metrics.csv", folder / "summary.json"
    header, *rows = metrics.read_text().splitlines()
    metrics.write_text("\n".join([f"{header},eval/final_height", *(f"{row},{n}.5" for n, row in enumerate(rows)), ""]))
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "eval/final_height": 3.5, "final_height": [3.5]}))
    collect(tmp_path / "runs", tmp_path / "out", [])
    for name, expected in (("spirl_seed0.csv", ["0.5", "1.5"]), ("final.csv", ["3.5"])):
        with (tmp_path / "out" / name).open() as file:
            read = list(csv.DictReader(file))
        assert [row["eval/final_height"] for row in read] == expected
        assert "final_height" not in read[0]
