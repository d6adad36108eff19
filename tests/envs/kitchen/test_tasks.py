"""The named tasks, against the published lists."""

import pytest

from envs.kitchen import ENV
from envs.kitchen.config import KitchenConfig
from envs.kitchen.env import make
from envs.kitchen.tasks import DISTRIBUTIONS, SUBTASKS, TASKS
from lightning_skills.errors import InputError

# SiMPL's release codes subtasks as the numbers of this list.
CODES = ["bottom burner", "top burner", "light switch", "slide cabinet", "hinge cabinet", "microwave", "kettle"]
TRAIN = (
    "5603 5013 5124 6024 5041 6123 5630 6230 5601 5634 5031 6021 5612 5624 5023 6012 5234 5014 6034 0132 5623 6014 0123"
)
TEST = "5021 5012 6023 5614 6031 6234 6013 5034 0134 5604"


@pytest.mark.parametrize(("codes", "part"), [(TRAIN, "train"), (TEST, "test")])
def test_simpls_tasks_are_the_published_ones_in_order(codes, part):
    names = getattr(DISTRIBUTIONS["simpl"], part)
    published = [tuple(CODES[int(digit)] for digit in code) for code in codes.split()]
    assert [TASKS[name].subtasks for name in names] == published
    assert all(TASKS[name].shown == ("microwave", "kettle", "bottom burner", "light switch") for name in names)


def test_simpls_test_tasks_are_no_training_tasks():
    train, test = DISTRIBUTIONS["simpl"].train, DISTRIBUTIONS["simpl"].test
    assert (len(set(train)), len(set(test)), len(set(train) & set(test))) == (23, 10, 0)


def test_spirls_and_skimos_tasks():
    assert TASKS["mkbl"].subtasks == ("microwave", "kettle", "bottom burner", "light switch")
    assert TASKS["mlsh"].subtasks == ("microwave", "light switch", "slide cabinet", "hinge cabinet")
    assert TASKS["kbts"].subtasks == ("kettle", "bottom burner", "top burner", "slide cabinet")
    assert all(TASKS[name].shown == TASKS[name].subtasks for name in ("mkbl", "mlsh", "kbts"))


def test_subtasks_are_those_of_frankakitchen():
    from gymnasium_robotics.envs.franka_kitchen import kitchen_env

    assert {name: subtask.joints for name, subtask in SUBTASKS.items()} == {
        name: tuple(indices) for name, indices in kitchen_env.OBS_ELEMENT_INDICES.items()
    }
    assert {name: subtask.goal for name, subtask in SUBTASKS.items()} == {
        name: tuple(goal) for name, goal in kitchen_env.OBS_ELEMENT_GOALS.items()
    }


def test_every_task_can_be_chosen_and_an_unknown_one_names_the_close_ones():
    assert set(ENV.tasks) == set(TASKS)
    with pytest.raises(InputError, match="unknown kitchen task 'mkb'; did you mean mkbl"):
        make(KitchenConfig(task="mkb"), seeds=[0])
