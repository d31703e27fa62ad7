"""`write_player`: a web page that plays a network, which decodes each frame in the browser."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

from markupsafe import Markup
from PIL import Image
from torch import Tensor

from enerv_zoo import __version__
from enerv_zoo.config import DEFAULT_FPS, Colour
from enerv_zoo.errors import ConfigError
from enerv_zoo.exporting import onnx_model
from enerv_zoo.exporting.decoder import Precision
from enerv_zoo.exporting.embedding import ASSETS, RUNTIME, PageFiles
from enerv_zoo.exporting.run import ONNX, check_choice, opened
from enerv_zoo.exporting.runtime import BACKENDS, VERSION
from enerv_zoo.files import check_writable, listing, replacing, usable_path
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.pages import asset, template
from enerv_zoo.pixels import as_bytes
from enerv_zoo.segmented import SegmentedVideo
from enerv_zoo.storage import Run
from enerv_zoo.storage.sound import SOUND
from enerv_zoo.video.origin import protected
from enerv_zoo.video.sound import for_browsers
from enerv_zoo.video.tones import frames_to_sdr

PAGE, SUFFIX = "index.html", ".html"
MARKS = (b'id="poster"', b"enerv-zoo")
"""What a player's page has in it."""

POSTER_WIDTH, POSTER_QUALITY = 640, 85

Fit = NeuralVideo | SegmentedVideo | Run | str | Path


def write_player(
    fit: Fit, path: str | Path, *, runtime: str | Path | None = None, precision: Precision = "float16"
) -> Path:
    """Write a web page that plays a fit: its networks decode every frame in the browser, by onnxruntime-web.

    The page loads its own files and the runtime, of one version and with its hashes checked, and nothing else. It uses
    WebGPU where there is one, else WebAssembly in several workers.

    Args:
        fit: a network, a video in segments, or what `enerv_zoo.load` takes.
        path: a folder for the page and its files, as any web server or a static Space on the Hub serves it; or a name
            that ends in `.html` for one file, which also opens from disk.
        runtime: folder of the unpacked npm package onnxruntime-web, whose files are copied; a single file then needs no
            connection. By default the page loads them from a public address (cdn.jsdelivr.net).
        precision: of the stored weights, as in `enerv_zoo.export`.

    Returns:
        The path of the page.

    Raises:
        ConfigError: the extra `enerv-zoo[export]` is missing, there is no such precision, the runtime's files are
            others, or the folder holds more than a player.
        EnervZooError: the fit cannot be read, or the page cannot be written.
    """
    onnx_model.check_installed()
    check_choice("precision", precision, Precision)
    target = usable_path(path)
    single = target.suffix == SUFFIX
    (check_writable if single else _check_folder)(target)
    video, run = opened(fit)
    files = PageFiles(single, None if runtime is None else Path(runtime))
    page = _page(video, run, files, precision)
    with protected(video.origin), replacing(target) as temporary:
        if single:
            temporary.write_text(page, encoding="utf-8")
        else:
            for name, contents in {**files.beside, PAGE: page.encode()}.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                (temporary / name).write_bytes(contents)
    return target if single else target / PAGE


def _page(video: NeuralVideo | SegmentedVideo, run: Run | None, files: PageFiles, precision: Precision) -> str:
    info = video.info
    runtime = files.add_runtime()
    networks = files.add_networks(video, run, precision)
    sound = None if (data := video.sound) is None else for_browsers(data)
    facts = {
        "frames": info.frames,
        "fps": info.fps or DEFAULT_FPS,
        "timestamps": info.timestamps and [time - info.timestamps[0] for time in info.timestamps],
        "networks": networks,
        "runtime": runtime,
        "sound": sound and files.add(SOUND, sound),
    }
    script = asset(ASSETS / "decoding.js") + asset(ASSETS / "player.js")
    rate = f", {info.fps:.6g} frames/s" if info.fps else ""
    wasm = sum(file.size for file in BACKENDS["wasm"].values())
    original = None if video.origin is None else video.origin.bytes
    return template(ASSETS / "page.html.jinja").render(
        title=info.name,
        subtitle=f"{video.config.family}: {info.frames} frames of {info.size_text}{rate}, "
        f"{video.stored_numbers:,} parameters",
        policy=f"default-src 'none'; {files.policy(script)}; style-src 'unsafe-inline'; img-src data:; "
        "media-src blob:; "
        "base-uri 'none'; form-action 'none'",
        width=info.width,
        height=info.height,
        aspect=f"{info.width * float(info.pixel_aspect) / info.height:.4f}",
        frames=info.frames,
        poster=_poster(video[0], info.colour),
        network=_megabytes(files.models),
        runtime=_megabytes(wasm),
        runtime_version=VERSION,
        sound=sound and _megabytes(len(sound)),
        pixels=_megabytes(3 * info.pixels),
        original=original and _megabytes(original),
        attribution=info.attribution,
        license=run and run.description.license,
        version=__version__,
        css=asset(ASSETS / "player.css"),
        data=Markup(json.dumps(facts).replace("<", "\\u003c")),
        worker=asset(ASSETS / "worker.js"),
        parts=files.parts,
        script=script,
    )


def _poster(frame: Tensor, colour: Colour) -> str:
    """Return a frame (3, H, W), uint8 and of a colour, as a small JPEG in a data address."""
    pixels = as_bytes(frames_to_sdr(frame, colour)) if colour.is_wide else frame
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    image.thumbnail((POSTER_WIDTH, POSTER_WIDTH))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=POSTER_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB"


def _check_folder(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but a player.

    Raises:
        ConfigError: it does, or is a file.
        EnervZooError: there can be no such folder.
    """
    if not folder.exists():
        return check_writable(folder)
    paths = listing(folder, ConfigError) if folder.is_dir() else [folder]
    own = re.compile(rf"{re.escape(PAGE)}|{re.escape(SOUND)}|{RUNTIME}|network[0-9]*{re.escape(ONNX)}")
    runtime = {file.name for files in BACKENDS.values() for file in files.values()}
    page = (folder / PAGE).read_bytes() if (folder / PAGE).is_file() else b""
    is_player = all(mark in page for mark in MARKS)
    if (
        (paths and not is_player)
        or not all(own.fullmatch(path.name) for path in paths)
        or not runtime.issuperset(path.name for path in (folder / RUNTIME).glob("*"))
    ):
        raise ConfigError(f"{folder}: holds other files than a player's; expected a new folder, or a name in {SUFFIX}")
