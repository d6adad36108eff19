import numpy as np
import torch

from lightning_skills.nets.standardiser import LEAST_STD, Standardiser


def test_vectors_are_shifted_and_scaled_by_the_moments_of_all_that_was_shown():
    rng = np.random.default_rng(0)
    shown = rng.normal([1.0, -3.0, 5.0], [0.5, 20.0, 1e-4], (30, 3))
    standardiser = Standardiser(3)
    for part in np.split(shown, [1, 7]):
        standardiser.show(torch.tensor(part, dtype=torch.float32))
    asked = torch.tensor(rng.normal(size=(2, 4, 3)), dtype=torch.float32)
    deviation = np.maximum(shown.std(axis=0), [0, 0, LEAST_STD])
    torch.testing.assert_close(
        standardiser(asked).double(), (asked - torch.tensor(shown.mean(0))) / deviation, rtol=1e-5, atol=1e-5
    )


def test_before_any_is_shown_vectors_stay():
    assert torch.equal(Standardiser(2)(torch.tensor([3.0, 4.0])), torch.tensor([3.0, 4.0]))


def test_it_is_restored_with_what_it_was_shown():
    one, other = Standardiser(2), Standardiser(2)
    one.show(torch.tensor([[1.0, 2.0], [3.0, 8.0]]))
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(torch.tensor([3.0, 2.0])), torch.tensor([1.0, -1.0]))
