"""Sound, title, time of recording and chapters: read from files, cut to frames, and written back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from sounds import RATE, heard, write_clip

from enerv_zoo.config import Tags
from enerv_zoo.errors import VideoError
from enerv_zoo.video import open_video, write_video
from enerv_zoo.video.scenes import survey
from enerv_zoo.video.sound import copy_sound
from enerv_zoo.video.source import Span

TAGS = Tags("Evening", "2024-05-06T07:08:09.000000Z", ((0.0, 0.4, "First"), (0.4, 1.2, "Second")))


def packets(source: Any) -> list[bytes]:
    """The compressed packets of a file's sound."""
    with av.open(source) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two rising tones, whose pitch tells a shift, at the best of shifts up to 2 ms."""
    count = min(one.size, other.size) - 6000
    return max(np.corrcoef(one[3000 + by :][:count], other[3000:][:count])[0, 1] for by in range(-96, 97, 6))


def saved(sound: bytes | None, path: Path) -> Path:
    assert sound is not None
    path.write_bytes(sound)
    return path


@pytest.mark.parametrize(
    ("name", "encoder", "copied"),
    [
        ("x.mp4", "aac", ("mp4", "mov", "mkv")),
        ("x.mkv", "aac", ("mp4", "mov", "mkv")),
        ("x.mp4", "libopus", ("mp4", "mkv", "webm")),
        ("x.avi", "libmp3lame", ("mp4", "mov", "mkv")),
        ("x.mov", "pcm_mulaw", ("mov",)),
    ],
)
def test_a_copy_has_the_packets_and_the_samples_of_the_source(
    tmp_path: Path, name: str, encoder: str, copied: tuple[str, ...]
) -> None:
    clip = write_clip(tmp_path / name, encoder)
    video = open_video(clip)
    sound = saved(video.sound, tmp_path / "sound.mp4")
    assert packets(str(sound)) == packets(str(clip))
    codec, before = heard(clip)
    assert heard(sound)[0] == codec
    assert len(heard(sound)[1]) == pytest.approx(len(before), abs=0 if name in ("x.mp4", "x.mov") else RATE // 100)
    for suffix in ("mp4", "mov", "mkv", "webm"):
        written = write_video(tmp_path / f"out.{suffix}", video)
        again, samples = heard(written)
        assert open_video(written).info.frames == len(video)
        assert (again == codec) == (suffix in copied), suffix
        assert again == codec or again == ("opus" if suffix == "webm" else "aac")
        assert samples.size / RATE == pytest.approx(before.size / RATE, abs=0.06)
        assert likeness(samples, before) > 0.97, suffix


def test_sound_and_chapters_are_cut_to_frames(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", tags=TAGS)
    whole = open_video(clip)
    assert whole.info.tags == TAGS
    _, samples = heard(clip)
    for frames, start, length in (("3:9", 0.3, 0.6), ("3:9:2", 0.3, 0.6), ("0:5", 0.0, 0.5), ("7:", 0.7, 0.5)):
        for part in (open_video(clip, frames=frames), open_video(whole, frames=frames)):
            _, own = heard(saved(part.sound, tmp_path / "part.mp4"))
            expected = samples[round(start * RATE) :][: own.size]
            assert own.size / RATE == pytest.approx(length, abs=0.06)
            assert likeness(own, expected) > 0.99
            assert part.info.tags is not None
            assert part.info.tags.title == "Evening"
            assert part.info.tags == survey(clip, frames=frames, scenes=False).info.tags
    assert part.info.tags.chapters == ((0.0, 0.5, "Second"),)
    assert open_video(clip, frames="3:9").info.tags == Tags(
        TAGS.title, TAGS.created, ((0.0, 0.1, "First"), (0.1, 0.6, "Second"))
    )
    sound = survey(clip, frames="3:9", scenes=False).read_sound()
    assert sound == open_video(clip, frames="3:9").sound


def test_tags_are_written_back(tmp_path: Path) -> None:
    video = open_video(write_clip(tmp_path / "clip.mp4", tags=TAGS))
    for suffix in ("mp4", "mov", "mkv", "webm"):
        assert open_video(write_video(tmp_path / f"x.{suffix}", video)).info.tags == TAGS
    faster = open_video(write_video(tmp_path / "fast.mp4", video, fps=20)).info.tags
    assert faster == Tags(TAGS.title, TAGS.created), "chapters are of the timing that it had"
    without = open_video(write_video(tmp_path / "y.mp4", video.without_sound()))
    assert (without.sound, without.info.tags) == (None, None)


def test_what_has_no_sound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = open_video(write_clip(tmp_path / "clip.mp4"))
    frames = video.frames
    folder = write_video(tmp_path / "frames", video)
    silent = write_video(tmp_path / "silent.mp4", frames, fps=10)
    for source in (frames, folder, silent, write_video(tmp_path / "x.gif", video, sound=video.sound)):
        assert open_video(source).sound is None
        assert open_video(source).info.tags is None
    assert open_video(write_video(tmp_path / "fast.mp4", video, fps=20)).sound is None
    caplog.clear()
    wma = write_clip(tmp_path / "clip.asf", "wmav2")
    assert open_video(wma).sound is None
    assert "wmav2 is not copied" in caplog.text


def test_damaged_sound(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = torch.zeros(5, 3, 32, 48, dtype=torch.uint8)
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    for data in (b"", b"RIFF" + bytes(100), playlist, open_video(write_clip(tmp_path / "a.mp4")).sound[:300]):  # type: ignore[index]
        with pytest.raises(VideoError, match="the sound is damaged"):
            write_video(tmp_path / "x.mp4", frames, fps=10, sound=data)
        with pytest.raises(VideoError, match="the sound is damaged"):
            copy_sound(data, Span())
    assert not (tmp_path / "x.mp4").exists()


def test_a_time_that_nobody_set_is_none(tmp_path: Path) -> None:
    for created in ("1970-01-01T00:00:00.000000Z", "never"):
        clip = write_clip(tmp_path / "clip.mp4")
        with av.open(str(clip)) as container, av.open(str(tmp_path / "y.mp4"), "w") as output:
            output.metadata["creation_time"] = created
            stream = output.add_stream_from_template(container.streams.video[0])
            for packet in container.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    output.mux(packet)
        assert open_video(tmp_path / "y.mp4").info.tags is None


def test_joined_recordings_are_heard_one_after_the_other(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "a.ts").read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    video = open_video(tmp_path / "two.ts")
    assert len(video) == 24
    codec, samples = heard(saved(video.sound, tmp_path / "s.mp4"))
    assert codec == "aac"
    assert samples.size / RATE == pytest.approx(2.4, abs=0.15)


def test_a_part_of_joined_recordings_has_its_own_sound(tmp_path: Path) -> None:
    """Though the second clock begins less than a pause before the first one ends."""
    one = write_clip(tmp_path / "a.ts", frames=30).read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    for frames, seconds in (("30:", 3.0), ("35:45", 1.0), (":50", 5.0), ("10:20", 1.0)):
        part = open_video(tmp_path / "two.ts", frames=frames)
        assert heard(saved(part.sound, tmp_path / "s.mp4"))[1].size / RATE == pytest.approx(seconds, abs=0.15), frames


def test_a_sound_of_an_unknown_codec_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_clip(tmp_path / "clip.mov", "pcm_s16le")
    clip.write_bytes(clip.read_bytes().replace(b"sowt", b"ac-4"))
    video = open_video(clip)
    assert video.sound is None
    assert "FFmpeg does not know its codec" in caplog.text
    assert open_video(write_video(tmp_path / "x.mp4", video)).sound is None


@pytest.mark.parametrize(("rate", "encoded"), [(11_024, 11_025), (22_254, 22_050), (192_000, 96_000)])
def test_rates_that_aac_lacks_become_the_nearest(tmp_path: Path, rate: int, encoded: int) -> None:
    clip = write_clip(tmp_path / "picture.mp4")
    with av.open(str(clip)) as source, av.open(str(tmp_path / "clip.avi"), "w") as container:
        picture: Any = container.add_stream_from_template(source.streams.video[0])
        sound: Any = container.add_stream("pcm_u8", rate=rate, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                container.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.full((1, rate), 128, np.uint8), format="u8", layout="mono")
        frame.rate = rate
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    written = write_video(tmp_path / "x.mp4", open_video(tmp_path / "clip.avi"))
    with av.open(str(written)) as container:
        assert (container.streams.audio[0].codec.name, container.streams.audio[0].rate) == ("aac", encoded)


def surround(path: Path, encoder: str, layout: str) -> Path:
    """A clip whose sound has several channels."""
    clip = write_clip(path.with_name("picture.mp4"))
    with av.open(str(clip)) as source, av.open(str(path), "w") as container:
        picture: Any = container.add_stream_from_template(source.streams.video[0])
        sound: Any = container.add_stream(encoder, rate=RATE, layout=layout)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                container.mux(packet)
        count = len(av.AudioLayout(layout).channels)
        kind = sound.format.name if encoder.startswith("pcm") else "fltp"
        samples = np.random.default_rng(0).random((count, RATE)).astype(np.float32) - 0.5
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.rate = RATE
        resampler = av.AudioResampler(kind, layout, RATE, frame_size=sound.frame_size or None)
        for each in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(sound.encode(each))
    return path


@pytest.mark.parametrize(
    ("name", "encoder", "layout"),
    [
        ("x.avi", "pcm_s16le", "stereo"),
        ("x.mkv", "pcm_s16le", "5.1"),
        ("x.mp4", "ac3", "5.1(side)"),
        ("x.mp4", "aac", "4.0"),
    ],
)
def test_channels_that_are_only_counted_and_layouts_that_opus_lacks(
    tmp_path: Path, name: str, encoder: str, layout: str
) -> None:
    video = open_video(surround(tmp_path / name, encoder, layout))
    count = len(av.AudioLayout(layout).channels)
    for suffix in (".mp4", ".mkv", ".webm"):
        with av.open(str(write_video(tmp_path / f"y{suffix}", video))) as written:
            sound = written.streams.audio[0]
            assert sound.channels == count
            assert sum(frame.samples for frame in written.decode(sound)) > 0.9 * RATE


def test_a_damaged_packet_is_left_out_where_sound_is_encoded_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = write_clip(tmp_path / "x.mp4", frames=40)
    data = bytearray(clip.read_bytes())
    middle = packets(str(clip))[20]
    place = data.index(middle)
    data[place : place + len(middle)] = b"\xff" * len(middle)
    clip.write_bytes(data)
    written = write_video(tmp_path / "y.webm", open_video(clip))
    assert heard(written)[1].size > 3.5 * RATE
    assert "packets of it are left out (1)" in caplog.text
