"""Distances of deep features: torchmetrics computes them, from networks whose weights torchvision downloads.

Both come with the extra `enerv-zoo[metrics]`. PyTorch keeps the weights in its cache (`TORCH_HOME`).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError
from enerv_zoo.registry import metrics

SIDE = 32
"""Shortest side, in pixels, of which all networks have features."""
NETWORKS = {"alex": "AlexNet_Weights", "vgg": "VGG16_Weights", "squeeze": "SqueezeNet1_1_Weights"}
"""Networks, as torchmetrics calls them, and their weights, as torchvision does."""


class _DeepFeatures(nn.Module):
    """Base of metrics by deep features.

    Raises:
        ConfigError: the extra is not installed, or its weights are not here and cannot be downloaded.
    """

    unit, better, scope = "", "lower", "frame"

    def __init__(self, network: str) -> None:
        super().__init__()
        try:
            import torchmetrics.functional.image  # noqa: F401
            import torchvision
        except ImportError as error:
            raise ConfigError(f"it needs {error.name}; pip install 'enerv-zoo[metrics]'") from error
        url = getattr(torchvision.models, NETWORKS[network]).DEFAULT.url
        try:  # quietly, and into the place where torchvision looks for them
            torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
        except (OSError, RuntimeError) as error:
            name = url.rpartition("/")[2]
            raise ConfigError(
                f"its weights cannot be downloaded from {url} ({error}); go online, or put {name} into "
                f"{torch.hub.get_dir()}/checkpoints"
            ) from error

    def missing(self, info: VideoInfo) -> str | None:
        """Return the reason where a side is too short for the network."""
        if min(info.height, info.width) >= SIDE:
            return None
        return f"deep features need both sides of at least {SIDE} pixels, the frames are {info.size_text}"


@metrics.register("lpips")
class LPIPS(_DeepFeatures):
    """LPIPS (Zhang et al. 2018) of version 0.1, 0 for equal frames.

    Args:
        network: `"alex"`, as the authors propose it for comparisons, `"vgg"` or `"squeeze"`.
    """

    def __init__(self, *, network: Literal["alex", "vgg", "squeeze"] = "alex") -> None:
        super().__init__(network)
        from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

        self.network: Any = LearnedPerceptualImagePatchSimilarity(net_type=network).net

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (B, 3, H, W) twice -> (B,)."""
        return self.network(prediction.float(), target.float(), normalize=True).flatten()


@metrics.register("dists")
class DISTS(_DeepFeatures):
    """DISTS (Ding et al. 2020), 0 for equal frames and up to 1: structure and texture of the features of VGG16."""

    def __init__(self) -> None:
        super().__init__("vgg")
        from torchmetrics.functional.image.dists import DISTSNetwork

        self.network: Any = DISTSNetwork()

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Shapes: (B, 3, H, W) twice -> (B,)."""
        return self.network(prediction.float(), target.float()).reshape(len(target))
