"""The command line: parse, call the library, print."""

from enerv_zoo.cli.app import main

__all__ = ["main"]
