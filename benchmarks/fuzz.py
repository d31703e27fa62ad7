"""Hostile input in great numbers: whatever is read is used, or refused by one line; nothing else happens.

Every case is one valid input with a few of its bytes or of its values changed, by a generator that its kind and number
seed. A case that ends the process, takes too long or raises anything but an error of this package is reported with
both, and `--kinds KIND --first NUMBER --count 1` repeats it.

    python benchmarks/fuzz.py --count 100000
    python benchmarks/fuzz.py --kinds nvz --count 1000 --first 5000
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import random
import shutil
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, write_result
from PIL import Image

import enerv_zoo as ez
from enerv_zoo.batch import manifest_jobs, read_manifest
from enerv_zoo.errors import EnervZooError
from enerv_zoo.parsing import parse_yaml
from enerv_zoo.recipes import read_recipe
from enerv_zoo.storage import open_run

LEAVES = (
    None, True, False, 0, -1, 1, 3, 70, 1 << 20, 1 << 31, 1 << 63, 10**30, 0.5, 1e300, 1e-300, float("nan"),
    float("inf"), "", "x", "gelu", "nerv", "conv", "time", "\x00", "\ud800", "../../x", "a" * 3000, [], {}, [[1, 2]],
    {"name": "nerv"},
)  # fmt: skip
CHUNK = 500
"""Cases per process."""
LONGEST = 30.0
"""Seconds that a case may take on a busy machine."""
LONGEST_MESSAGE = 2000


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value within plain data."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutated(tree: Any, chance: random.Random) -> Any:
    """Return the same plain data with up to three values replaced, dropped, or copied from elsewhere."""
    tree = copy.deepcopy(tree)
    for _ in range(chance.randint(1, 3)):
        paths = list(places(tree))
        if not paths:
            return tree
        *above, last = chance.choice(paths)
        parent, other = tree, tree
        for step in above:
            parent = parent[step]
        for step in chance.choice(paths):
            other = other[step]
        if chance.random() < 0.3:
            del parent[last]
        else:
            parent[last] = copy.deepcopy(chance.choice((chance.choice(LEAVES), other)))
    return tree


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return the same bytes, cut short, or with a few of them changed, most of them near the beginning."""
    if chance.random() < 0.2:
        return data[: chance.randrange(len(data) + 1)]
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        near = min(len(data), chance.choice((16, 256, len(data))))
        changed[chance.randrange(near)] = chance.randrange(256)
    return bytes(changed)


def forged(data: bytes, chance: random.Random) -> bytes:
    """Return a `.nvz` file whose head or whose tensors are others, with the checksums of what it holds."""
    start = 24 + int.from_bytes(data[12:16], "little")
    head, body = json.loads(zlib.decompress(data[24:start], -15)), bytearray(data[start:])
    if chance.random() < 0.5:
        head = mutated(head, chance)
    else:
        for _ in range(chance.randint(1, 6)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        head["networks"][0]["crc32"] = zlib.crc32(body)
    text, squeezer = json.dumps(head).encode(errors="surrogatepass"), zlib.compressobj(9, zlib.DEFLATED, -15)
    squeezed = squeezer.compress(text) + squeezer.flush()
    fixed = data[:12] + struct.pack("<II", len(squeezed), len(text))
    return fixed + struct.pack("<I", zlib.crc32(squeezed, zlib.crc32(fixed))) + squeezed + body


class Samples:
    """Valid inputs of every kind, in a folder; each kind's method writes a case to another folder and reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        video = ez.create_model("enerv", frames=4, height=36, width=64, size="60K").eval()
        video.save_pretrained(folder / "fit")
        ez.compress(video, folder / "fit.nvz", measure=False)
        self.config = json.loads((folder / "fit" / "config.json").read_text())
        self.network = sorted(path for path in (folder / "fit").iterdir() if path.is_file())
        pixels = np.random.default_rng(0).integers(0, 255, (36, 64, 3), dtype=np.uint8)
        for suffix in ("png", "jpg", "webp", "tif", "bmp", "gif"):
            Image.fromarray(pixels).save(folder / f"image.{suffix}")
        ez.write_video(folder / "movie.mp4", ez.open_video("bunny", frames="0:6", resize="64x36"))
        self.media = [*sorted(folder.glob("image.*")), folder / "movie.mp4"]
        manifest = "format: 2\nowner: user\nfits:\n- {videos: [bunny], models: [nerv], sizes: [60K], seeds: [0, 1]}\n"
        recipe = (
            "format: 2\nmodel: {name: enerv}\nfit: {epochs: 3, loss: {L1: 0.7, SSIM: 0.3}}\nvideo: {frames: '0:8'}\n"
        )
        self.texts: dict[str, tuple[str, Callable[[Path], Any]]] = {
            "manifest": (manifest, lambda path: manifest_jobs(read_manifest(path))),
            "recipe": (recipe, read_recipe),
        }

    def config_(self, out: Path, chance: random.Random) -> None:
        """A folder whose config has other values."""
        shutil.copy(self.folder / "fit" / "model.safetensors", out)
        (out / "config.json").write_text(json.dumps(mutated(self.config, chance)), errors="surrogatepass")
        ez.load(out)[0]

    def folder_(self, out: Path, chance: random.Random) -> None:
        """A folder one of whose files is damaged."""
        victim = chance.choice(self.network)
        for path in self.network:
            (out / path.name).write_bytes(damaged(path.read_bytes(), chance) if path == victim else path.read_bytes())
        ez.load(out)[0]

    def nvz(self, out: Path, chance: random.Random) -> None:
        """A compressed file that is damaged, or whose checksums are right."""
        change = damaged if chance.random() < 0.2 else forged
        (out / "x.nvz").write_bytes(change((self.folder / "fit.nvz").read_bytes(), chance))
        str(open_run(out / "x.nvz").description)
        ez.load(out / "x.nvz")[0]

    def text(self, out: Path, chance: random.Random) -> None:
        """A manifest or a recipe with other values or other bytes."""
        text, read = self.texts[chance.choice(list(self.texts))]
        changed = json.dumps(mutated(parse_yaml(text), chance)) if chance.random() < 0.7 else None
        data = damaged(text.encode(), chance) if changed is None else changed.encode(errors="surrogatepass")
        (out / "x.yaml").write_bytes(data)
        read(out / "x.yaml")

    def image(self, out: Path, chance: random.Random) -> None:
        """A still or a movie that is damaged, alone or in a folder of frames."""
        path = chance.choice(self.media)
        frame = out / path.name
        frame.write_bytes(damaged(path.read_bytes(), chance))
        is_folder = path.suffix != ".mp4" and chance.random() < 0.3
        clip = ez.open_video(out if is_folder else frame)
        assert clip.frames.dtype == torch.uint8


KINDS = {"config": "config_", "folder": "folder_", "nvz": "nvz", "text": "text", "image": "image"}


def outcome(read: Callable[[Path, random.Random], None], seed: str) -> str:
    """Return `read` or `refused`.

    Raises:
        AssertionError: it took too long, or said too much.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            read(Path(folder), random.Random(seed))
            result = "read"
        except EnervZooError as error:
            message, result = str(error), "refused"
            assert "\n" not in message, f"a message of several lines: {message!r}"
            assert len(message) <= LONGEST_MESSAGE, f"a message of {len(message)} characters"
    assert time.monotonic() - began <= LONGEST, f"it took {time.monotonic() - began:.0f} s"
    return result


def run_cases(samples: Samples, kind: str, numbers: range, current: Any, pipe: Any) -> None:
    """Run cases; sends their outcomes, and what must not have happened."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    read, counts, faults = getattr(samples, KINDS[kind]), Counter[str](), []
    for number in numbers:
        current.value = number
        try:
            counts[outcome(read, f"{kind}-{number}")] += 1
        except Exception as error:
            faults.append({"kind": kind, "number": number, "fault": f"{type(error).__name__}: {error}"[:500]})
    pipe.send((counts, faults))


def apart(samples: Samples, kind: str, numbers: range) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Run cases in forked processes; one that a case has ended is followed by another, from the next case on."""
    context = multiprocessing.get_context("fork")
    counts, faults = Counter[str](), []
    while numbers:
        current, (here, there) = context.Value("q", numbers[0]), context.Pipe(duplex=False)
        process = context.Process(target=run_cases, args=(samples, kind, numbers, current, there))
        process.start()
        there.close()
        try:
            own, theirs = here.recv()
            counts, faults, numbers = counts + own, faults + theirs, numbers[len(numbers) :]
        except EOFError:
            process.join()
            faults.append({"kind": kind, "number": current.value, "fault": f"exit code {process.exitcode}"})
            numbers = range(current.value + 1, numbers.stop)
        process.join()
    return counts, faults


def main(arguments: list[str] | None = None) -> int:
    """Run the cases; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="by default all")
    parser.add_argument("--count", type=int, default=1000, help="of all kinds together")
    parser.add_argument("--first", type=int, default=0, help="number of the first case of each kind")
    parser.add_argument("--name", help="of a file in benchmarks/results to write; by default none")
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    rows, faults, began = {}, [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        samples = Samples(Path(folder))
        for kind in options.kinds:
            start, last = time.monotonic(), options.first + max(options.count // len(options.kinds), 1)
            counts: Counter[str] = Counter()
            for number in range(options.first, last, CHUNK):
                own, theirs = apart(samples, kind, range(number, min(number + CHUNK, last)))
                counts, faults = counts + own, faults + theirs
            rows[kind] = {**counts, "seconds": round(time.monotonic() - start, 1)}
            print(json.dumps({"kind": kind, **rows[kind]}), flush=True)
    for fault in faults:
        print(json.dumps(fault), file=sys.stderr)
    if options.name:
        result = {"benchmark": "fuzz", "machine": machine("cpu"), "seconds": round(time.monotonic() - began, 1)}
        write_result(options.name, vars(options), {**result, "rows": rows, "faults": faults})
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
