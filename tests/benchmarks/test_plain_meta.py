"""The plain updates are ours: the same losses and weights after the same batches, in double precision."""

import pytest
import torch
from tensordict import TensorDict

from benchmarks.meta_updates import PLAIN, built
from benchmarks.synthetic import transitions
from lightning_skills.config import load

WORDS = {
    "pearl": ("method=pearl", "env=locomotion", "env.task=cheetah-vel", "debug=smoke"),
    "simpl": (
        "method=simpl",
        "env=maze",
        "debug=smoke",
        "method.meta.divergence_clip=0.01",
        "method.meta.small_embedding_target=0.001",
        "method.meta.large_embedding_target=0.001",
    ),
}
"""Clip and targets are such that they matter from the first update on."""
UPDATES = 3
BOUNDED = {"pearl": torch.tanh, "simpl": lambda action: action}
"""Of what a policy sampled; the plain side is given what is executed."""


def plainly(batch: TensorDict, bounded) -> dict[str, torch.Tensor]:
    following = batch["next"]
    return {
        "observation": batch["observation"],
        "action": bounded(batch["action"]),
        "next_observation": following["observation"],
        "reward": following["reward"],
        "done": following["terminated"].double(),
    }


@pytest.mark.parametrize("method", WORDS)
def test_both_sides_do_the_same(method, monkeypatch):
    # The order of draws is free, so the noise must not depend on it.
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.linspace(-0.5, 0.8, x.shape[-1]).to(x).expand_as(x))
    torch.manual_seed(0)
    module, _ = built(load(WORDS[method]))
    module.transitions = 1
    due = module.plan()[-1]
    module.double().build_optimizers()
    plain = PLAIN[method](module).train()
    sizes = module.context.env.state_dim, module.skill_execution().action_dim
    for _ in range(UPDATES):
        task = torch.randint(len(module.train_tasks), (sum(due.groups),))
        parts = []
        for groups, items in zip((*due.groups, len(task)), (*due.contexts, due.batch_size), strict=True):
            fresh = module.annotate(transitions(*sizes, groups * items)).reshape(groups, items)
            parts.append(fresh.double().set(("next", "terminated"), fresh["next", "terminated"]))
        *contexts, batch = parts
        named = {f"context_{index}": context for index, context in enumerate(contexts)}
        ours = module.update(TensorDict({"task": task, "transitions": batch, **named}))
        theirs = plain.update(task, *plain_arguments(contexts, batch, BOUNDED[method]))
        for name, loss in theirs.items():
            torch.testing.assert_close(
                ours[name], loss.detach(), rtol=1e-6, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}"
            )
    for name, ours, theirs in networks(method, module, plain):
        for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine, its, rtol=1e-6, atol=1e-7, msg=said_of(name))


def said_of(name):
    return lambda message: f"{name}: {message}"


def plain_arguments(contexts, batch, bounded):
    return [plainly(context, bounded) for context in contexts], plainly(batch, bounded)


def networks(method, module, plain):
    shared = [("policy", module.policy, plain.policy), ("critics", module.critics, plain.critics)]
    if method == "pearl":
        return [
            *shared,
            ("encoder", module.encoder, plain.encoder),
            ("value", module.value, plain.value),
            ("target", module.target_value, plain.target_value),
        ]
    own = {name: getattr(module, name) for name in plain.multipliers}
    multipliers = [(name, each, torch.nn.ParameterList([plain.multipliers[name]])) for name, each in own.items()]
    return [
        *shared,
        ("encoder", module.encoder, plain.transformer),
        ("targets", module.target_critics, plain.target_critics),
        *multipliers,
    ]
