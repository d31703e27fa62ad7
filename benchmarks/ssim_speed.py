"""Speed of SSIM with its gradient, and of MS-SSIM where the size allows: `enerv_zoo.ssim` against pytorch_msssim.

python benchmarks/ssim_speed.py --resolution 360x640 --measure ms_ssim
"""

from __future__ import annotations

from collections.abc import Callable

import pytorch_msssim
import torch
from common import Case, height_width, parse_case, publish, summary, take_turns
from torch import Tensor

from enerv_zoo import ssim

REPEATS = 5


def contestant(measure: Callable[[Tensor, Tensor], Tensor], case: Case) -> Callable[[], None]:
    """A function that computes value and gradient `REPEATS` times; predictions come as networks here draw them."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(case["batch"], 3, *height_width(case), generator=generator).to(case["device"])
    drawn = (0.9 * target).contiguous(memory_format=torch.channels_last).requires_grad_()

    def run() -> None:
        for _ in range(REPEATS):
            torch.autograd.grad(measure(drawn, target).mean(), drawn)

    return run


def main() -> None:
    case = parse_case(__doc__, measure=("ssim", "ssim or ms_ssim"))
    name = case["measure"]
    reference = getattr(pytorch_msssim, name)
    sides = {"plain": lambda x, y: reference(x, y, data_range=1), "enerv_zoo": getattr(ssim, name)}
    seconds = take_turns({side: contestant(measure, case) for side, measure in sides.items()}, case)
    publish(f"{name}_speed", case, summary(seconds, REPEATS * case["batch"], case))


if __name__ == "__main__":
    main()
