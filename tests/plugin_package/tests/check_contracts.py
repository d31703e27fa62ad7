"""The package's own tests: each part against the contract of its kind."""

import torch

from enerv_zoo import testing
from enerv_zoo.config import VideoInfo
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.zoo import model_config


class TestRipple(testing.BlockTests):
    part = {"name": "ripple", "frequency": 2.0}


class TestPondEmbedding(testing.EmbeddingTests):
    part = {"name": "pond", "channels": 3, "scale": 2, "times": 3}


class TestAddMap(testing.ModulationTests):
    part = "add_map"
    shapes = [(2, 3, 5)]


class TestPond(testing.FamilyTests):
    part = {"name": "pond", "channels": 6, "grid_channels": 2}
    size = "20K"


class TestEdges(testing.LossTests):
    part = {"name": "edges", "order": 2}


class TestEdgeError(testing.MetricTests):
    part = "edge_error"


class TestGolomb(testing.EntropyModelTests):
    part = {"name": "golomb", "k": 4}


class TestShallow(testing.AnchorTests):
    part = "shallow"


class TestPondCode(testing.CodebaseTests):
    part = "pond_code"
    info = VideoInfo(frames=2, height=18, width=32)

    def example(self):
        config = model_config("pond", self.info, channels=4, grid_channels=2)
        video = NeuralVideo.seeded(config, self.info, 0)
        state = {"pond/" + name.replace(".", "/"): tensor for name, tensor in video.state_dict().items()}
        assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
        return {"waves": 4}, state
