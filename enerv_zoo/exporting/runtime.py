"""onnxruntime-web: the files that the player needs, of one version, known by their hashes."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from enerv_zoo.errors import ConfigError

VERSION = "1.30.0"
ADDRESS = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"


@dataclass(frozen=True)
class RuntimeFile:
    """A file of the npm package.

    Attributes:
        name: in its folder `dist`.
        digest: SHA-384 in base64, as of the package in npm's registry.
        size: its bytes.
    """

    name: str
    digest: str
    size: int

    @property
    def integrity(self) -> str:
        """The digest, as browsers check it."""
        return f"sha384-{self.digest}"

    def read(self, folder: Path) -> bytes:
        """Return the contents of the file in an unpacked package.

        Raises:
            ConfigError: it is not there, or is another one.
        """
        path = next((path for path in (folder / "dist" / self.name, folder / self.name) if path.is_file()), None)
        contents = b"" if path is None else path.read_bytes()
        if base64.b64encode(hashlib.sha384(contents).digest()).decode() != self.digest:
            state = "has no" if path is None else "has another version's"
            raise ConfigError(
                f"{folder}: {state} {self.name}; expected the unpacked npm package onnxruntime-web {VERSION}, as of: "
                f"npm pack onnxruntime-web@{VERSION} && tar xzf onnxruntime-web-{VERSION}.tgz"
            )
        return contents


BACKENDS = {
    "wasm": {
        "script": RuntimeFile(
            "ort.wasm.bundle.min.mjs", "PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG", 73054
        ),
        "binary": RuntimeFile(
            "ort-wasm-simd-threaded.wasm", "vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM", 14239897
        ),
    },
    "webgpu": {
        "script": RuntimeFile(
            "ort.webgpu.bundle.min.mjs", "1ntMeyj+z5diX6vBR5h+zlJBPc4iNvhCxE6nlammh8daBYcLBZkzrwDkuJjhwI+f", 117732
        ),
        "binary": RuntimeFile(
            "ort-wasm-simd-threaded.asyncify.wasm",
            "EPVDLTxuO663dkZO/pcKJF6vOyyfq/5z9FY1oksN0UWFX2ABH4wDDZQHeNoUleWR",
            26781914,
        ),
    },
}
"""Files per execution provider, by what the player does with them."""
