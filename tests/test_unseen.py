"""Returns by episode in tasks to test on: what counts, what is averaged, and where it is shown."""

import numpy as np
import pytest

from lightning_skills import unseen
from lightning_skills.comparison import compare, draw_unseen
from lightning_skills.groups import group_runs
from lightning_skills.recorded import RecordedRun, find_runs
from lightning_skills.report import new_figure
from tests.recorded_runs import write_run


def rows(phase, returns, first=0):
    names = ("phase", "episode", "env_frames", "return", "success")
    return [
        dict(zip(names, map(str, (phase, number, 10 * number, value, 0)), strict=True))
        for number, value in enumerate(returns, first)
    ]


def by_episode(*parts):
    return unseen.by_episode(RecordedRun("", {}, [], None, [row for part in parts for row in part]))


def written(root, method="simpl", seed=0, **parts):
    folder = write_run(root, method, seed, evaluations=[(100, 0.5, 0.5)], final=(1.0, 1.0))
    lines = ["phase,episode,env_frames,return,success"]
    lines += [",".join(row.values()) for name, values in parts.items() for row in rows(f"adapt/{name}", values)]
    (folder / "episodes.csv").write_text("\n".join(lines) + "\n")


def test_a_point_is_the_mean_of_the_next_ten_episodes_of_all_tasks():
    numbers, returns = by_episode(rows("adapt/a", range(12)), rows("adapt/b", [2 * n for n in range(12)]))
    assert numbers.tolist() == [0, 1, 2]
    np.testing.assert_allclose(returns, [1.5 * (4.5 + n) for n in range(3)])


def test_it_ends_where_the_shortest_part_does():
    numbers, returns = by_episode(rows("adapt/a", [1] * 11), rows("adapt/b", [3] * 30))
    assert numbers.tolist() == [0, 1]
    assert returns.tolist() == [2, 2]


def test_training_tasks_and_earlier_phases_do_not_count():
    parts = rows("meta", [9] * 20), rows("first/a", [5] * 20), rows("adapt/a", [1] * 10)
    assert by_episode(*parts)[1].tolist() == [1]


def test_what_was_done_again_counts_once_and_as_it_was_at_last():
    assert by_episode(rows("adapt/a", [7] * 15), rows("adapt/a", [1] * 12))[1].tolist() == [1, 1, 1]


@pytest.mark.parametrize("parts", [(), (rows("meta", [9] * 20),), (rows("adapt/a", [1] * 9),)])
def test_there_may_be_nothing_to_show(parts):
    assert by_episode(*parts).shape == (2, 0)


def test_a_meta_learner_that_does_not_train_there_shows_how_it_adapted_in_its_evaluation():
    summary = {"adaptation": {"a": [0.0, 1.0, 4.0], "b": [2.0, 1.0, 6.0]}}
    trained = [*rows("meta", [9] * 20)]
    run = RecordedRun("", {}, [], summary, trained)
    assert unseen.by_episode(run).tolist() == [[0, 1, 2], [1, 1, 5]]
    assert not unseen.trains(run)
    trained += rows("adapt/a", [3] * 10)
    assert unseen.by_episode(RecordedRun("", {}, [], summary, trained)).tolist() == [[0], [3]]


def test_the_table_has_every_seed_and_ends_where_one_has_not_come_farther(tmp_path):
    written(tmp_path, seed=0, a=[0] * 20 + [1] * 120)
    written(tmp_path, seed=1, a=[0] * 20 + [3] * 80)
    (row,) = unseen.rows(group_runs(find_runs([tmp_path])))
    assert row["seeds"] == 2
    cells = {name: cell for name, cell in row.items() if name.startswith("episode")}
    assert cells == {
        "episode 0": "0 (0, 0)",
        "episode 2": "0 (0, 0)",
        "episode 5": "0 (0, 0)",
        "episode 20": "2 (1, 3)",
    }


def test_the_table_is_empty_where_one_group_has_not_come_so_far_as_another(tmp_path):
    written(tmp_path, "simpl", a=[1] * 12)
    written(tmp_path, "spirl", a=[2] * 30)
    rows = unseen.rows(group_runs(find_runs([tmp_path])))
    assert [row["episode 20"] for row in rows] == ["", "2"]
    assert all("episode 100" not in row for row in rows)


def test_a_curve_of_every_method(tmp_path):
    written(tmp_path, "simpl", a=range(12))
    written(tmp_path, "spirl", a=[2] * 15)
    with new_figure(8, 6, tmp_path / "x.png") as figure:
        draw_unseen(figure, group_runs(find_runs([tmp_path])))
        figure.draw_without_rendering()
    (block,) = figure.subfigs
    (axes,) = block.axes
    assert all(tick == round(tick) for tick in axes.get_xticks())
    assert "mean of 10" in axes.get_xlabel()
    assert [np.array(line.get_data()).tolist() for line in axes.lines] == [
        [[0, 1, 2], [4.5, 5.5, 6.5]],
        [[0, 1, 2, 3, 4, 5], [2] * 6],
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["simpl", "spirl"]


def test_the_report_shows_it_where_there_is_something(tmp_path):
    written(tmp_path / "runs", a=[0.25] * 12)
    said = compare(find_runs([tmp_path / "runs"]), tmp_path / "with", [])
    assert "episode 2 " in said
    assert "episode 5" not in said
    assert "unseen.png" in said
    page = (tmp_path / "with" / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "<td>0.25</td>" in page
    (tmp_path / "runs/simpl/maze-small20/default/seed0/episodes.csv").unlink()
    said = compare(find_runs([tmp_path / "runs"]), tmp_path / "without", [])
    assert "episode" not in said
    assert "unseen" not in said
    assert not (tmp_path / "without" / "unseen.png").exists()
    assert (tmp_path / "without" / "report.html").read_text().count("<svg") == 1
