"""Colours of files: what a stream says of them, and between the pixels of frames in files and RGB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import av
import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.stream import VideoStream

from enerv_zoo.config import HD, MATRICES, PRIMARIES, TRANSFERS, Colour
from enerv_zoo.video.source import ReadOptions

ONE_THREAD: dict[str, int] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
"""Options of a conversion: a frame keeps its converter, and with it threads, which also take time to start. PyAV starts
none before version 17."""
_LUMA = {
    "bt709": (0.2126, 0.0722), "fcc": (0.3, 0.11), "bt470bg": (0.299, 0.114), "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087), "bt2020nc": (0.2627, 0.0593),
}  # fmt: skip
"""Parts of red and blue in Y', by matrix (H.273, table 4)."""
_MATRICES = (1, 4, 5, 7, 9)
"""Tagged colour matrices that the converter knows (BT.709, FCC, BT.470BG, SMPTE 240M, BT.2020)."""
_DEFAULT_MATRIX = 5
_UNREADABLE_MATRICES = {8: "ycgco", 10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c",
                        14: "ictcp"}  # fmt: skip
"""Tagged colour matrices that it does not know, or would take for another."""
DEEP_FORMAT = "yuv420p10le"
UNSPECIFIED = 2
"""Number of a matrix that a file leaves open."""
FULL_RANGE = 2
LIMITED_RANGE = 1
"""FFmpeg's numbers of ranges."""
_SIXTEEN_BITS = {"rgb48": None, "rgba64": None, "gray16": None, "ya16": "gray16le"}
"""Formats of 16 bits for each of red, green and blue, or for grey, and what to turn them into first."""


_DEPTHS = (9, 10, 12, 14, 16)
"""Bits, above 8, of the planar formats that FFmpeg has."""


def has_matrix(form: VideoFormat) -> bool:
    """Return whether a pixel format stores Y'CbCr rather than red, green and blue, grey or a palette."""
    return not (form.is_rgb or form.has_palette) and len(form.components) >= 3


def picture_of(frame: VideoFrame, options: ReadOptions) -> np.ndarray:
    """A frame as (H, W, 3), uint8 or float in [0, 1], by the matrix and in the depth that options ask for.

    Raises:
        ValueError, av.error.FFmpegError: FFmpeg cannot convert its pixels.
    """
    if options.matrix is not None and has_matrix(frame.format):
        frame.colorspace = MATRICES[options.matrix]
    return to_float(frame) if options.full_depth else to_rgb(frame)


def to_rgb(frame: VideoFrame) -> np.ndarray:
    """A frame as (H, W, 3) uint8, without its alpha. 16 bits are rounded to 8.

    Raises:
        ValueError, av.error.FFmpegError: FFmpeg cannot convert its pixels.
    """
    if (matrix := _UNREADABLE_MATRICES.get(frame.colorspace)) is not None:
        raise ValueError(f"matrix {matrix}")
    name = frame.format.name
    if name[:-2] in _SIXTEEN_BITS and frame.color_range != LIMITED_RANGE:  # limited range is left to the converter
        return ((_sixteen_bits(frame).astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    tagged = frame.colorspace in _MATRICES
    # What a file says of its colours is passed on, as older versions of PyAV do not look at it by themselves; they also
    # ignore a matrix that equals the target's.
    return frame.reformat(
        format="rgb24",
        src_colorspace=int(frame.colorspace) if tagged else None,
        dst_colorspace=_DEFAULT_MATRIX if tagged else None,
        src_color_range=int(frame.color_range) if frame.color_range in (LIMITED_RANGE, FULL_RANGE) else None,
        **ONE_THREAD,
    ).to_ndarray()


def to_float(frame: VideoFrame) -> np.ndarray:
    """A frame as (H, W, 3) without its alpha: float32 in [0, 1] where it has more than 8 bits, uint8 otherwise.

    Raises:
        ValueError, av.error.FFmpegError: FFmpeg cannot convert its pixels.
    """
    form = frame.format
    bits = max(part.bits for part in form.components)
    if form.name[:-2] in _SIXTEEN_BITS and frame.color_range != LIMITED_RANGE:
        return _sixteen_bits(frame).astype(np.float32) / 65535
    if bits not in _DEPTHS or frame.colorspace in _UNREADABLE_MATRICES or form.name.startswith("xyz"):
        return to_rgb(frame)
    rgb = "gbrap" if form.name.startswith("gbrap") else "gbrp"  # FFmpeg leaves half of each row out as it drops alpha
    kind = rgb if form.is_rgb else "gray" if len(form.components) < 3 else "yuv444p"
    planes = [_values(plane) for plane in frame.reformat(format=f"{kind}{bits}le", **ONE_THREAD).planes]
    if kind != "yuv444p":
        green, blue, red = planes[:3] if form.is_rgb else planes * 3
        return np.stack((red, green, blue), axis=-1) / np.float32(2**bits - 1)
    matrix = _name(MATRICES, frame.colorspace) or "bt470bg"
    red_part, blue_part = _LUMA[matrix]
    step = 2 ** (bits - 8)
    if frame.color_range == FULL_RANGE:
        black, luma_range, chroma_range = 0, 2**bits - 1, 2**bits - 1
    else:
        black, luma_range, chroma_range = 16 * step, 219 * step, 224 * step
    luma = (planes[0] - black) / luma_range
    blue, red = (
        luma + (plane - 128 * step) * (2 * (1 - part) / chroma_range)
        for plane, part in zip(planes[1:], (blue_part, red_part), strict=True)
    )
    green = (luma - red_part * red - blue_part * blue) / (1 - red_part - blue_part)
    return np.stack((red, green, blue), axis=-1).clip(0, 1)


def _values(plane: VideoPlane) -> np.ndarray:
    """Return the samples of a plane of more than 8 bits, as float32."""
    buffer: Any = plane
    return np.frombuffer(buffer, "<u2").reshape(plane.height, -1)[:, : plane.width].astype(np.float32)


def _sixteen_bits(frame: VideoFrame) -> np.ndarray:
    """Return a frame of a format of `_SIXTEEN_BITS` as (H, W, 3) uint16, without its alpha."""
    other = _SIXTEEN_BITS[frame.format.name[:-2]]
    wide = (frame.reformat(format=other, **ONE_THREAD) if other else frame).to_ndarray()
    return wide[..., None].repeat(3, axis=-1) if wide.ndim == 2 else wide[..., :3]


def colour_of(stream: VideoStream, matrix: str | None = None) -> Colour:
    """Return the colour that a stream states; what it leaves open is that of HD video, or of UHD with its matrix.

    Red, green and blue that are stored as they are have no matrix; they are written back as HD or UHD video has them.

    Args:
        stream: of a file.
        matrix: that its pixels are read by, if not what it states.
    """
    codec, form = stream.codec_context, stream.codec_context.format
    bits = max((part.bits for part in form.components), default=HD.bits) if form is not None else HD.bits
    is_full = codec.color_range == FULL_RANGE and form is not None and not form.is_rgb
    matrix = matrix or _name(MATRICES, codec.colorspace)
    return stated_colour(codec.color_primaries, codec.color_trc, matrix, is_full, bits)


def stated_colour(
    primaries: int | None, transfer: int | None, matrix: str | None, full_range: bool, bits: int
) -> Colour:
    """Return the colour that numbers of H.273 state, and the name of a matrix; see `colour_of`."""
    name = _name(PRIMARIES, primaries) or ("bt2020" if matrix == "bt2020nc" else HD.primaries)
    return Colour(
        name,
        _name(TRANSFERS, transfer) or HD.transfer,
        matrix or ("bt2020nc" if name == "bt2020" else HD.matrix),
        full_range,
        min(max(bits, HD.bits), 16),
    )


def pixel_format(colour: Colour) -> str:
    """Return FFmpeg's name of 4:2:0 of 8 bits or, where the colour has more, of 10."""
    return "yuv420p" if colour.bits == 8 else DEEP_FORMAT


def to_yuv(image: np.ndarray, colour: Colour, form: str | None = None) -> VideoFrame:
    """Return an image (H, W, 3) of even sides as a frame.

    Args:
        image: uint8, or float in [0, 1].
        colour: its matrix and range.
        form: FFmpeg's name of the pixel format; by default that of `pixel_format`. Of other ones, 8 bits of the image
            count.
    """
    form = form or pixel_format(colour)
    if form != DEEP_FORMAT:
        number = MATRICES[colour.matrix]
        # Averaging 2 x 2 pixels is what decoders undo when they repeat a chroma sample; smoother filters bleed.
        return VideoFrame.from_ndarray(to_bytes(image), format="rgb24").reformat(
            format=form,
            dst_colorspace=number if number in _MATRICES else _DEFAULT_MATRIX,
            dst_color_range=FULL_RANGE if colour.full_range else LIMITED_RANGE,
            interpolation="AREA",
            **ONE_THREAD,
        )
    rgb = image.astype(np.float32) / (255 if image.dtype == np.uint8 else 1)  # FFmpeg's own conversion makes white 943
    red, blue = _LUMA[colour.matrix]
    luma = rgb @ np.array([red, 1 - red - blue, blue], np.float32)
    height, width = luma.shape
    halves = (rgb[..., ::2] - luma[..., None]).reshape(height // 2, 2, width // 2, 2, 2).mean(axis=(1, 3))
    scale, offset = (1023, 0) if colour.full_range else (876, 64)
    frame = VideoFrame(width, height, DEEP_FORMAT)
    _fill(frame.planes[0], luma * scale + offset)
    for plane, half, part in zip(frame.planes[1:], (halves[..., 1], halves[..., 0]), (blue, red), strict=True):
        _fill(plane, half / (2 * (1 - part)) * (1023 if colour.full_range else 896) + 512)
    return frame


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Return an image, uint8 or float in [0, 1], as uint8."""
    return image if image.dtype == np.uint8 else (image.astype(np.float32) * 255).round().astype(np.uint8)


def _fill(plane: VideoPlane, values: np.ndarray) -> None:
    rows = np.zeros((plane.height, plane.line_size // 2), "<u2")
    rows[:, : plane.width] = values.round().clip(0, 1023)
    plane.update(rows.tobytes())


def _name(names: Mapping[str, int], number: int | None) -> str | None:
    return next((name for name, each in names.items() if each == number), None)
