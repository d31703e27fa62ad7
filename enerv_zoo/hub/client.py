"""The one place that talks to `huggingface_hub`: how it is called, called again, and what its errors mean.

It takes half a second to import, so nothing here imports it before it is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from enerv_zoo import __version__
from enerv_zoo.errors import EnervZooError, HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

LIBRARY = "enerv-zoo"
TIMEOUT = 10.0
"""Seconds without an answer after which the Hub cannot be reached."""
WAITS = (1.0, 2.0, 4.0)
"""Seconds before each further try, unless the Hub says how long."""
LONGEST_WAIT = 60.0
BUSY = (429, 500, 502, 503, 504)
HUNG_UP = ("ReadError", "RemoteProtocolError", "ConnectionError", "ChunkedEncodingError")
"""Errors of a connection that was lost, by name: httpx's, and those of requests, the transport before version 1."""

Answer = TypeVar("Answer")


class AccessOptions(TypedDict, total=False):
    """The keywords of whatever reads from the Hub: the fields of `Access`."""

    revision: str | None
    cache_dir: str | Path | None
    local_files_only: bool
    token: str | bool | None


@dataclass(frozen=True)
class Access:
    """Access to a repository.

    Attributes:
        revision: branch, tag or commit; the main branch by default.
        cache_dir: where downloads are kept; by default where `huggingface_hub` keeps them.
        local_files_only: use what was downloaded before, and never the network.
        token: of a user; by default the one that is logged in, `False` for none.
    """

    revision: str | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    token: str | bool | None = None


class Unreachable(HubError):
    """The Hub does not answer, now; what was downloaded before may do."""


def no_repository_id(text: str) -> HubError:
    """The error for what names no repository."""
    return HubError(f"{text!r} is no repository id; expected one such as 'user/bunny-enerv'")


def hub_api(token: str | bool | None) -> HfApi:
    """The client, at the endpoint that `HF_ENDPOINT` names."""
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name=LIBRARY, library_version=__version__)


def transport_error() -> type[BaseException]:
    """Return the base class of what the client's transport raises, whichever it is."""
    from huggingface_hub.errors import HfHubHTTPError

    others = ("builtins", "huggingface_hub")
    return [kind for kind in HfHubHTTPError.__mro__ if kind.__module__.partition(".")[0] not in others][-1]


def patiently(call: Callable[..., Answer], *args: Any, **options: Any) -> Answer:
    """Call the Hub, and again where it is busy or hangs up: the client itself does so for some of its calls alone."""
    from huggingface_hub.errors import HfHubHTTPError

    for wait in WAITS:
        try:
            return call(*args, **options)
        except transport_error() as error:
            cause = _unwrapped(error)
            response = cause.response if isinstance(cause, HfHubHTTPError) else None
            if type(cause).__name__ not in HUNG_UP and getattr(response, "status_code", None) not in BUSY:
                raise
            delay = "" if response is None else response.headers.get("Retry-After", "")
            time.sleep(min(float(delay) if delay.isdecimal() else wait, LONGEST_WAIT))
    return call(*args, **options)


def _unwrapped(error: BaseException) -> BaseException:
    """Return what happened, where the client says instead that nothing was downloaded before."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while isinstance(error, (RuntimeError, LocalEntryNotFoundError)) and error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def explained(repo_id: str, revision: str | None = None) -> Iterator[None]:
    """Turn whatever goes wrong between us and the Hub into one line.

    Raises:
        HubError: says which repository, what is wrong and what to do.
    """
    try:
        yield
    except EnervZooError:
        raise
    except Exception as error:  # the client lets through what its transport, the server's JSON and the disk raise
        raise _explanation(error, repo_id, revision) from error


def _explanation(error: BaseException, repo_id: str, revision: str | None) -> HubError:
    from huggingface_hub import constants, errors

    hub, error = constants.ENDPOINT, _unwrapped(error)
    if isinstance(error, errors.HFValidationError):
        return no_repository_id(repo_id)
    if isinstance(error, errors.GatedRepoError):
        return HubError(f"{repo_id}: is gated; ask for access at {hub}/{repo_id}, then log in with 'hf auth login'")
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"{repo_id}: no such repository at {hub} (nor a folder here), or a private one; check the name, or log in "
            "with 'hf auth login'"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"{repo_id}: has no revision {revision or 'main'!r}; give a branch, a tag or a full commit")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return Unreachable(f"{repo_id}: HF_HUB_OFFLINE is set, so {hub} is not asked; unset it")
    if isinstance(error, errors.LocalEntryNotFoundError):
        return Unreachable(
            f"{repo_id}: revision {revision or 'main'!r} was not downloaded before, and {hub} is not asked; "
            "leave out local_files_only and HF_HUB_OFFLINE"
        )
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error, repo_id, hub)
    if isinstance(error, errors.LocalTokenNotFoundError):
        return HubError(f"{repo_id}: needs a token; log in with 'hf auth login' or set HF_TOKEN")
    is_json = isinstance(error, ValueError)  # which the transport before version 1 counts among its errors
    if isinstance(error, (transport_error(), ConnectionError, TimeoutError)) and not is_json:
        return Unreachable(f"{repo_id}: {hub} cannot be reached ({_short(error)}); check the connection")
    if isinstance(error, OSError) and error.errno is not None:
        return HubError(f"{repo_id}: {error.filename or 'the cache'} cannot be written ({error.strerror})")
    return HubError(f"{repo_id}: {hub} sent what cannot be used ({_short(error)}); try again")


def _refusal(error: HfHubHTTPError, repo_id: str, hub: str) -> HubError:
    """Return an error for an answer that is about the user or the moment rather than about the repository."""
    code = error.response.status_code
    reason = f" ({' '.join(error.server_message.split())[:200]})" if error.server_message else ""
    if code == 401:
        return HubError(f"{repo_id}: the token is not valid{reason}; log in again with 'hf auth login' or set HF_TOKEN")
    if code == 403:
        return HubError(f"{repo_id}: not allowed{reason}; use a token that may read or write this repository")
    if code in (409, 412):
        return HubError(
            f"{repo_id}: somebody else pushed to it meanwhile{reason}; nothing was overwritten, look and push again"
        )
    if code == 429:
        return Unreachable(f"{repo_id}: {hub} was asked too often{reason}; try again later")
    if code >= 500:
        return Unreachable(f"{repo_id}: {hub} is out of order ({code}); try again later")
    return HubError(f"{repo_id}: {hub} answered {code}{reason}")


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
