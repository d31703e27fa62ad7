"""Errors a user can cause: each says what was given, what was expected, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EnervZooError(Exception):
    """Base of every error that input, options or files can cause."""


class ConfigError(EnervZooError, ValueError):
    """A configuration, an option or a name that cannot be used."""


class UnmetTarget(ConfigError):
    """A target size that a network cannot be compressed to."""


class VideoError(EnervZooError):
    """A video, folder or array that cannot be read or written."""


class FitError(EnervZooError):
    """A fit that cannot start, continue or be read back."""


class ReportedByRankZero(FitError):
    """End of one of several processes of a fit, and the reason that rank 0 reports to the user."""


class FrameError(EnervZooError, IndexError):
    """An index or a time that means no frame of a video."""


class HubError(EnervZooError):
    """A repository that cannot be found, read, trusted or written to."""


def did_you_mean(name: str, legal: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the legal name nearest to `name`, or `""` where none is near."""
    near = difflib.get_close_matches(name, list(legal), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
