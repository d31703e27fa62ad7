"""Networks as one file: a head that says what is in it, the tensors' bytes, then sections. See `docs/nvz.md`."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from enerv_zoo.errors import ConfigError
from enerv_zoo.files import replacing
from enerv_zoo.nvz.entropy import decode_with, encode_with, model_spec
from enerv_zoo.nvz.head import NetworkEntry, SectionEntry, TensorEntry, read_head, write_head
from enerv_zoo.nvz.tensors import DTYPES, QuantizedTensor, code_levels, decode_levels, scales_of


@dataclass(frozen=True)
class EncodedNetwork:
    """A network to write, or as it was read.

    Attributes:
        description: plain JSON data; what it means is the caller's business.
        tensors: by name, in their order; plain arrays are stored as they are.
    """

    description: dict[str, Any]
    tensors: Mapping[str, QuantizedTensor | np.ndarray]


@dataclass(frozen=True)
class Section:
    """Data beside the networks, such as a video's sound. What it means is the caller's business.

    Attributes:
        name: of the section: small letters, digits and hyphens, at most 64.
        media_type: of the data, such as `audio/mp4`.
        data: its bytes, which are stored as they are.
    """

    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True)
class Sizes:
    """Bytes of every part of a file.

    Attributes:
        total: of the file.
        head: of everything before the tensors.
        models: of scales and probability models, in all tensors.
        tensors: of each tensor, its scales and model included: a mapping per network.
        sections: of each section.
    """

    total: int
    head: int
    models: int
    tensors: tuple[dict[str, int], ...]
    sections: dict[str, int]

    @property
    def networks(self) -> int:
        """Bytes of the file without its sections."""
        return self.total - sum(self.sections.values())


class NvzFile:
    """A file whose head was read; `read` reads a network, `read_section` a section, and nothing of the others.

    Attributes:
        networks: the entries of the networks.
        sections: the entries of the sections.
        whole: the description of all together, or `None`.
        sizes: bytes of every part.
    """

    def __init__(self, fetch: Callable[[int, int], bytes | memoryview], size: int, where: str) -> None:
        self._fetch, self._where = fetch, where
        head, start = read_head(fetch, size, where)
        self.networks, self.whole, self.sections = head.networks, head.whole, head.sections
        lengths = [network.bytes for network in self.networks] + [section.bytes for section in self.sections]
        self._starts = list(accumulate(lengths, initial=start))
        if self._starts[-1] != size:
            raise ConfigError(f"{where}: has {size:,} bytes, expected {self._starts[-1]:,}; it is cut off or damaged")
        models = sum(t.bytes[0] for n in self.networks for t in n.tensors if t.dtype is None)
        tensors = tuple({t.name: sum(t.bytes) for t in n.tensors} for n in self.networks)
        self.sizes = Sizes(size, start, models, tensors, {section.name: section.bytes for section in self.sections})

    def __len__(self) -> int:
        return len(self.networks)

    def read(self, index: int) -> EncodedNetwork:
        """Read and check a network.

        Raises:
            ConfigError: its bytes are damaged, or there is no such network.
        """
        if not 0 <= index < len(self.networks):
            raise ConfigError(f"{self._where}: has {len(self.networks)} networks, number {index} is not one of them")
        entry = self.networks[index]
        _check_models(entry, self._where)
        data = memoryview(self._checked(entry, self._starts[index], f"network {index}"))
        tensors: dict[str, QuantizedTensor | np.ndarray] = {}
        for tensor in entry.tensors:
            side, stream = tensor.bytes
            try:
                tensors[tensor.name] = _unpack(tensor, data[:side], data[side : side + stream])
            except ConfigError as error:
                raise ConfigError(f"{self._where}: {tensor.name:.80}: {error}; the file is damaged") from error
            data = data[side + stream :]
        return EncodedNetwork(entry.description, tensors)

    def read_section(self, name: str) -> Section | None:
        """Read and check a section; `None` where the file has none of that name.

        Raises:
            ConfigError: its bytes are damaged.
        """
        for entry, start in zip(self.sections, self._starts[len(self.networks) :], strict=False):
            if entry.name == name:
                return Section(name, entry.media_type, bytes(self._checked(entry, start, f"the section {name!r}")))
        return None

    def _checked(self, entry: NetworkEntry | SectionEntry, start: int, what: str) -> bytes | memoryview:
        data = self._fetch(start, entry.bytes)
        if len(data) != entry.bytes or zlib.crc32(data) != entry.crc32:
            raise ConfigError(f"{self._where}: {what} is damaged (its checksum differs); get the file again")
        return data


def open_nvz(path: str | Path) -> NvzFile:
    """Open a file: its head is read and checked, its tensors are not.

    Raises:
        ConfigError: it is missing, damaged, or of another kind or a newer version.
    """
    file = Path(path)

    try:
        size = file.stat().st_size
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror or error})") from error
    return NvzFile(partial(_fetch, file), size, str(file))


def _fetch(file: Path, start: int, length: int) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(start)
            return stream.read(length)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror or error})") from error


def decode(data: bytes | memoryview, where: str = "the data") -> NvzFile:
    """Open a file that is in memory already; errors are those of `open_nvz`, and name it as `where`."""
    view = memoryview(data)
    return NvzFile(lambda start, length: view[start : start + length], len(view), where)


def write_nvz(
    path: str | Path,
    networks: Iterable[EncodedNetwork],
    *,
    whole: dict[str, Any] | None = None,
    sections: Iterable[Section] = (),
) -> Sizes:
    """Write networks as one file, at once, and return the bytes of each part.

    Args:
        path: the file.
        networks: one for every part of the video; of an iterator, one at a time is in memory, and the bytes of all.
        whole: a description of all together.
        sections: data beside them, of which every name is another; an iterator is asked after the last network.

    Raises:
        EnervZooError: the file cannot be written.
        ConfigError: something in it cannot be stored.
    """
    data = encode(networks, whole, sections)
    sizes = decode(data, str(path)).sizes
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return sizes


def encode(
    networks: Iterable[EncodedNetwork], whole: dict[str, Any] | None = None, sections: Iterable[Section] = ()
) -> bytes:
    """Return the bytes that `write_nvz` writes.

    Raises:
        ConfigError: a type of values that a file does not hold, or more than it holds.
    """
    entries: list[dict[str, Any]] = []
    bodies = []
    for network in networks:
        body, tensors = [], []
        for name, tensor in network.tensors.items():
            fields, side, stream = _pack(name, tensor)
            tensors.append({"name": name, **fields, "bytes": [len(side), len(stream)]})
            body += [side, stream]
        joined = b"".join(body)
        entries.append({"description": network.description, "tensors": tensors, "crc32": zlib.crc32(joined)})
        bodies.append(joined)
    head: dict[str, Any] = {"networks": entries, "whole": whole}
    for section in sections:
        entry = {"name": section.name, "media_type": section.media_type, "bytes": len(section.data)}
        head.setdefault("sections", []).append({**entry, "crc32": zlib.crc32(section.data)})
        bodies.append(section.data)
    return b"".join([write_head(head), *bodies])


def _pack(name: str, tensor: QuantizedTensor | np.ndarray) -> tuple[dict[str, Any], bytes, bytes]:
    if isinstance(tensor, QuantizedTensor):
        fields: dict[str, Any] = {"shape": list(tensor.levels.shape), "axis": tensor.axis}
        if tensor.along:
            fields["along"] = list(tensor.along)
        if tensor.entropy_model is None:
            table, stream = code_levels(tensor.levels)
            return fields, tensor.scale_bytes() + table, stream
        stream = encode_with(tensor.entropy_model, tensor.levels)
        return {**fields, "entropy_model": tensor.entropy_model}, tensor.scale_bytes(), stream
    dtype = tensor.dtype.newbyteorder("<")
    name_of_dtype = next((key for key, value in DTYPES.items() if np.dtype(value) == dtype), None)
    if name_of_dtype is None:
        raise ConfigError(f"{name}: values of type {tensor.dtype} are not stored; expected one of {', '.join(DTYPES)}")
    return {"shape": list(tensor.shape), "dtype": name_of_dtype}, b"", np.ascontiguousarray(tensor, dtype).tobytes()


def _unpack(entry: TensorEntry, side: memoryview, stream: memoryview) -> QuantizedTensor | np.ndarray:
    if entry.dtype is None or entry.entropy_model is not None:
        scale, rest = scales_of(side, entry.shape, entry.axis, entry.along)
        if entry.entropy_model is None:
            levels = decode_levels(rest, stream, entry.shape)
        elif len(rest):
            raise ConfigError("bytes are left over after the scales")
        else:
            levels = decode_with(entry.entropy_model, bytes(stream), entry.shape)
        return QuantizedTensor(levels, scale, entry.axis, entry.entropy_model, entry.along)
    values = np.frombuffer(stream, np.uint8 if entry.dtype == "BOOL" else DTYPES[entry.dtype])
    if entry.dtype == "BOOL":
        values = values != 0
    return values.astype(values.dtype.newbyteorder("=")).reshape(entry.shape)


def _check_models(network: NetworkEntry, where: str) -> None:
    """Refuse a network whose tensors are coded by an entropy model that is not here.

    Raises:
        ConfigError: names it.
    """
    for spec in {json.dumps(t.entropy_model, sort_keys=True) for t in network.tensors if t.entropy_model is not None}:
        try:
            model_spec(json.loads(spec))
        except ConfigError as error:
            raise ConfigError(f"{where}: written by a newer version, or with a plug-in: {error}") from error
