"""Adam with Nesterov momentum in one kernel (Dozat 2016, with a momentum that stays the same)."""

from __future__ import annotations

from typing import Any

import torch

from enerv_zoo.registry import optimizers


@optimizers.register("nesterov_adam")
class NesterovAdam(torch.optim.Adam):
    """Adam whose steps look ahead: they take the first moment as it will be, were the gradient the same once more.

    It costs one operation more than Adam, where PyTorch's NAdam takes ten for each tensor. With the first moment m of
    before and its decay b, a step is along b^2 m + (1 - b^2) g: what Adam does with the decay b^2, after which the
    moment is led back to b m + (1 - b) g.

    Args:
        groups: of parameters.
        lr: of all parameters, as for Adam.
        betas: decays of the moments.
        eps: of Adam.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(groups, lr, betas=(betas[0] ** 2, betas[1]), eps=eps, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step; gradients stay as they are."""
        super().step()
        for group in self.param_groups:
            decay = group["betas"][0] ** 0.5
            for parameter in group["params"] if decay else ():  # without a decay, the moment is the gradient
                if parameter.grad is not None:
                    self.state[parameter]["exp_avg"].lerp_(parameter.grad, 1 - 1 / decay)
