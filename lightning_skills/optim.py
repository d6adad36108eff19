"""Adam, RAdam and Polyak averaging with little cost per parameter."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM_EPS = 1e8


class FusedAdam(torch.optim.Adam):
    """``torch.optim.Adam`` by its fused kernel, without checks and a step counter for each parameter.

    The state is laid out as torch's, so that either loads what the other saved. Every parameter must have a gradient.

    Args:
        params: Parameters, or groups of them as torch has them.
        lr: Learning rate.
        betas: Decay of both moments.
        eps: Added to the root of the second moment.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr=lr, betas=betas, eps=eps, fused=True)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            states = [self._state_of(parameter) for parameter in group["params"]]
            step = states[0]["step"] = states[0]["step"] + 1  # not in place: an older state dict may hold it
            for state in states:
                state["step"] = step
            torch._fused_adam_(
                group["params"],
                [laid_out_as(parameter, parameter.grad) for parameter in group["params"]],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [step] * len(states),
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=0.0,
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )
        return loss

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


class GrowingAdam(FusedAdam):
    """Adam whose parameters never become smaller: gradients that would make them so count as zero.

    For multipliers of constraints that are only ever tightened.
    """

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                # So is then the momentum: where it alone moves a parameter, as that of a task that is not in the batch,
                # this too can only grow.
                parameter.grad.clamp_(max=0.0)
        return super().step(closure)


@torch.no_grad()
def follow(followers: nn.Module, leaders: nn.Module, tau: float) -> None:
    """Move the parameters of target networks by tau towards those that they follow (Polyak averaging)."""
    ours: list[Tensor] = [*followers.parameters()]
    theirs: list[Tensor] = [*leaders.parameters()]
    torch._foreach_lerp_(ours, theirs, tau)


def laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient in the parameter's memory layout: the fused kernel walks through both in parallel."""
    same = gradient.stride() == parameter.stride()
    return gradient if same else torch.empty_like(parameter).copy_(gradient)


class FusedRAdam(FusedAdam):
    """``torch.optim.RAdam`` by means of the fused kernel of Adam, a third of the time on a CPU.

    RAdam (Liu et al. 2020) is Adam whose learning rate is multiplied by a rectification that depends on the step alone;
    during the first steps, where that is undefined, it follows the momentum without dividing by the gradients' size.
    An epsilon so large that it outweighs their size makes Adam do the same, with the learning rate multiplied by it.

    Args:
        params: Parameters.
        lr: Learning rate; a scheduler would have to change ``base_lr`` of the groups.
        betas: Decay of both moments.
        eps: Added to the root of the second moment, before its bias is corrected as torch's RAdam does.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr, betas, eps)
        for group in self.param_groups:
            # Steps are counted here too: the kernel's own count may lie on a GPU, and reading it would wait for that.
            group["base_lr"], group["base_eps"], group["taken"] = lr, eps, 0

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step."""
        for group in self.param_groups:
            group["taken"] += 1
            group["lr"], group["eps"] = rectified(
                group["base_lr"], group["base_eps"], group["betas"][1], group["taken"]
            )
        return super().step(closure)


def rectified(lr: float, eps: float, beta: float, step: float) -> tuple[float, float]:
    """Learning rate and epsilon with which Adam's step of this number (from 1) is RAdam's.

    Args:
        lr: RAdam's learning rate.
        eps: RAdam's epsilon.
        beta: Decay of the second moment.
        step: Number of the step.
    """
    correction, longest = 1 - beta**step, 2 / (1 - beta) - 1
    length = longest - 2 * step * beta**step / correction
    if length <= 5:
        return lr * MOMENTUM_EPS, MOMENTUM_EPS
    gain = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return lr * math.sqrt(gain), eps / math.sqrt(correction)
