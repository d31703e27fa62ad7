"""The Hub of the Hub's tests, for fleets that leave their fits there."""

from hub.conftest import client, hub

__all__ = ["client", "hub"]
