"""The package's own tests: each part against the contract of its kind."""

from pathlib import Path

from enerv_zoo import testing
from enerv_zoo.config import VideoInfo


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
    info = VideoInfo(frames=2, height=16, width=24)
    golden = Path(__file__).with_name("pond.safetensors")
