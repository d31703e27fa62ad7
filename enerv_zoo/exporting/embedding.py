"""Networks and their runtime as files of a web page: within it, or beside it."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enerv_zoo.exporting.decoder import Output, Precision
from enerv_zoo.exporting.run import ONNX, describe, exported
from enerv_zoo.exporting.runtime import ADDRESS, BACKENDS
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.pages import script_source
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.storage import Run

ASSETS = Path(__file__).with_name("player")
"""Where `decoding.js` is, the script of such pages, and `worker.js`, whose text they have under the id `worker`."""
RUNTIME = "runtime"


@dataclass
class PageFiles:
    """Files of a page whose script decodes networks (`decoding.js`).

    Attributes:
        single: whether all are within the page.
        runtime: folder of the runtime's package; `None` to load it from its address.
        beside: contents of files beside the page, by their paths.
        parts: texts within the page, by their ids.
        models: bytes of the networks' models.
    """

    single: bool
    runtime: Path | None
    beside: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    models: int = 0

    def add(self, name: str, contents: bytes, integrity: str = "") -> dict[str, Any]:
        """Add a file, and return where the page's script finds it."""
        if not self.single:
            self.beside[name] = contents
            return {"url": name, "integrity": integrity}
        part, zipped = f"part{len(self.parts)}", gzip.compress(contents, mtime=0)
        smaller = len(zipped) < 0.9 * len(contents)
        self.parts[part] = base64.b64encode(zipped if smaller else contents).decode()
        return {"part": part, "zipped": smaller}

    def add_networks(
        self, video: NeuralVideo | SegmentedVideo, run: Run | None, precision: Precision
    ) -> list[dict[str, Any]]:
        """Export the networks of a video, and return the frames and the file of each.

        Their output is of floats, of HDR in SDR: `worker.js` makes pixels of a canvas of it, in a fraction of the time
        that a runtime takes.
        """
        output: Output = "sdr" if video.info.colour.is_wide else "float32"
        networks = []
        for number, (segment, network) in enumerate(zip(video.segments, video.networks(), strict=True)):
            model = exported(network, ONNX, precision, 1, output, describe(network, run, precision, output), "float32")
            self.models += len(model)
            name = f"network{number}{ONNX}" if len(video.segments) > 1 else f"network{ONNX}"
            networks.append({"first": segment.first, "frames": segment.frames, "file": self.add(name, model)})
        return networks

    def add_runtime(self) -> dict[str, Any]:
        """Add the runtime's files; a single page that holds them has those of WebAssembly alone."""
        within = self.single and self.runtime is not None
        backends = {name: files for name, files in BACKENDS.items() if name == "wasm" or not within}
        return {
            name: {
                use: {"url": ADDRESS + file.name, "integrity": file.integrity}
                if self.runtime is None
                else self.add(f"{RUNTIME}/{file.name}", file.read(self.runtime), file.integrity)
                for use, file in files.items()
            }
            for name, files in backends.items()
        }

    def policy(self, script: str) -> str:
        """Return the directives of a content security policy for a page whose script begins with `decoding.js`."""
        addresses = " ".join(["'self'", *([ADDRESS] if self.runtime is None else [])])
        sources = f"{script_source(script)} blob: 'wasm-unsafe-eval'"
        return f"script-src {sources}; worker-src blob:; connect-src {addresses}"
