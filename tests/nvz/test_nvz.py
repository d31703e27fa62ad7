"""The `.nvz` file: bits that come back, sizes near the entropy, a second decoder, and files that are damaged."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from registering import temporary_parts

from enerv_zoo.errors import ConfigError
from enerv_zoo.nvz import EncodedNetwork, QuantizedTensor, Section, decode, encode, estimate_bits, open_nvz, write_nvz
from enerv_zoo.nvz.entropy import TableModel, best_model, rate
from enerv_zoo.nvz.tables import best_table, parse_table
from enerv_zoo.nvz.temporal import TemporalModel
from enerv_zoo.nvz.tensors import stored_scales
from enerv_zoo.registry import entropy_models

from . import plain_decoder


def coded(levels, scale=0.125, axis=None):
    return QuantizedTensor(np.asarray(levels, np.int32), np.asarray(scale, np.float32), axis)


class Golomb:
    """An entropy model of a plug-in: Golomb-Rice codes of levels, folded to 0, 1, -1, 2, ..."""

    def __init__(self, *, k: int = 2):
        self.k = k

    def bits(self, values):
        return (1 + self.k + 2 * values.abs() / 2**self.k).sum()

    def encode(self, levels):
        folded = [2 * level - 1 if level > 0 else -2 * level for level in levels.reshape(-1).tolist()]
        text = "".join("1" * (n >> self.k) + "0" + f"{n % 2**self.k:0{self.k}b}" * (self.k > 0) for n in folded)
        return int("1" + text, 2).to_bytes((len(text) + 8) // 8, "big")

    def decode(self, data, shape):
        text = iter(f"{int.from_bytes(data, 'big'):b}"[1:])
        levels = []
        for _ in range(math.prod(shape)):
            high = sum(1 for _ in itertools.takewhile("1".__eq__, text))
            n = (high << self.k) + int("0" + "".join(itertools.islice(text, self.k)), 2)
            levels.append((n + 1) // 2 if n % 2 else -(n // 2))
        if next(text, None) is not None:
            raise ValueError("bits are left over")
        return torch.tensor(levels, dtype=torch.int32).reshape(tuple(shape))


@pytest.fixture
def golomb():
    entropy_models.register("golomb")(Golomb)


def with_golomb(**options):
    random = np.random.default_rng(0)
    spec = {"name": "golomb", **options}
    normal = random.standard_normal
    return {
        "weight": QuantizedTensor(np.rint(normal((8, 9)) * 5).astype(np.int32), np.float32(random.random(9)), 1, spec),
        "empty": QuantizedTensor(np.zeros((0, 3), np.int32), np.float32(1), None, spec),
        "table": coded(np.rint(normal((8, 9)) * 5)),
        "raw": normal((2, 3)).astype(np.float32),
    }


@pytest.mark.parametrize("options", [{}, {"k": 0}, {"k": 4}])
def test_another_entropy_model_is_named_and_decoded_with_its_options(golomb, options):
    data = encode([EncodedNetwork({}, with_golomb(**options))])
    file = decode(data)
    same(with_golomb(**options), file.read(0).tensors)
    assert file.networks[0].tensors[0].entropy_model == {"name": "golomb", **options}
    assert data[8:10] == b"\2\0", "readers of version 1 refuse it"
    assert encode([EncodedNetwork({}, file.read(0).tensors)]) == data


def test_files_without_one_are_of_version_1():
    assert WHOLE[8:10] == b"\1\0"
    assert b"entropy" not in zlib.decompress(WHOLE[24 : 24 + struct.unpack_from("<I", WHOLE, 12)[0]], -15)


def test_a_model_that_is_not_here_is_named_in_one_line():
    with temporary_parts(entropy_models):
        entropy_models.register("golomb")(Golomb)
        data = encode([EncodedNetwork({}, with_golomb(k=3))])
    file = decode(data, "bunny.nvz")
    assert len(file) == 1
    with pytest.raises(
        ConfigError, match=r"^bunny.nvz: written by a newer version, or with a plug-in: unknown entropy_model 'golomb'"
    ):
        file.read(0)


def test_what_a_model_makes_of_damaged_bytes_is_refused(golomb, monkeypatch):
    data = encode([EncodedNetwork({}, with_golomb())])
    file = decode(data, "bunny.nvz")
    for decoded, message in (
        (lambda self, data, shape: torch.zeros(3, dtype=torch.int32), "gave torch.int32 \\(3,\\), expected"),
        (lambda self, data, shape: torch.zeros(tuple(shape)), "gave torch.float32"),
        (lambda self, data, shape: np.zeros(shape, np.int32), "gave ndarray"),
        (lambda self, data, shape: torch.full(tuple(shape), 40_000, dtype=torch.int32), "levels are integers"),
        (lambda self, data, shape: {}[3], "KeyError: 3"),
    ):
        monkeypatch.setattr(Golomb, "decode", decoded)
        with pytest.raises(ConfigError, match=f"bunny.nvz: weight: .*{message}.*; the file is damaged"):
            file.read(0)


def test_bits_of_the_built_in_model_are_those_of_laplace_levels():
    model = TableModel()
    values = torch.from_numpy(np.random.default_rng(0).laplace(size=20_000) * 15).requires_grad_()
    bits = model.bits(values)
    bits.backward()
    size = 8 * len(model.encode(values.detach().round().to(torch.int32)))
    assert bits.item() == pytest.approx(size, rel=0.02)
    assert (values.grad.sign() == values.detach().sign()).all()


def some(seed=0):
    """Tensors of every kind of model, and of every awkward shape."""
    random = np.random.default_rng(seed)
    normal = random.standard_normal
    pruned = np.rint(normal((40, 50)) * 30) * (random.random((40, 50)) < 0.1)
    return {
        "gaussian": coded(np.rint(normal((8, 9, 3)) * 200), random.random(9) + 0.01, 1),
        "laplace": coded(np.rint(random.laplace(size=(30, 20)) * 20)),
        "table": coded(np.repeat([-5, 3, 4, 70], [300, 200, 40, 7]).reshape(-1, 1)),
        "pruned": coded(pruned, random.random(40) + 0.01, 0),
        "zeros": coded(np.zeros((3, 4))),
        "one": coded(-7),
        "two": coded([2, -(1 << 15)]),
        "extremes": coded([1 << 15, -(1 << 15), 0]),
        "empty": coded(np.zeros((0, 3)), np.ones(3), 1),
        "raw": normal((2, 3)).astype(np.float32),
        "steps": np.array(12, np.int64),
        "flags": np.array([True, False]),
        "half": np.float16([0.5, -2]),
    }


def sliced():
    """Tensors with scales per slice: one slice and many, of both built-in entropy models, and none at all."""
    random = np.random.default_rng(2)
    tensors = {}
    for name, shape, along, model in (
        ("matrix", (30, 7), (0,), None),
        ("kernels", (4, 5, 3, 3), (1,), None),
        ("grid", (6, 2, 3, 4), (0, 2, 3), {"name": "temporal"}),
        ("one", (5, 4), (0, 1), None),
        ("empty", (0, 3), (0,), None),
    ):
        scales = random.random([1 if axis in along else size for axis, size in enumerate(shape)]) ** 9 + 1e-6
        levels = np.rint(random.standard_normal(shape) * 9).astype(np.int32)
        tensors[name] = QuantizedTensor(levels, stored_scales(scales.astype(np.float32)), None, model, along)
    return tensors


def test_scales_per_slice_take_two_bytes_and_a_second_decoder_reads_them():
    tensors = {**sliced(), "plain": coded([[3, -1]])}
    data = encode([EncodedNetwork({}, tensors)], None, SECTIONS)
    assert data[8:10] == b"\4\0", "older readers refuse it"
    file = decode(data)
    same(tensors, file.read(0).tensors)
    assert encode([EncodedNetwork({}, file.read(0).tensors)], None, SECTIONS) == data
    sizes = {name: len(tensor.scale_bytes()) for name, tensor in tensors.items()}
    assert sizes == {"matrix": 15, "kernels": 73, "grid": 5, "one": 3, "empty": 7, "plain": 4}
    ((_, numbers),), _ = plain_decoder.read_all(data)
    for name, tensor in tensors.items():
        assert numbers[name] == (list(tensor.levels.shape), tensor.values().reshape(-1).tolist()), name


@pytest.mark.parametrize("exponent", [-100, -20, 0, 90])
def test_scales_per_slice_are_halves_beside_their_largest(exponent):
    scales = np.ldexp(np.float32([1.9999, 1.2345, 0.0123]), exponent)
    stored = stored_scales(scales)
    assert np.array_equal(stored_scales(stored), stored)
    assert (np.abs(stored / scales - 1) <= 2**-11).all()


def same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        found = other[name]
        if isinstance(tensor, QuantizedTensor):
            assert np.array_equal(found.levels, tensor.levels), name
            assert np.array_equal(found.scale, tensor.scale)
            assert (found.axis, found.along) == (tensor.axis, tensor.along)
            assert found.values().tobytes() == tensor.values().tobytes()
        else:
            assert (found.dtype, found.shape, found.tobytes()) == (tensor.dtype, tensor.shape, tensor.tobytes()), name


SECTIONS = (Section("sound", "audio/x-matroska", bytes(range(100)) * 3), Section("x-1", "application/x.y+z", b""))


def test_what_is_written_comes_back_and_every_byte_is_accounted_for(tmp_path):
    networks = [EncodedNetwork({"part": i}, some(i)) for i in range(3)]
    sizes = write_nvz(tmp_path / "x.nvz", networks, whole={"parts": 3}, sections=iter(SECTIONS))
    file = open_nvz(tmp_path / "x.nvz")
    assert (file.whole, len(file), file.sizes) == ({"parts": 3}, 3, sizes)
    assert sizes.total == (tmp_path / "x.nvz").stat().st_size
    assert sizes.networks == sizes.head + sum(size for tensors in sizes.tensors for size in tensors.values())
    assert sizes.sections == {"sound": 300, "x-1": 0}
    assert sizes.total == sizes.networks + 300
    assert [file.read_section(section.name) for section in SECTIONS] == list(SECTIONS)
    assert file.read_section("others") is None
    for i in (2, 0, 1):
        assert file.read(i).description == {"part": i}
        same(networks[i].tensors, file.read(i).tensors)
    with pytest.raises(ConfigError, match="number 3 is not one of them"):
        file.read(3)


def test_a_second_decoder_written_from_the_specification_reads_the_same_numbers():
    tensors = some()
    kinds = {best_table(t.levels).data[0] for t in tensors.values() if isinstance(t, QuantizedTensor) and t.levels.size}
    assert kinds == {0, 1, 2, 3}
    ((description, found),), sections = plain_decoder.read_all(
        encode([EncodedNetwork({"é": 1.5}, tensors)], None, SECTIONS)
    )
    assert description == {"é": 1.5}
    assert sections == {section.name: (section.media_type, section.data) for section in SECTIONS}
    for name, tensor in tensors.items():
        values = tensor.values() if isinstance(tensor, QuantizedTensor) else tensor
        assert found[name] == (list(values.shape), values.reshape(-1).tolist()), name


def grid(*shape, spread=3.0, seed=0):
    """A grid whose levels wander."""
    random = np.random.default_rng(seed)
    return np.rint(np.cumsum(random.laplace(size=shape) * spread * random.random(shape[1:]), axis=0)).astype(np.int32)


@pytest.mark.parametrize("shape", [(9, 3, 4, 5), (1, 2, 3, 3), (12, 7), (6,), (2, 3, 2, 2, 3), (65537, 1)])
def test_the_second_decoder_reads_grids_too(shape):
    levels = grid(*shape) if shape[0] < 100 else np.zeros(shape, np.int32)
    tensor = dataclasses.replace(coded(levels), entropy_model={"name": "temporal"})
    data = encode([EncodedNetwork({}, {"x": tensor})])
    same({"x": tensor}, decode(data).read(0).tensors)
    ((_, numbers),) = plain_decoder.read(data)
    assert numbers["x"] == (list(shape), tensor.values().reshape(-1).tolist())


def test_levels_that_follow_those_before_take_fewer_bytes():
    levels = grid(60, 4, 9, 16)
    model, bits = best_model(levels)
    assert model == {"name": "temporal"}
    assert bits < 0.7 * estimate_bits(levels)
    assert bits / 8 == pytest.approx(len(TemporalModel().encode(torch.from_numpy(levels))), rel=0.01)
    shuffled = np.random.default_rng(1).permutation(levels.reshape(-1)).reshape(levels.shape)
    assert best_model(shuffled)[0] is None
    for each in map(torch.from_numpy, (levels, shuffled)):
        whole = TemporalModel().estimate_bits(each)
        assert TemporalModel().estimate_bits(each, below=whole + 1) == whole
        assert 0.9 * whole < TemporalModel().estimate_bits(each, below=0) <= whole, "entropy and heads are a bound"
    assert best_model(levels, {"name": "table"}) == (None, estimate_bits(levels))
    values = torch.from_numpy(levels).double()
    assert float(rate(values, "grid")) == pytest.approx(bits, rel=0.2)
    assert rate(values, "weight") == TableModel().bits(values)
    matrix = values.flatten(1)
    assert float(rate(matrix, "weight")) < 0.8 * float(TableModel().bits(matrix))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0\0\0", "hold no 2 weights"),
        (b"\0\0" + struct.pack("<I", 1 << 20), "more classes than 20"),
        (b"\0\0" + struct.pack("<I", 0), "class 0 has no table"),
        (b"\0\0" + struct.pack("<I", 1) + struct.pack("<BiI", 0, 0, 1) + b"abcd", "longer than its tensor"),
        (b"\x7f\x7f" + struct.pack("<I", (1 << 20) - 1) + struct.pack("<BiI", 0, 1 << 15, 1) * 20, "beyond 32768"),
        (b"\0\0" + struct.pack("<I", 1) + struct.pack("<BiI", 9, 0, 1), "no probability model"),
    ],
)
def test_a_damaged_grid_is_refused(data, message):
    with pytest.raises(
        ValueError if "model" not in message and "longer" not in message else ConfigError, match=message
    ):
        TemporalModel().decode(data, (3, 2, 2))


def test_a_network_is_read_without_the_others(tmp_path):
    networks = [EncodedNetwork({}, some(i)) for i in range(2)]
    write_nvz(tmp_path / "x.nvz", networks)
    data = bytearray((tmp_path / "x.nvz").read_bytes())
    data[-1] ^= 1
    file = decode(bytes(data))
    same(networks[0].tensors, file.read(0).tensors)
    with pytest.raises(ConfigError, match="network 1 is damaged"):
        file.read(1)


def test_networks_are_those_of_the_file_without_sections():
    data = bytearray(encode([EncodedNetwork({"a": 1}, some())], None, SECTIONS))
    plain, file = decode(WHOLE), decode(bytes(data))
    assert (data[8:10], file.networks) == (b"\3\0", plain.networks), "readers of versions 1 and 2 refuse it"
    assert WHOLE[plain.sizes.head :] == data[file.sizes.head : file.sizes.networks]
    data[-1] ^= 1
    file = decode(bytes(data), "bunny.nvz")
    same(some(), file.read(0).tensors)
    with pytest.raises(ConfigError, match=r"bunny.nvz: the section 'sound' is damaged \(its checksum differs\)"):
        file.read_section("sound")


@pytest.mark.parametrize("name", ["gaussian", "laplace", "pruned", "mixture"])
def test_the_stream_is_within_one_percent_of_the_entropy(name):
    random = np.random.default_rng(1)
    n = 200_000
    levels = {
        "gaussian": random.standard_normal(n) * 30,
        "laplace": random.laplace(size=n) * 15,
        "pruned": random.standard_normal(n) * 30 * (random.random(n) < 0.05),
        "mixture": random.standard_normal(n) * np.where(random.random(n) < 0.3, 4, 40) + 11,
    }[name]
    levels = np.clip(np.rint(levels), -127, 127).astype(np.int32)
    counts = np.unique(levels, return_counts=True)[1]
    entropy = -(counts @ np.log2(counts / n)) / 8
    size = sum(decode(encode([EncodedNetwork({}, {"x": coded(levels)})])).sizes.tensors[0].values())
    assert entropy < size < 1.01 * entropy + 16
    assert estimate_bits(levels) / 8 == pytest.approx(size, rel=1e-3, abs=8)


def test_zeros_cost_next_to_nothing():
    levels = np.zeros(1_000_000, np.int32)
    assert estimate_bits(levels) < 200
    levels[12345] = 3
    assert sum(decode(encode([EncodedNetwork({}, {"x": coded(levels)})])).sizes.tensors[0].values()) < 60


@settings(max_examples=60)
@given(
    npst.arrays(np.int32, npst.array_shapes(max_dims=3, min_side=0, max_side=9), elements=st.integers(-32768, 32768))
)
def test_any_levels_come_back(levels):
    tensors = {"x": coded(levels)}
    same(tensors, decode(encode([EncodedNetwork({}, tensors)])).read(0).tensors)


@settings(max_examples=60)
@given(st.sampled_from([1, 2]), st.integers(-300, 0), st.integers(302, 700), st.integers(0, 255), st.integers(0, 62),
       st.integers(0, 65000))  # fmt: skip
def test_every_table_that_can_be_written_is_whole(kind, low, size, m, x, zero):
    data = struct.pack("<BiIiBBH", kind, low, size, low + size // 2, m, x, zero)
    model, used = parse_table(data)
    assert used == len(data)
    assert model.frequencies.min() >= 1
    assert model.frequencies.sum() == 1 << 24
    assert (low, model.frequencies.tolist()) == plain_decoder.frequencies(data)


@pytest.mark.parametrize(
    ("levels", "scale", "axis", "message"),
    [
        (np.zeros(3, np.int64), np.float32(1), None, "levels are int32"),
        (np.zeros(3, np.int32), np.float64(1), None, "levels are int32"),
        (np.zeros((3, 2), np.int32), np.ones(2, np.float32), 0, "expected"),
        (np.zeros((3, 2), np.int32), np.ones(2, np.float32), 2, "axis 2"),
        (np.array([32769], np.int32), np.float32(1), None, "from -32768 to 32768"),
        (np.zeros(3, np.int32), np.float32(np.inf), None, "infinite"),
    ],
)
def test_what_cannot_be_coded_is_refused(levels, scale, axis, message):
    with pytest.raises(ConfigError, match=message):
        QuantizedTensor(levels, np.asarray(scale), axis)


def test_what_cannot_be_stored_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="complex64 are not stored"):
        encode([EncodedNetwork({}, {"x": np.zeros(2, np.complex64)})])
    with pytest.raises(ConfigError, match="plain JSON"):
        encode([EncodedNetwork({"x": float("nan")}, {})])
    with pytest.raises(ConfigError, match="plain JSON"):
        write_nvz(tmp_path / "x.nvz", [EncodedNetwork({"x": object()}, {})])
    assert not list(tmp_path.iterdir())


WHOLE = encode([EncodedNetwork({"a": 1}, some())])


def tried(data):
    """Reads all of a file, or says why not."""
    try:
        file = decode(data)
        for i in range(len(file)):
            file.read(i)
        for section in file.sections:
            file.read_section(section.name)
    except ConfigError:
        return False
    return True


FILES = st.sampled_from(
    [WHOLE, encode([EncodedNetwork({"a": 1}, some())], None, SECTIONS), encode([EncodedNetwork({}, sliced())])]
)


@settings(max_examples=150)
@given(FILES, st.data(), st.integers(1, 255))
def test_a_changed_byte_is_noticed(file, data, flip):
    changed = bytearray(file)
    changed[data.draw(st.integers(0, len(file) - 1))] ^= flip
    assert not tried(bytes(changed))


@settings(max_examples=60)
@given(FILES, st.data())
def test_a_cut_file_is_noticed(file, data):
    assert not tried(file[: data.draw(st.integers(0, len(file) - 1))])
    assert not tried(file + b"\0")


def sealed(head, body=b""):
    """A file whose checksums are right, whatever its head says."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    squeezed = squeezer.compress(text) + squeezer.flush()
    fixed = b"\x89NVZ\r\n\x1a\n" + struct.pack("<HHII", 1, 0, len(squeezed), len(text))
    return fixed + struct.pack("<I", zlib.crc32(fixed + squeezed)) + squeezed + body


def one(body=b"", **fields):
    entry = {"name": "x", "shape": [2], "bytes": [0, len(body)], **fields}
    return sealed({"networks": [{"description": {}, "crc32": zlib.crc32(body), "tensors": [entry]}]}, body)


def beside(*entries, body=b""):
    """A file of sections alone."""
    entry = {"name": "x", "media_type": "a/b", "bytes": len(body), "crc32": zlib.crc32(body)}
    return sealed({"networks": [], "sections": [{**entry, **fields} for fields in entries]}, body)


CONSTANT = struct.pack("<fBiI", 1.0, 0, 5, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no .nvz file"),
        (b"PK\x03\x04" + bytes(40), "no .nvz file"),
        (WHOLE[:8] + b"\x05" + WHOLE[9:], "format 5"),
        (sealed(b"{"), "head cannot be used"),
        (sealed(b"[" * 100_000), "head cannot be used"),
        (sealed({"networks": 3}), "head cannot be used"),
        (sealed(b'{"networks": [], "whole": {"x": NaN}}'), "no number in JSON"),
        (sealed({"networks": []}, b"x"), "expected"),
        (one(shape=[1 << 29], dtype="U8"), "numbers, more than"),
        (one(shape=[1 << 40, 1 << 40]), "numbers, more than"),
        (one(shape=[1 << 40, 1 << 40, 0], dtype="U8"), "numbers, more than"),
        (one(shape=[1 << 27, 1], entropy_model={"name": "temporal"}), "134,217,728 steps of time, more than 1,048,576"),
        (one(shape=[-1]), "shape"),
        (one(shape=[1.5]), "shape"),
        (one(shape=[1] * 9), "shape"),
        (one(axis=1), "no axis 1"),
        (one(axis=None, along=[1]), "no axis 1"),
        (one(axis=0, along=[0]), "expected rising axes and no other scales"),
        (one(axis=None, along=[0, 0]), "expected rising axes"),
        (one(axis=None, along=[-1]), "along"),
        (one(bytes(2), axis=None, along=[0], bytes=[2, 0]), "2 bytes hold no 1 scales"),
        (one(bytes(9), axis=None, along=[1], shape=[1 << 20, 0], bytes=[9, 0]), "hold no 1048576 scales"),
        (one(b"\0\0\x7c" + CONSTANT[4:], axis=None, along=[0], bytes=[12, 0]), "infinite"),
        (one(dtype="O"), "numbers of type O"),
        (one(dtype="F32"), "0 bytes for"),
        (one(entropy_model={"k": 1}), "no name of an entropy model"),
        (one(entropy_model={"name": "golomb"}, dtype="F32"), "or a tensor that has none"),
        (one(entropy_model={"name": "golomb"}), "written by a newer version, or with a plug-in"),
        (one(entropy_model={"name": "table", "x": 1}), "entropy_model 'table' has no option 'x'"),
        (beside({}, {}), "a section's name occurs twice"),
        (beside(*({"name": f"x{i}"} for i in range(65))), "sections: Tuple should have at most 64"),
        (beside({"name": "../x"}), "sections.0.name"),
        (beside({"name": "x\n"}), "sections.0.name"),
        (beside({"media_type": "text/html; x"}), "sections.0.media_type"),
        (beside({"bytes": -1}), "sections.0.bytes"),
        (beside({"bytes": 1 << 40}), "cut off or damaged"),
        (one(bytes=[1 << 40, 1 << 40]), "cut off or damaged"),
        (one(), "hold no 1 scales"),
        (one(CONSTANT + b"x", bytes=[14, 0]), "left over"),
        (one(CONSTANT + b"x", bytes=[13, 1]), "no row of 32-bit words"),
        (one(CONSTANT + b"xxxx", bytes=[13, 4]), "longer than its tensor"),
    ],
)
def test_hostile_heads_are_refused(data, message):
    with pytest.raises(ConfigError, match=message):
        decode(data).read(0)


def test_the_head_that_the_hostile_ones_differ_from_is_read():
    same({"x": coded([5, 5], 1.0)}, decode(one(CONSTANT, bytes=[13, 0])).read(0).tensors)


def test_a_head_that_swells_is_not_inflated():
    data = bytearray(sealed(b" " * 50_000_000))
    struct.pack_into("<I", data, 16, 100)
    struct.pack_into("<I", data, 20, zlib.crc32(bytes(data[:20] + data[24:])))
    with pytest.raises(ConfigError, match="does not inflate to 100 bytes"):
        decode(bytes(data))


@settings(max_examples=200)
@given(st.sampled_from([0, 1, 2, 3]), st.binary(max_size=40), st.binary(max_size=24), st.integers(0, 50))
def test_random_models_and_streams_are_read_or_refused(kind, model, stream, count):
    side = struct.pack("<fBiI", 1.0, kind, -8, 16) + model
    tried(one(side + stream, shape=[count], bytes=[len(side), len(stream)]))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4), lambda x: st.lists(x, max_size=3), max_leaves=5
)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(["name", "shape", "bytes", "axis", "along", "dtype"]), json_values))
def test_random_heads_are_read_or_refused(fields):
    tried(one(**fields))


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(["name", "media_type", "bytes", "crc32"]), json_values), st.binary(max_size=20))
def test_random_sections_are_read_or_refused(fields, body):
    tried(beside(fields, body=body))
