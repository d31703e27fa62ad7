"""Contract tests: classes that a plug-in's own tests subclass.

Each class checks one kind's contract on tiny inputs: shapes, dtypes, gradients, determinism, round trips, coding hints.
A subclass names the part, and what the contract leaves open; a test runner such as pytest collects its `test_` methods:

    from enerv_zoo.testing import BlockTests

    class TestWave(BlockTests):
        part = {"name": "wave", "frequency": 2.0}

The tests are plain methods with `assert`; nothing here imports a test runner. A part that cannot be had on a machine
raises `unittest.SkipTest`, which runners understand.
"""

from enerv_zoo.testing.coding import AnchorTests, CodebaseTests, EntropyModelTests
from enerv_zoo.testing.families import FamilyTests
from enerv_zoo.testing.fits import LossTests, MetricTests, OptimizerTests, ScheduleTests
from enerv_zoo.testing.networks import BlockTests, EmbeddingTests, HeadTests, JoinTests, ModulationTests
from enerv_zoo.testing.parts import PartTests

__all__ = [
    "AnchorTests",
    "BlockTests",
    "CodebaseTests",
    "EmbeddingTests",
    "EntropyModelTests",
    "FamilyTests",
    "HeadTests",
    "JoinTests",
    "LossTests",
    "MetricTests",
    "ModulationTests",
    "OptimizerTests",
    "PartTests",
    "ScheduleTests",
]
