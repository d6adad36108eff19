from lightning_skills.evaluation.statistics import describe, probability_of_improvement
from lightning_skills.groups import group_runs
from lightning_skills.recorded import find_runs
from lightning_skills.tables import every_run, improvements, markdown
from tests.recorded_runs import write_run


def groups(root):
    return group_runs(find_runs([root]))


def write(root, method, results, task="small20"):
    """A finished run for each result, its return; seeds count up."""
    for seed, result in enumerate(results):
        write_run(root, method, seed, task, evaluations=[(100, 900.0, 0.9)], final=(result, 0.0))


def test_table_holds_the_final_evaluations(tmp_path):
    evaluations = [(100, 900.0, 0.9)]
    for seed, result in enumerate([(1.0, 0.0), (2.0, 0.5), (6.0, 1.0)]):
        write_run(tmp_path, "spirl", seed=seed, evaluations=[(100 + seed, 900.0, 0.9)], final=result)
    for seed in range(6):
        write_run(tmp_path, "sac", seed=seed, evaluations=evaluations, final=(float(seed), 0.0))
    table = markdown(groups(tmp_path)).splitlines()
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in (table[0], *table[2:4])] == [
        ["task", "method", "seeds", "env frames", "success", "return"],
        ["maze-small20", "sac", "6", "100", "0 [0, 0]", str(describe(list(range(6))))],
        ["maze-small20", "spirl", "3", "100 to 102", "0.5 (0, 0.5, 1)", "3 (1, 2, 6)"],
    ]
    assert table[4] == ""
    assert "warm-up" in table[5]
    assert [line[:3] for line in table[6:]] == ["", "| X", "|--", "| s", "", "Pro"]


def test_runs_without_a_final_evaluation_are_listed_apart(tmp_path):
    write_run(tmp_path, seed=0, evaluations=[(4000, 1.0, 0.0)], final=(2.0, 0.5))
    running = write_run(tmp_path, seed=1, evaluations=[(1200, 100.0, 1.0)])
    waiting = write_run(tmp_path, seed=2)
    lines = markdown(groups(tmp_path)).splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[3:-1]] == ["1", "4,000", "0.5", "2"]
    assert lines[6:] == [
        "Without a final evaluation, and not in the table:",
        "",
        f"- maze-small20, spirl, seed 1: rl, 1,200 of 4,000 env frames ({running})",
        f"- maze-small20, spirl, seed 2: no rows yet ({waiting})",
    ]


def test_no_finished_run(tmp_path):
    write_run(tmp_path, evaluations=[(100, 1.0, 0.0)])
    assert markdown(groups(tmp_path)).startswith("No run is finished yet.\n\nWithout")


def test_a_result_that_is_not_finite_is_named(tmp_path):
    for seed in (4, 7):
        result = (float("nan") if seed == 7 else 1.0, 1.0)
        write_run(tmp_path, seed=seed, evaluations=[(100, 1.0, 1.0)], final=result)
    assert "| 1 (1, 1) | not finite (seed 7) |" in markdown(groups(tmp_path))


def test_every_pair_of_groups_by_hand(tmp_path):
    write(tmp_path, "a", [1.0, 2.0])
    write(tmp_path, "b", [2.0, 0.0, 3.0])
    write(tmp_path, "c", [9.0])
    rows = improvements(groups(tmp_path))
    assert [(row["X"], row["Y"]) for row in rows] == [("a", "b"), ("a", "c"), ("b", "c")]
    # 1 > 0 and 2 > 0 are won, 2 = 2 is half won, of six.
    assert [row["P(X > Y), return"] for row in rows] == ["0.42", "0.00", "0.00"]
    assert {row["P(X > Y), success"] for row in rows} == {"0.50"}
    assert {row["tasks"] for row in rows} == {"maze-small20"}


def test_pairs_are_compared_on_the_tasks_that_both_have(tmp_path):
    write(tmp_path, "a", [1.0], "one")
    write(tmp_path, "a", [1.0, 1.0], "two")
    write(tmp_path, "a", [0.0], "three")
    write(tmp_path, "b", [0.0], "one")
    write(tmp_path, "b", [1.0, 1.0, 2.0, 0.0], "two")
    write(tmp_path, "c", [5.0], "three")
    write(tmp_path, "d", [5.0], "four")
    rows = {(row["X"], row["Y"]): row for row in improvements(groups(tmp_path))}
    assert list(rows) == [("a", "b"), ("a", "c")]
    assert rows["a", "b"]["tasks"] == "maze-one, maze-two"
    assert rows["a", "b"]["P(X > Y), return"] == "0.75"  # the mean of 1 and of 1/2


def test_pairs_of_five_seeds_have_an_interval(tmp_path):
    first, second = [0.0, 3.0, 5.0, 6.0, 9.0], [1.0, 2.0, 4.0, 6.0, 8.0, 7.0]
    write(tmp_path, "a", first)
    write(tmp_path, "b", second)
    (row,) = improvements(groups(tmp_path))
    _, interval = probability_of_improvement([first], [second])
    assert interval is not None
    assert row["P(X > Y), return"] == f"0.48 [{interval[0]:.2f}, {interval[1]:.2f}]"  # 14.5 of 30


def test_pairs_stand_below_the_table_if_there_are_any(tmp_path):
    write(tmp_path, "a", [1.0])
    assert "P(X > Y)" not in markdown(groups(tmp_path))
    write_run(tmp_path, "b", 0, evaluations=[(100, 1.0, 0.0)])
    assert "P(X > Y)" not in markdown(groups(tmp_path))
    write(tmp_path, "c", [0.0])
    lines = markdown(groups(tmp_path)).splitlines()
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[7], lines[9])] == [
        ["X", "Y", "tasks", "P(X > Y), success", "P(X > Y), return"],
        ["a", "c", "maze-small20", "0.50", "1.00"],
    ]
    assert lines[11].startswith("Probability of improvement:")
    assert lines[13].startswith("Without a final evaluation")


def test_pairs_with_a_result_that_is_not_finite(tmp_path):
    write(tmp_path, "a", [1.0])
    write(tmp_path, "b", [0.0, float("nan")])
    (row,) = improvements(groups(tmp_path))
    assert (row["P(X > Y), return"], row["P(X > Y), success"]) == ("not finite", "0.50")


def test_every_run_has_a_row(tmp_path):
    write(tmp_path, "a", [1.0, 2.0])
    write_run(tmp_path, "a", 2, evaluations=[(100, 1.0, 0.0)])
    rows = every_run(groups(tmp_path))
    assert [(row["seed"], row["eval/return"]) for row in rows] == [(0, 1.0), (1, 2.0)]
    assert rows[1]["run"] == str(tmp_path / "a" / "maze-small20" / "default" / "seed1")
    assert not [key for row in rows for key, value in row.items() if isinstance(value, list)]
