"""Speed of SSIM with its gradient, and of MS-SSIM where the size allows: `enerv_zoo.ssim` against pytorch_msssim.

python benchmarks/ssim_speed.py --resolution 640x360 --measure ms_ssim
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytorch_msssim
import torch
from common import Case, height_width, parse_case, publish, take_turns
from torch import Tensor

from enerv_zoo import ssim

Measure = Callable[[Tensor, Tensor], Tensor]


def contestant(measure: Measure, case: Case) -> Callable[[], None]:
    """A function that computes value and gradient for all frames; predictions come as networks here draw them."""
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(case["batch"], 3, *height_width(case), generator=generator).to(case["device"])
    drawn = (0.9 * target).contiguous(memory_format=torch.channels_last).requires_grad_()

    def run() -> None:
        for _ in range(case["frames"] // case["batch"]):
            torch.autograd.grad(measure(drawn, target).mean(), drawn)

    return run


def plain(case: Case) -> Callable[[], None]:
    """pytorch_msssim's."""
    return contestant(partial(getattr(pytorch_msssim, case["measure"]), data_range=1), case)


def ours(case: Case) -> Callable[[], None]:
    """enerv_zoo's."""
    return contestant(getattr(ssim, case["measure"]), case)


def main() -> None:
    case = parse_case(__doc__, measure=("ssim", "ssim or ms_ssim"))
    publish(f"{case['measure']}_speed", case, take_turns({"plain": plain, "enerv_zoo": ours}, case))


if __name__ == "__main__":
    main()
