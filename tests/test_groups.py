import shutil

import pytest

from lightning_skills.errors import InputError
from lightning_skills.groups import group_runs
from lightning_skills.recorded import find_runs
from tests.recorded_runs import write_run


def groups(root, *by):
    return group_runs(find_runs([root]), by)


def shown(root, *by):
    """Task, label and seeds of every group."""
    return [(group.task, str(group), [run.seed for run in group.runs]) for group in groups(root, *by)]


def test_runs_that_differ_in_the_seed_are_one_group(tmp_path):
    for seed in (10, 9, 0):
        write_run(tmp_path, seed=seed)
    assert shown(tmp_path) == [("maze-small20", "spirl", [0, 9, 10])]


def test_what_may_change_on_resume_does_not_count(tmp_path):
    write_run(tmp_path / "a", seed=0)
    write_run(tmp_path / "b", seed=1, **{"logging.mlflow": True, "phase": "rl"})
    assert shown(tmp_path) == [("maze-small20", "spirl", [0, 1])]


def test_methods_are_named_however_much_else_differs(tmp_path):
    write_run(tmp_path, "spirl", **{"method.rl.lr": 1.0, "evaluation.episodes": 3})
    write_run(tmp_path, "sac", **{"method.rl.lr": 2.0, "evaluation.episodes": 4})
    assert [label for _, label, _ in shown(tmp_path)] == ["sac", "spirl"]


def test_options_that_differ_are_named_by_the_shortest_end(tmp_path):
    for lr in (1e-3, 10.0, 2.0):
        write_run(tmp_path / str(lr), **{"method.rl.lr": lr})
    # Not "lr": the skills have one too.
    assert [label for _, label, _ in shown(tmp_path)] == ["rl.lr=0.001", "rl.lr=2.0", "rl.lr=10.0"]


def test_the_fewest_options_that_tell_all_apart(tmp_path):
    for index, (radius, horizon) in enumerate([(1, 100), (1, 200), (2, 100), (2, 200)]):
        changes = {"env.radius": radius, "env.horizon": horizon, "env.half": radius / 2, "env.twelve": index // 3}
        write_run(tmp_path / str(index), **changes)
    labels = [label for _, label, _ in shown(tmp_path)]
    assert labels == [f"horizon={horizon}, radius={radius}" for horizon in (100, 200) for radius in (1, 2)]


def test_given_names_are_shown_and_digests_are_not(tmp_path):
    write_run(tmp_path / "a", name="default")
    write_run(tmp_path / "a", name="strong", **{"method.rl.lr": 1.0})
    assert [label for _, label, _ in shown(tmp_path / "a")] == ["default", "strong"]
    write_run(tmp_path / "b", name="default")
    write_run(tmp_path / "b", name="0123abcd", **{"method.rl.lr": 1.0})
    assert [label for _, label, _ in shown(tmp_path / "b")] == ["rl.lr=0.0003", "rl.lr=1.0"]


def test_the_method_comes_first_and_what_it_has_not_is_left_out(tmp_path):
    write_run(tmp_path, "sac")
    for beta in (0.5, 1.0):
        write_run(tmp_path / str(beta), "spirl", **{"method.rl.beta": beta})
    assert [label for _, label, _ in shown(tmp_path)] == ["sac", "spirl, beta=0.5", "spirl, beta=1.0"]
    assert groups(tmp_path)[0].label == {"method": "sac", "beta": ""}


def test_tasks_are_apart_and_need_no_label(tmp_path):
    """Presets differ from task to task, and still a method has one name on all of them."""
    for task, lr in (("small20", 1.0), ("large40", 2.0)):
        write_run(tmp_path, "spirl", task=task, **{"method.rl.lr": lr, "env.radius": lr})
        write_run(tmp_path, "sac", task=task)
    assert [(task, label) for task, label, _ in shown(tmp_path)] == [
        ("maze-large40", "sac"),
        ("maze-large40", "spirl"),
        ("maze-small20", "sac"),
        ("maze-small20", "spirl"),
    ]


def test_every_seed_may_take_the_skills_of_its_own_seed(tmp_path):
    for seed in (1, 11):
        write_run(tmp_path, seed=seed, **{"sources": {"skills": f"runs/spirl/seed{seed}"}})
    assert shown(tmp_path) == [("maze-small20", "spirl", [1, 11])]
    write_run(tmp_path / "other", seed=2, **{"sources": {"skills": "runs/spirl/seed1"}})
    assert [seeds for *_, seeds in shown(tmp_path)] == [[1, 11], [2]]
    for seed in (3, 4):
        write_run(tmp_path / "others", seed=seed, **{"sources": {"skills": f"runs/spirl/seed{seed}0"}})
    assert [seeds for *_, seeds in shown(tmp_path / "others")] == [[3], [4]]


def test_grouping_by_options(tmp_path):
    for method, lr in (("sac", 1.0), ("spirl", 1.0), ("spirl", 2.0)):
        write_run(tmp_path / str(lr), method, **{"method.rl.lr": lr})
    assert shown(tmp_path, "method") == [("maze-small20", "sac", [0]), ("maze-small20", "spirl", [0, 0])]
    write_run(tmp_path / "task", "spirl", task="a")
    assert [group for group in shown(tmp_path, "method") if group[0] == "maze-a"] == [("maze-a", "spirl", [0])]
    shutil.rmtree(tmp_path / "task")
    for word in ("rl.lr", "method.rl.lr"):
        labels = [(label, len(seeds)) for _, label, seeds in shown(tmp_path, word)]
        assert labels == [("rl.lr=1.0", 2), ("rl.lr=2.0", 1)]
    assert [label for _, label, _ in shown(tmp_path, "rl.lr", "method")] == [
        "rl.lr=1.0, sac",
        "rl.lr=1.0, spirl",
        "rl.lr=2.0, spirl",
    ]


@pytest.mark.parametrize(
    ("word", "named"),
    [("lr", "method.skills.lr or method.rl.lr"), ("metod", "did you mean method"), ("qqq", "'qqq' to group by; see")],
)
def test_grouping_by_what_is_not_there(tmp_path, word, named):
    write_run(tmp_path)
    with pytest.raises(InputError, match=named):
        groups(tmp_path, word)


def test_a_copy_of_a_run_is_refused(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    with pytest.raises(InputError, match=r"a/spirl.* and .*b/spirl.* same config and seed"):
        groups(tmp_path)
    with pytest.raises(InputError, match="same config and seed"):
        groups(tmp_path, "method")


def test_curves_are_those_of_the_furthest_online_phase(tmp_path):
    header = "phase,env_frames,updates,wall_s,x\n"
    for seed, rows in enumerate(["meta,10,1,0,1\n", "meta,10,1,0,1\nadapt,5,1,0,2\n", "", "skills,0,1,0,7\n"]):
        (write_run(tmp_path, seed=seed) / "metrics.csv").write_text(header + rows)
    (group,) = groups(tmp_path)
    assert [curve.tolist() for curve in group.curves("x")] == [[[5], [2]]]
    (group,) = group_runs(find_runs([tmp_path / "spirl" / "maze-small20" / "default" / "seed3"]))
    assert group.curves("x") == []
