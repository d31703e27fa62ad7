"""Turn a PyTorch model into a golden file: its weights, inputs and outputs, for tests of a reimplementation.

    python examples/make_golden.py authors_pond.py pond.safetensors

Run it where the model's own code runs; it needs torch and safetensors alone. The Python file defines

    CONFIG = {...}                  # the options of the model, as its own configs have them
    FRAMES = 8                      # of the video
    def build(config): ...          # -> nn.Module
    def decode(model, index): ...   # frame indices (B,), float64 -> frames (B, 3, H, W) in [0, 1], or a list of them

and may define `INPUTS`, a dict of further tensors to keep, such as the frames that a network encodes. Keep the network
small: a file of 100 KB shows as much as a large one.
"""

import argparse
import copy
import json
import runpy

import torch
from safetensors.torch import save_file


def vary_constants(model, generator):
    """Add noise to tensors that are constant when they are new (biases, norms): a swapped one then changes frames."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point() and bool((tensor == tensor.flatten()[:1]).all()):
                tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))


def frames_of(decode, model, index):
    """Return the outputs of the model, one tensor per head."""
    with torch.inference_mode():
        frames = decode(model, index)
    frames = list(frames) if isinstance(frames, (list, tuple)) else [frames]
    for each in frames:
        assert each.shape[:2] == (len(index), 3), f"expected frames ({len(index)}, 3, H, W), got {tuple(each.shape)}"
        assert each.isfinite().all(), "some values are not finite"
    return frames


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", help="defines CONFIG, FRAMES, build and decode")
    parser.add_argument("out", help="the golden file, *.safetensors")
    parser.add_argument("--source", default="", help="repository and commit of the model's code")
    options = parser.parse_args()
    code = runpy.run_path(options.file)
    torch.manual_seed(0)
    model = code["build"](code["CONFIG"]).eval()
    vary_constants(model, torch.Generator().manual_seed(1))
    last = code["FRAMES"] - 1
    index = torch.tensor(sorted({0, 1, last // 2, last}), dtype=torch.float64)
    outputs = frames_of(code["decode"], model, index)
    again = frames_of(code["decode"], copy.deepcopy(model), index)
    assert all(map(torch.equal, outputs, again)), "the same model decodes other frames the second time"
    tensors = {f"state/{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"input/{name}": tensor for name, tensor in {"index": index, **code.get("INPUTS", {})}.items()}
    tensors |= {f"output/{number}": tensor for number, tensor in enumerate(outputs)}
    metadata = {"config": json.dumps(code["CONFIG"]), "frames": str(code["FRAMES"]), "source": options.source}
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, options.out, metadata)
    print(
        f"{options.out}: {sum(t.numel() for n, t in tensors.items() if n.startswith('state/')):,} numbers of state, "
        f"outputs {', '.join(str(tuple(each.shape)) for each in outputs)}"
    )


if __name__ == "__main__":
    main()
