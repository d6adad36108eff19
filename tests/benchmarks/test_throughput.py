import pytest

from benchmarks.throughput import Shape, pretraining, reinforcement
from lightning_skills.phases.options import SkillPretrainOptions, SkillRLOptions

SMALL = {"horizon": 4, "latent_dim": 4, "encoder_width": 8, "width": 16, "decoder_layers": 2, "prior_layers": 2}
SHAPE = Shape("small", 6, 3, SkillPretrainOptions(**SMALL), SkillRLOptions(critic_width=16, batch_size=8), {})


@pytest.mark.parametrize(
    ("make", "names"), [(pretraining, ["skill pre-training", "with its data path"]), (reinforcement, ["skill RL"])]
)
def test_every_comparison_can_be_made(make, names):
    comparisons = make(SHAPE)
    assert [comparison.name for comparison in comparisons] == names
    for comparison in comparisons:
        comparison.ours()
        comparison.plain()
