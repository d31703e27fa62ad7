"""A Ray cluster as the runner of many fits; results and checkpoints are in a folder that all machines see."""

from enerv_zoo.cluster.fleet import Fleet

__all__ = ["Fleet"]
