"""Speed of decoding: `NeuralVideo.optimize` and `decode` against a plain loop that draws one frame after the other.

The plain loop calls the whole network for every frame, in PyTorch's default layout, and makes bytes of the floats on
the host. `--batch 0` leaves the batch size to `decode`.

    python benchmarks/decode_speed.py --resolution 640x360 --size 1.5M --batch 0
"""

from __future__ import annotations

from collections.abc import Callable

import numpy
import torch
from common import Case, network, parse_case, plain_network, publish, take_turns


def enerv_zoo_decoder(case: Case) -> Callable[[], None]:
    """A function that decodes all frames with this package."""
    video = network(case).eval().optimize(case["precision"])

    def decode() -> None:
        for batch in video.decode(batch_size=case["batch"] or None):
            batch.numpy()

    return decode


def plain_decoder(case: Case) -> Callable[[], None]:
    """A function that decodes all frames one by one."""
    model = plain_network(case).eval()

    @torch.no_grad()
    def decode() -> None:
        for index in range(case["frames"]):
            frame = model(torch.tensor([index], device=case["device"]))
            (frame[0].cpu().numpy() * 255).round().clip(0, 255).astype(numpy.uint8)

    return decode


CONTESTANTS = {"plain": plain_decoder, "enerv_zoo": enerv_zoo_decoder}


def main() -> None:
    case = parse_case(__doc__)
    publish("decode_speed", case, take_turns(CONTESTANTS, case))


if __name__ == "__main__":
    main()
