"""Networks as one file: a head that says what is in it, then the tensors' bytes. See `docs/format.md`."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from enerv_zoo.errors import ConfigError
from enerv_zoo.files import replacing
from enerv_zoo.nvz.entropy import model_spec, pack_with, unpack_with
from enerv_zoo.nvz.tensors import DTYPES, QuantizedTensor, pack_quantized, unpack_quantized
from enerv_zoo.parsing import unique_keys
from enerv_zoo.shell import command

MAGIC = b"\x89NVZ\r\n\x1a\n"
VERSION = 2
"""The newest one that is read. A file that names entropy models is of version 2, as readers of version 1 know none; any
other file is of version 1."""
MAX_HEAD_BYTES = 64 << 20
MAX_NETWORKS = 1 << 16
MAX_TENSORS = 1 << 14
"""In one network."""
MAX_NUMBERS = 1 << 28
"""In one network: they take 1 GB once they are decoded, and may take next to nothing in a file."""

_FIXED = struct.Struct("<8sHHIII")
_EXTRA = ConfigDict(extra="ignore")  # a later version may say more
Size = Annotated[int, Field(ge=0, lt=1 << 48, strict=True)]
Crc = Annotated[int, Field(ge=0, lt=1 << 32, strict=True)]


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
class TensorEntry:
    """Entry of a tensor in the head.

    Attributes:
        name: of the tensor.
        shape: its sizes.
        bytes: of scales and probability model, and of the values.
        axis: that scales run along, or `None`.
        dtype: of a tensor that is stored as it is, by safetensors' name; `None` for integers with a scale.
        entropy_model: name and options of what codes it; `None` for the built-in one.
    """

    __pydantic_config__ = _EXTRA

    name: Annotated[str, Field(min_length=1, max_length=256)]
    shape: Annotated[tuple[Size, ...], Field(max_length=8)]
    bytes: Annotated[tuple[Size, Size], Field(strict=False)]
    axis: Annotated[int, Field(ge=0, lt=8, strict=True)] | None = None
    dtype: str | None = None
    entropy_model: dict[str, Any] | None = None

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class NetworkEntry:
    """Entry of a network in the head.

    Attributes:
        description: as it was written.
        tensors: in the file's order.
        crc32: of all bytes of its tensors.
    """

    __pydantic_config__ = _EXTRA

    description: dict[str, Any]
    tensors: Annotated[tuple[TensorEntry, ...], Field(max_length=MAX_TENSORS)]
    crc32: Crc

    @property
    def bytes(self) -> int:
        """Of its tensors."""
        return sum(sum(tensor.bytes) for tensor in self.tensors)


@dataclass(frozen=True)
class _Head:
    __pydantic_config__ = _EXTRA

    networks: Annotated[tuple[NetworkEntry, ...], Field(max_length=MAX_NETWORKS)]
    whole: dict[str, Any] | None = None


@dataclass(frozen=True)
class Sizes:
    """Bytes of every part of a file.

    Attributes:
        total: of the file.
        head: of everything before the tensors.
        models: of scales and probability models, in all tensors.
        tensors: of each tensor, its scales and model included: a mapping per network.
    """

    total: int
    head: int
    models: int
    tensors: tuple[dict[str, int], ...]


_HEADS = TypeAdapter(_Head)


class NvzFile:
    """A file whose head was read; `read` reads a network, and nothing of the others.

    Attributes:
        networks: the entries of the networks.
        whole: the description of all together, or `None`.
        sizes: bytes of every part.
    """

    def __init__(self, fetch: Callable[[int, int], bytes | memoryview], size: int, where: str) -> None:
        self._fetch, self._where = fetch, where
        head, start = _read_head(fetch, size, where)
        self.networks, self.whole = head.networks, head.whole
        self._starts = [start]
        for network in self.networks:
            self._starts.append(self._starts[-1] + network.bytes)
        if self._starts[-1] != size:
            raise ConfigError(f"{where}: has {size:,} bytes, expected {self._starts[-1]:,}; it is cut off or damaged")
        models = sum(t.bytes[0] for n in self.networks for t in n.tensors if t.dtype is None)
        tensors = tuple({t.name: sum(t.bytes) for t in n.tensors} for n in self.networks)
        self.sizes = Sizes(size, start, models, tensors)

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
        data = memoryview(self._fetch(self._starts[index], entry.bytes))
        if len(data) != entry.bytes or zlib.crc32(data) != entry.crc32:
            raise ConfigError(f"{self._where}: network {index} is damaged (its checksum differs); get the file again")
        tensors: dict[str, QuantizedTensor | np.ndarray] = {}
        for tensor in entry.tensors:
            side, stream = tensor.bytes
            try:
                tensors[tensor.name] = _unpack(tensor, data[:side], data[side : side + stream])
            except ConfigError as error:
                raise ConfigError(f"{self._where}: {tensor.name:.80}: {error}; the file is damaged") from error
            data = data[side + stream :]
        return EncodedNetwork(entry.description, tensors)


def open_nvz(path: str | Path) -> NvzFile:
    """Open a file: its head is read and checked, its tensors are not.

    Raises:
        ConfigError: it is missing, damaged, or of another kind or a newer version.
    """
    file = Path(path)

    def fetch(start: int, length: int) -> bytes:
        try:
            with file.open("rb") as stream:
                stream.seek(start)
                return stream.read(length)
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror or error})") from error

    try:
        size = file.stat().st_size
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror or error})") from error
    return NvzFile(fetch, size, str(file))


def decode(data: bytes | memoryview, where: str = "the data") -> NvzFile:
    """Open a file that is in memory already; errors are those of `open_nvz`, and name it as `where`."""
    view = memoryview(data)
    return NvzFile(lambda start, length: view[start : start + length], len(view), where)


def write_nvz(path: str | Path, networks: Iterable[EncodedNetwork], *, whole: dict[str, Any] | None = None) -> Sizes:
    """Write networks as one file, at once, and return the bytes of each part.

    Args:
        path: the file.
        networks: one for every part of the video; of an iterator, one at a time is in memory, and the bytes of all.
        whole: a description of all together.

    Raises:
        EnervZooError: the file cannot be written.
        ConfigError: something in it cannot be stored.
    """
    data = encode(networks, whole)
    sizes = decode(data, str(path)).sizes
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return sizes


def encode(networks: Iterable[EncodedNetwork], whole: dict[str, Any] | None = None) -> bytes:
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
    try:
        text = json.dumps(
            {"networks": entries, "whole": whole}, sort_keys=True, separators=(",", ":"), ensure_ascii=False,
            allow_nan=False,
        ).encode()  # fmt: skip
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a description is plain JSON data, this is none ({error})") from error
    _parse_head(text, "what is to be written")  # nothing is written that is not read
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    squeezed = squeezer.compress(text) + squeezer.flush()
    names_models = any("entropy_model" in tensor for entry in entries for tensor in entry["tensors"])
    fixed = _FIXED.pack(MAGIC, VERSION if names_models else 1, 0, len(squeezed), len(text), 0)[:-4]
    return b"".join([fixed, struct.pack("<I", zlib.crc32(squeezed, zlib.crc32(fixed))), squeezed, *bodies])


def _pack(name: str, tensor: QuantizedTensor | np.ndarray) -> tuple[dict[str, Any], bytes, bytes]:
    if isinstance(tensor, QuantizedTensor):
        fields: dict[str, Any] = {"shape": list(tensor.levels.shape), "axis": tensor.axis}
        if tensor.entropy_model is None:
            return fields, *pack_quantized(tensor)
        return {**fields, "entropy_model": tensor.entropy_model}, *pack_with(tensor, tensor.entropy_model)
    dtype = tensor.dtype.newbyteorder("<")
    name_of_dtype = next((key for key, value in DTYPES.items() if np.dtype(value) == dtype), None)
    if name_of_dtype is None:
        raise ConfigError(f"{name}: values of type {tensor.dtype} are not stored; expected one of {', '.join(DTYPES)}")
    return {"shape": list(tensor.shape), "dtype": name_of_dtype}, b"", np.ascontiguousarray(tensor, dtype).tobytes()


def _unpack(entry: TensorEntry, side: memoryview, stream: memoryview) -> QuantizedTensor | np.ndarray:
    if entry.entropy_model is not None:
        return unpack_with(side, stream, entry.shape, entry.axis, entry.entropy_model)
    if entry.dtype is None:
        return unpack_quantized(side, stream, entry.shape, entry.axis)
    values = np.frombuffer(stream, np.uint8 if entry.dtype == "BOOL" else DTYPES[entry.dtype])
    if entry.dtype == "BOOL":
        values = values != 0
    return values.astype(values.dtype.newbyteorder("=")).reshape(entry.shape)


def _read_head(fetch: Callable[[int, int], bytes | memoryview], size: int, where: str) -> tuple[_Head, int]:
    fixed = bytes(fetch(0, _FIXED.size))
    if fixed[: len(MAGIC)] != MAGIC or len(fixed) < _FIXED.size:
        raise ConfigError(
            f"{where}: is no .nvz file; expected one that 'enerv-zoo compress' wrote. A video is fitted first: "
            f"{command('fit', where, options=['--preset', 'quick'])}"
        )
    _, version, _, squeezed, length, crc = _FIXED.unpack(fixed)
    if not 1 <= version <= VERSION:
        raise ConfigError(f"{where}: format {version} is not one that this version reads (1 to {VERSION}); upgrade")
    if _FIXED.size + squeezed > size or max(squeezed, length) > MAX_HEAD_BYTES:
        raise ConfigError(f"{where}: its head says it has {squeezed:,} bytes, {length:,} inflated; it is damaged")
    data = bytes(fetch(_FIXED.size, squeezed))
    if zlib.crc32(data, zlib.crc32(fixed[:-4])) != crc:
        raise ConfigError(f"{where}: its head is damaged (the checksum differs); get the file again")
    inflate = zlib.decompressobj(-15)
    try:
        text = inflate.decompress(data, length + 1)
    except zlib.error as error:
        raise ConfigError(f"{where}: its head is damaged ({error})") from error
    if len(text) != length or not inflate.eof or inflate.unused_data:
        raise ConfigError(f"{where}: its head is damaged; it does not inflate to {length:,} bytes")
    return _parse_head(text, where), _FIXED.size + squeezed


def _parse_head(text: bytes, where: str) -> _Head:
    try:
        head = _HEADS.validate_python(json.loads(text, parse_constant=_refuse, object_pairs_hook=unique_keys))
        for network in head.networks:
            for problem in _problems(network):
                raise ValueError(problem)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: its head cannot be used ({place:.80}: {first['msg']:.100})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: its head cannot be used ({str(error)[:160]})") from error
    return head


def _problems(network: NetworkEntry) -> Iterator[str]:
    """Iterate over the problems of a network's entry."""
    if len({tensor.name for tensor in network.tensors}) < len(network.tensors):
        yield "a tensor's name occurs twice"
    count = sum(tensor.count for tensor in network.tensors)
    if count > MAX_NUMBERS:
        yield f"a network has {count:,} numbers, more than {MAX_NUMBERS:,} are not read"
    for tensor in network.tensors:
        if tensor.entropy_model is not None and (
            tensor.dtype is not None or not isinstance(tensor.entropy_model.get("name"), str)
        ):
            yield f"{tensor.name:.80}: no name of an entropy model, or a tensor that has none"
        elif tensor.dtype is None:
            if tensor.axis is not None and tensor.axis >= len(tensor.shape):
                yield f"{tensor.name:.80}: no axis {tensor.axis} in {tensor.shape}"
        elif tensor.dtype not in DTYPES:
            yield f"{tensor.name:.80}: numbers of type {tensor.dtype:.20}"
        elif tensor.bytes != (0, tensor.count * np.dtype(DTYPES[tensor.dtype]).itemsize):
            yield f"{tensor.name:.80}: {tensor.bytes[1]} bytes for {tensor.shape} of {tensor.dtype}"


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


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
