"""A video of several networks, where a video of one is expected."""

from __future__ import annotations

import json
import pickle
import threading

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.config import VideoInfo
from enerv_zoo.errors import ConfigError, FrameError, VideoError
from enerv_zoo.segmented import Segment, SegmentedVideo

SIZE = 18, 32
LENGTHS = (5, 3, 6)
SEGMENTS = [Segment(0, 5), Segment(5, 3), Segment(8, 6)]
TINY = {"fc_dim": 8, "block_dim": 16, "mlp_dim": 8, "stem_dim": [16], "lower_width": 6}
INFO = VideoInfo(sum(LENGTHS), *SIZE, fps=10.0, name="made up")


def network(number: int):
    """The network of a segment; a function of a module, so that the video can be pickled."""
    return ez.create_model("enerv", frames=LENGTHS[number], height=SIZE[0], width=SIZE[1], seed=number, **TINY)


@pytest.fixture
def video():
    return SegmentedVideo(INFO, SEGMENTS, network)


@pytest.fixture(scope="module")
def expected():
    return torch.cat([network(number)[:] for number in range(3)])


@pytest.mark.parametrize(
    "key",
    [slice(None), slice(3, 10), slice(None, None, -1), [13, 0, 7, 7, -1], torch.tensor([4, 5]), slice(0, 0)],
    ids=str,
)
def test_frames_by_index(video, expected, key):
    indices = key if not isinstance(key, slice) else list(range(14))[key]
    assert torch.equal(video[key], expected[indices])


def test_one_frame_and_all_of_them(video, expected):
    assert torch.equal(video[-1], expected[-1])
    assert torch.equal(torch.stack(list(video)), expected)
    assert [len(batch) for batch in video.decode(batch_size=4)] == [4, 1, 3, 4, 2]  # a batch is of one network
    with pytest.raises(FrameError, match="has 14 frames"):
        video[14]


def test_called_with_gradients_after_it_was_watched(video):
    """A network that was loaded to draw frames is still one that can be differentiated."""
    assert video[6].shape == (3, *SIZE)
    drawn = video(torch.tensor([6.5]))
    drawn.sum().backward()
    assert all(parameter.grad is not None for parameter in video.network(1).parameters())


@pytest.mark.parametrize("index", [3.5, [1], torch.tensor(3.0), torch.zeros(2, 2)], ids=str)
def test_what_no_video_is_called_with(video, index):
    for either in (video, network(0)):
        with pytest.raises(FrameError, match=r"called with a tensor of indices \(B,\)"):
            either(index)


def test_frames_by_time(video, expected):
    batch = video.get_frames_played_at([0.0, 0.45, 0.5, 1.39])
    assert torch.equal(batch.data, expected[[0, 4, 5, 13]])
    assert batch.pts_seconds.tolist() == pytest.approx([0.0, 0.4, 0.5, 1.3])
    assert torch.equal(video.get_frames_in_range(4, 9, 2).data, expected[4:9:2])
    assert video.metadata.num_frames == 14
    assert video.timestamps[8] == pytest.approx(0.8)


def test_called_with_indices_in_any_order(video):
    index = torch.tensor([9.5, 0.25, 6.0, 0.0])
    drawn = video(index)
    own = [(2, 1.5), (0, 0.25), (1, 1.0), (0, 0.0)]
    for frame, (number, local) in zip(drawn, own, strict=True):
        torch.testing.assert_close(frame, network(number)(torch.tensor([local]))[0])
    drawn.sum().backward()
    gradients = [p.grad for p in video.network(2).parameters()]
    assert any(g is not None and bool(g.any()) for g in gradients)
    assert video(torch.empty(0)).shape == (0, 3, *SIZE)


def test_nothing_is_between_two_segments(video):
    """After the last frame of a segment comes a cut; nothing is drawn that the network never saw."""
    assert torch.equal(video(torch.tensor([4.7])), video(torch.tensor([4.0])))


def test_no_network_is_saved_where_a_video_in_segments_is(video, tmp_path):
    """Which would be loaded in its place."""
    folder = video.save_pretrained(tmp_path / "saved")
    with pytest.raises(ConfigError, match="holds a video in segments; choose another folder"):
        network(0).save_pretrained(folder)
    assert len(ez.load(folder)) == len(video)


def test_few_networks_are_loaded(expected):
    loads = []
    video = SegmentedVideo(INFO, SEGMENTS, lambda number: loads.append(number) or network(number), max_loaded=2)
    assert not loads
    assert torch.equal(video[:], expected)
    assert loads == [0, 1, 2]
    assert torch.equal(video[[12, 6, 11]], expected[[12, 6, 11]])
    assert loads == [0, 1, 2]  # the last two are there
    video[0]
    assert loads == [0, 1, 2, 0]
    assert len(video.loaded) == 2


def test_threads_share_what_is_loaded(expected):
    loads = []
    video = SegmentedVideo(INFO, SEGMENTS, lambda number: loads.append(number) or network(number), max_loaded=3)
    start, drawn = threading.Barrier(4), []

    def draw():
        start.wait()
        drawn.append(video[:])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(loads) == [0, 1, 2]
    assert all(torch.equal(each, expected) for each in drawn)
    assert len(drawn) == 4


def test_it_can_be_sent_to_a_process(video, expected):
    video[0]
    twin = pickle.loads(pickle.dumps(video))
    assert not twin.loaded
    assert torch.equal(twin[6], expected[6])
    loader = torch.utils.data.DataLoader(video, batch_size=3)
    assert torch.equal(torch.cat(list(loader)), expected)


def test_compiled_networks_draw_the_same(video, expected):
    assert torch.equal(video.optimize("float32", inductor=False)[:], expected)


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ([Segment(0, 5), Segment(6, 8)], "begins at frame 6; expected frame 5"),
        ([Segment(0, 5)], "5 frames in all; the video has 14"),
        ([Segment(1, 13)], "begins at frame 1"),
        ([], "0 segments"),
    ],
)
def test_segments_are_the_videos_frames(segments, words):
    with pytest.raises(ConfigError, match=words):
        SegmentedVideo(INFO, segments, network)


def test_a_network_of_other_frames_is_refused():
    swapped = SegmentedVideo(INFO, [Segment(0, 3), Segment(3, 5), Segment(8, 6)], network)
    with pytest.raises(ConfigError, match=r"segment 0 decodes to 5 frames of 32x18; expected 3 of 32x18"):
        swapped[0]


def test_saved_and_loaded(video, expected, tmp_path):
    loaded = ez.load(video.save_pretrained(tmp_path / "saved"))
    assert isinstance(loaded, SegmentedVideo)
    assert torch.equal(loaded[:], expected)
    assert loaded.stored_numbers == video.stored_numbers == sum(network(n).stored_numbers for n in range(3))
    assert torch.equal(pickle.loads(pickle.dumps(loaded))[9], expected[9])
    with pytest.raises(ConfigError, match="in segments"):
        ez.NeuralVideo.from_pretrained(tmp_path / "saved")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format=99), "format 99 is not one"),
        (lambda d: d["segments"][1].update(first=6), "begins at frame 6"),
        (lambda d: d["segments"][1].update(folder="../elsewhere"), "no option"),
        (lambda d: d["segments"][1].update(frames=-3), "frames"),
        (lambda d: d.update(segments=[]), "segments"),
        (lambda d: d["video"].update(height=17), "decodes to 5 frames of 32x18; expected 5 of 32x17"),
        (
            lambda d: d["segments"].append({"first": 14, "frames": 1}),
            "4 segments of 15 frames in all",
        ),
    ],
)
def test_damaged_descriptions_are_refused(video, tmp_path, change, words):
    folder = video.save_pretrained(tmp_path / "saved")
    data = json.loads((folder / "segments.json").read_text())
    change(data)
    (folder / "segments.json").write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=words):
        ez.load(folder)[0]


def test_segments_that_are_not_fitted_yet_are_named(video, tmp_path):
    folder = video.save_pretrained(tmp_path / "saved")
    for name in ("config.json", "model.safetensors"):
        (folder / "segment-00002" / name).unlink()
    with pytest.raises(ConfigError, match="2 of 3 segments are fitted, number 2 is not"):
        ez.load(folder)


def test_evaluated_segment_by_segment(video, expected):
    report = ez.evaluate(video, expected)
    assert [row.frame for row in report.frames] == list(range(14))
    assert report.psnr > 55  # rounded to 8 bits, and nothing else
    assert report.stored_numbers == video.stored_numbers
    assert report.bpp == 8 * report.stored_bytes / (14 * 18 * 32)
    some = ez.evaluate(video, expected, frames="3:12:4")
    assert [row.frame for row in some.frames] == [3, 7, 11]
    assert some.bpp == report.bpp


def test_rendered_as_one(video, expected, tmp_path):
    ez.render(video, tmp_path / "frames", frames="2:10")
    assert torch.equal(ez.open_video(tmp_path / "frames").frames, expected[2:10])


def test_it_is_compared_with_as_many_frames_or_with_a_range_of_both(video, tmp_path):
    """As a single network is; of a file, the frames of one segment at a time are read."""
    frames = torch.randint(0, 256, (20, 3, *SIZE), dtype=torch.uint8)
    ez.write_video(tmp_path / "long.mkv", ez.open_video(frames))
    long = ez.open_video(tmp_path / "long.mkv")
    for source in (tmp_path / "long.mkv", long):
        with pytest.raises(VideoError, match=r"the fit has 14 frames, 'long' has 20; say which .*\"0:14\""):
            ez.evaluate(video, source)
        report = ez.evaluate(video, source, frames="0:14")
        assert report.psnr == pytest.approx(ez.evaluate(video, ez.open_video(long, frames="0:14")).psnr)
    ez.write_video(tmp_path / "short.mkv", ez.open_video(long, frames="0:10"))
    report = ez.evaluate(video, tmp_path / "short.mkv", frames="4:10")
    assert [row.frame for row in report.frames] == [4, 5, 6, 7, 8, 9]
    report = ez.evaluate(video, tmp_path / "short.mkv", frames="4::3")
    assert [row.frame for row in report.frames] == [4, 7]
    with pytest.raises(VideoError, match="4:14"):
        ez.evaluate(video, tmp_path / "short.mkv", frames="4:14")
