"""The head of a `.nvz` file: what is in it, and where. See `docs/nvz.md`."""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from enerv_zoo.errors import ConfigError
from enerv_zoo.nvz.tensors import DTYPES
from enerv_zoo.parsing import unique_keys
from enerv_zoo.shell import command

MAGIC = b"\x89NVZ\r\n\x1a\n"
VERSION = 4
"""The newest one that is read. A file with scales per slice is of version 4 and one with sections of version 3, as
older readers take them for damaged ones; one that names entropy models of version 2, as readers of version 1 know none;
any other file of version 1."""
MAX_HEAD_BYTES = 64 << 20
MAX_NETWORKS = 1 << 16
MAX_TENSORS = 1 << 14
"""In one network."""
MAX_NUMBERS = 1 << 28
"""In one network: they take 1 GB once they are decoded, and may take next to nothing in a file."""
MAX_SECTIONS = 64
MAX_STEPS = 1 << 20
"""Of tensors that are coded step by step in time, in one network: each takes some 50 microseconds."""

_FIXED = struct.Struct("<8sHHIII")
_EXTRA = ConfigDict(extra="ignore")  # a later version may say more
Size = Annotated[int, Field(ge=0, lt=1 << 48, strict=True)]
Crc = Annotated[int, Field(ge=0, lt=1 << 32, strict=True)]


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
        along: axes along which a scale per slice is the same; none for other scales.
    """

    __pydantic_config__ = _EXTRA

    name: Annotated[str, Field(min_length=1, max_length=256)]
    shape: Annotated[tuple[Size, ...], Field(max_length=8, fail_fast=True)]
    bytes: Annotated[tuple[Size, Size], Field(strict=False)]
    axis: Annotated[int, Field(ge=0, lt=8, strict=True)] | None = None
    dtype: str | None = None
    entropy_model: dict[str, Any] | None = None
    along: Annotated[tuple[Annotated[int, Field(ge=0, lt=8, strict=True)], ...], Field(max_length=8)] = ()

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
    tensors: Annotated[tuple[TensorEntry, ...], Field(max_length=MAX_TENSORS, fail_fast=True)]
    crc32: Crc

    @property
    def bytes(self) -> int:
        """Of its tensors."""
        return sum(sum(tensor.bytes) for tensor in self.tensors)


@dataclass(frozen=True)
class SectionEntry:
    """Entry of a section in the head; `name` and `media_type` are those of a `Section`.

    Attributes:
        bytes: size of its data.
        crc32: of its data.
    """

    __pydantic_config__ = _EXTRA

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]
    media_type: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9.+-]{0,62}/[a-z0-9][a-z0-9.+-]{0,62}$")]
    bytes: Size
    crc32: Crc


@dataclass(frozen=True)
class Head:
    """Entries of networks and sections, in the file's order."""

    __pydantic_config__ = _EXTRA

    networks: Annotated[tuple[NetworkEntry, ...], Field(max_length=MAX_NETWORKS, fail_fast=True)]
    whole: dict[str, Any] | None = None
    sections: Annotated[tuple[SectionEntry, ...], Field(max_length=MAX_SECTIONS, fail_fast=True)] = ()


_HEADS = TypeAdapter(Head)


def read_head(fetch: Callable[[int, int], bytes | memoryview], size: int, where: str) -> tuple[Head, int]:
    """Read and check the head of a file.

    Args:
        fetch: returns the bytes from a place on, so many of them.
        size: of the file.
        where: the file, for messages.

    Returns:
        The head, and where the tensors begin.

    Raises:
        ConfigError: it is damaged, or of another kind or a newer version.
    """
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


def _parse_head(text: bytes, where: str) -> Head:
    try:
        head = _HEADS.validate_python(json.loads(text, parse_constant=_refuse, object_pairs_hook=unique_keys))
        for network in head.networks:
            for problem in _problems(network):
                raise ValueError(problem)
        if len({section.name for section in head.sections}) < len(head.sections):
            raise ValueError("a section's name occurs twice")
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
    count = sum(math.prod(max(side, 1) for side in tensor.shape) for tensor in network.tensors)
    if count > MAX_NUMBERS:
        yield f"a network has {count:,} numbers, more than {MAX_NUMBERS:,} are not read"
    steps = sum(t.shape[0] for t in network.tensors if t.shape and (t.entropy_model or {}).get("name") == "temporal")
    if steps > MAX_STEPS:
        yield f"a network's tensors are coded in {steps:,} steps of time, more than {MAX_STEPS:,} are not read"
    for tensor in network.tensors:
        if tensor.entropy_model is not None and (
            tensor.dtype is not None or not isinstance(tensor.entropy_model.get("name"), str)
        ):
            yield f"{tensor.name:.80}: no name of an entropy model, or a tensor that has none"
        elif tensor.dtype is None:
            for axis in (*tensor.along, *(() if tensor.axis is None else (tensor.axis,))):
                if axis >= len(tensor.shape):
                    yield f"{tensor.name:.80}: no axis {axis} in {tensor.shape}"
            if tensor.along and (tensor.axis is not None or list(tensor.along) != sorted(set(tensor.along))):
                yield f"{tensor.name:.80}: slices along {tensor.along}, expected rising axes and no other scales"
        elif tensor.dtype not in DTYPES:
            yield f"{tensor.name:.80}: numbers of type {tensor.dtype:.20}"
        elif tensor.bytes != (0, tensor.count * np.dtype(DTYPES[tensor.dtype]).itemsize):
            yield f"{tensor.name:.80}: {tensor.bytes[1]} bytes for {tensor.shape} of {tensor.dtype}"


def write_head(head: dict[str, Any]) -> bytes:
    """Return everything before the tensors.

    Raises:
        ConfigError: the head is not plain JSON data, or holds more than a file does.
    """
    try:
        text = json.dumps(head, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"a description is plain JSON data, this is none ({error})") from error
    _parse_head(text, "what is to be written")  # nothing is written that is not read
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    squeezed = squeezer.compress(text) + squeezer.flush()
    fields = {field for network in head["networks"] for tensor in network["tensors"] for field in tensor}
    version = 4 if "along" in fields else 3 if "sections" in head else 2 if "entropy_model" in fields else 1
    fixed = _FIXED.pack(MAGIC, version, 0, len(squeezed), len(text), 0)[:-4]
    return b"".join([fixed, struct.pack("<I", zlib.crc32(squeezed, zlib.crc32(fixed))), squeezed])


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
