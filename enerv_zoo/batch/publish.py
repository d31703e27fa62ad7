"""Fits pushed to the Hub as they end; what is there as it is here is not pushed again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from enerv_zoo.batch.manifest import Job, check_name
from enerv_zoo.files import write_json
from enerv_zoo.hub.download import CARD, PREVIEW
from enerv_zoo.hub.index import add_to_index
from enerv_zoo.loading import push
from enerv_zoo.parsing import read_mapping
from enerv_zoo.storage.folder import WEIGHTS
from enerv_zoo.storage.record import METRICS, RECORD
from enerv_zoo.storage.segments import SEGMENTS, is_segmented, segment_folders

PUSHES = "published.json"
"""File in the folder of all fits: commits that they were pushed in."""
INDEX = "index.yaml"
CONTENTS = (WEIGHTS, RECORD, METRICS, PREVIEW, CARD)
"""Files that a push is made of, beside the repository's name and the licence."""


class Publisher:
    """Pushes the fits in a folder, and keeps there what was pushed, and an index of their names.

    Args:
        out: the folder, which holds a folder for each fit.
        owner: user or organisation on the Hub.
        private: whether new repositories are private; by default as the owner has it.
        index: a file of short names to add the repositories to; by default `index.yaml` in `out`.

    Raises:
        ConfigError: the owner's name can be none.
    """

    def __init__(
        self, out: str | Path, owner: str, *, private: bool | None = None, index: str | Path | None = None
    ) -> None:
        self.out, self.owner, self.private = Path(out).expanduser(), check_name(owner), private
        self.index = self.out / INDEX if index is None else Path(index)

    def repository(self, job: Job) -> str:
        """Return the repository of a fit."""
        return f"{self.owner}/{job.name}"

    def pushed(self, job: Job) -> str | None:
        """Return the address of a fit's commit, if the fit is on the Hub as it is here."""
        push = self._pushes().get(job.name, {})
        return push["url"] if push.get("digest") == self._digest(job) else None

    def push(self, job: Job) -> str:
        """Push a fit that has ended, if it is not on the Hub as it is here. Returns the address of its commit.

        Raises:
            EnervZooError: as `enerv_zoo.push` does.
        """
        repository, url = self.repository(job), self.pushed(job)
        if url is None:
            url = push(self.out / job.name, repository, private=self.private, license=job.license)
            pushes = {**self._pushes(), job.name: {"url": url, "digest": self._digest(job)}}
            write_json(self.out / PUSHES, pushes)
        add_to_index(self.index, job.name, repository)
        return url

    def _pushes(self) -> dict[str, Any]:
        return read_mapping(self.out / PUSHES) if (self.out / PUSHES).is_file() else {}

    def _digest(self, job: Job) -> str:
        """Changes with whatever a push of the fit would change."""
        digest = hashlib.sha256(json.dumps([self.repository(job), job.license]).encode())
        folder = self.out / job.name
        names = list(CONTENTS)
        if is_segmented(folder):
            names += [SEGMENTS, *(f"{part.name}/{WEIGHTS}" for part in segment_folders(folder))]
        for name in names:
            file = folder / name
            digest.update(hashlib.sha256(file.read_bytes() if file.is_file() else b"").digest())
        return digest.hexdigest()
