"""PCA-NeRV: its closed-form start, and that it is a family like any other."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import enerv_zoo as ez
from enerv_zoo.batch import WorkerPool
from enerv_zoo.batch.segments import SegmentsJob
from enerv_zoo.errors import ConfigError
from enerv_zoo.fitting.first_weights import start_in_closed_form
from enerv_zoo.fitting.plan import plan_fit
from enerv_zoo.heads import principal
from enerv_zoo.layers import centred_places, to_cells
from enerv_zoo.meta import MetaParameters
from enerv_zoo.models.pca_nerv import HEAD_GAIN
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.registry import import_file
from enerv_zoo.storage.segments import Segment, SegmentsDescription
from enerv_zoo.zoo import TOLERANCE, model_config, parse_parameter_count

TINY = {"width": 9, "channels": 3}
FIT = {
    "model_options": TINY, "frames": "0:6", "resize": "64x48", "batch_size": 2, "lr": 5e-3, "precision": "float32",
    "loss": "L2",
}  # fmt: skip


def started(frames, options=TINY, seed=0):
    """A network with its closed-form start alone: what its head adds is taken away."""
    clip = ez.open_video(frames)
    video = NeuralVideo.seeded(model_config("pca_nerv", clip.info, **options), clip.info, seed)
    start_in_closed_form(video, clip.frames)
    with torch.no_grad():
        video.head.conv.weight.zero_()
    return video.eval()


def mean_squared_error(video, frames):
    with torch.inference_mode():
        return float((video(torch.arange(len(frames))) - frames.float() / 255).square().mean())


def test_the_published_size_is_that_of_the_specification():
    video = ez.create_model("pca_nerv", frames=132, height=144, width=256)
    assert video.stored_numbers == 504_708
    assert sum(grid.numel() for name, grid in video.named_parameters() if name.startswith("embeddings")) == 263_808
    assert sum(each.numel() for each in video.head.linear.parameters()) == 6_336


@pytest.mark.parametrize("frame", [(144, 256), (360, 640), (252, 593)])
@pytest.mark.parametrize("frames", [132, 250])
@pytest.mark.parametrize("size", ["0.3M", "0.5M", "2M", "6M"])
def test_grids_take_about_the_same_part_of_every_budget(size, frames, frame):
    info = ez.VideoInfo(frames, *frame)
    with MetaParameters():
        video = NeuralVideo(model_config("pca_nerv", info, size=size), info)
    grids = sum(grid.numel() for name, grid in video.named_parameters() if name.startswith("embeddings"))
    assert 0.25 < grids / video.stored_numbers < 0.6
    assert video.stored_numbers == pytest.approx(parse_parameter_count(size), rel=TOLERANCE)


def test_grids_of_few_frames_have_no_more_channels_than_help():
    for size, frames in (("0.5M", 16), ("6M", 33)):
        config = model_config("pca_nerv", ez.VideoInfo(frames, 144, 256), size=size)
        assert 3.8 < config.join["channels"] / config.embeddings["grid0"]["channels"] < 5


def test_channels_or_levels_that_are_given_are_kept_under_a_budget():
    info = ez.VideoInfo(132, 144, 256)
    assert model_config("pca_nerv", info, size="0.5M", channels=2).embeddings["grid0"]["channels"] == 2
    assert len(model_config("pca_nerv", info, size="0.5M", levels=2).embeddings) == 2
    for levels in (0, 8):
        with pytest.raises(ConfigError, match=f"levels are 1 to 7, got {levels}"):
            model_config("pca_nerv", info, size="0.5M", levels=levels)


def test_the_network_begins_with_little_beside_what_the_grids_show():
    video = ez.create_model("pca_nerv", frames=33, height=36, width=64)
    conv = video.head.conv
    usual = conv.weight[0].numel() ** -0.5  # PyTorch draws weights up to it
    assert 0.9 * HEAD_GAIN * usual < conv.weight.abs().max() <= HEAD_GAIN * usual
    assert not conv.bias.any()


def test_bunny_starts_as_it_was_measured():
    clip = ez.open_video("bunny", resize="256x144")
    video = ez.create_model("pca_nerv", info=clip.info)
    start_in_closed_form(video, clip.frames)
    assert ez.evaluate(video, clip).psnr == pytest.approx(26.7, abs=0.1)


def low_rank(count=6, components=3, height=48, width=64):
    """A clip whose cells of 16 x 16 pixels are blends of a few patterns."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(components, 3, 16, 16, generator=generator)
    scores = torch.randn(count, components, height // 16, width // 16, generator=generator)
    cells = torch.einsum("nkij,kcyx->nciyjx", scores, patterns).reshape(count, 3, height, width)
    return (cells * 20 + 128).round().clamp(0, 255).to(torch.uint8)


def test_principal_components_are_those_of_the_cells():
    """What is left of cells of 4 x 4 pixels is what the smaller eigenvalues of their covariance say."""
    frames = low_rank()
    fine = {"width": 9, "channels": 2, "levels": 1}
    video = started(frames, fine)
    cells = to_cells(frames.permute(0, 2, 3, 1).double() / 255, 4).reshape(-1, 48)
    values = torch.linalg.eigvalsh(torch.cov(cells.T, correction=0))
    assert mean_squared_error(video, frames) == pytest.approx(float(values[:-2].sum()) / 48, rel=1e-4)


def test_grids_have_unit_variance():
    video = started(ez.open_video("bunny", frames="0:8", resize="64x48").frames)
    for part in video.embeddings.values():
        deviation = part.grids[0].std(dim=(0, 2, 3), correction=0)
        torch.testing.assert_close(deviation, torch.ones_like(deviation), rtol=1e-3, atol=1e-3)


def test_cells_slower_than_frames_come_from_least_squares():
    frames, cells = 7, 3
    places = principal.Level(
        torch.zeros(cells, 1, 1, 1),
        1,
        *centred_places(torch.arange(frames), frames, cells),
        torch.zeros(3, 1),
        torch.zeros(3),
    )
    pixels = torch.rand(frames, 5)
    matrix = torch.zeros(frames, cells)
    rows = torch.arange(frames)
    matrix[rows, places.left] += 1 - places.share
    matrix[rows, places.right] += places.share
    expected = torch.linalg.lstsq(matrix, pixels).solution
    torch.testing.assert_close(places.fit_in_time(pixels), expected, rtol=1e-3, atol=1e-4)


def test_a_sample_of_cells_is_of_the_whole_video(monkeypatch):
    """Of a scene that comes late, too."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randint(0, 256, (2, 3, 48, 64), generator=generator)
    frames = torch.full((12, 3, 48, 64), 128, dtype=torch.uint8)
    for number in range(6, 12):
        frames[number] = ((patterns[0] * (11 - number) + patterns[1] * (number - 6)) / 5).byte()
    exact = mean_squared_error(started(frames), frames)
    monkeypatch.setattr(principal, "SAMPLES", 24)
    assert mean_squared_error(started(frames), frames) < 1.5 * exact


def test_a_sample_of_cells_is_of_all_columns(monkeypatch):
    """Though it takes every so many cells as a row has."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.full((12, 3, 32, 128), 128, dtype=torch.uint8)
    frames[:, :, :, 32:] = torch.randint(0, 256, (12, 1, 1, 1), generator=generator).byte()
    exact = mean_squared_error(started(frames), frames)
    for samples in (96, 48, 24, 12):  # of 12 frames of 2x8 cells
        monkeypatch.setattr(principal, "SAMPLES", samples)
        assert mean_squared_error(started(frames), frames) < 1.5 * exact + 1e-5, samples


def test_few_cells_get_the_same_components_without_a_covariance(monkeypatch):
    clip = ez.open_video("bunny", frames="0:8", resize="128x96").frames
    few = started(clip)
    monkeypatch.setattr(principal, "FEW", 0)
    assert mean_squared_error(few, clip) == pytest.approx(mean_squared_error(started(clip), clip), rel=1e-4)


def test_wide_cells_get_nearly_the_same_components_by_iteration(monkeypatch):
    monkeypatch.setattr(principal, "FEW", 0)
    clip = ez.open_video("bunny", frames="0:8", resize="128x96").frames
    exact = mean_squared_error(started(clip), clip)
    monkeypatch.setattr(principal, "WIDEST", 100)
    again = started(clip)
    assert mean_squared_error(again, clip) == pytest.approx(exact, rel=0.01)
    assert all(torch.equal(each, again.state_dict()[name]) for name, each in started(clip).state_dict().items())


def test_pieces_give_what_the_whole_gives(monkeypatch):
    clip = ez.open_video("bunny", frames="0:8", resize="100x60").frames
    whole, again = started(clip), started(clip)
    assert all(torch.equal(each, again.state_dict()[name]) for name, each in whole.state_dict().items())
    error = mean_squared_error(whole, clip)
    for cells in (1, 3):  # single cells, and rows that a piece does not hold as a whole
        monkeypatch.setattr(principal, "PIECE_BYTES", cells * len(clip) * 3 * 256 * 4)
        assert mean_squared_error(started(clip), clip) == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize(("frames", "size"), [("0:1", "64x48"), ("0:3", "50x38"), ("0:5", "17x33"), ("0:2", "8x6")])
def test_any_size_and_a_single_frame(frames, size):
    clip = ez.open_video("bunny", frames=frames, resize=size)
    result = ez.fit(clip, "pca_nerv", model_options=TINY, epochs=2, batch_size=2, loss="L2")
    assert result.video[0].shape == clip.frames[0].shape
    assert result.report.psnr > 12


def test_a_still_and_black_frames_start_without_a_fault():
    for frames in (torch.zeros(4, 3, 32, 32, dtype=torch.uint8), low_rank(1, height=32, width=32).repeat(4, 1, 1, 1)):
        video = started(frames)
        assert all(bool(each.isfinite().all()) for each in video.state_dict().values())


def test_the_start_is_worth_many_epochs():
    with_start = ez.fit("bunny", "pca_nerv", epochs=1, **FIT)
    config = model_config("pca_nerv", ez.open_video("bunny", frames="0:6", resize="64x48").info, **TINY)
    network = NeuralVideo.seeded(config, with_start.video.info, 0)
    options = {key: value for key, value in FIT.items() if key != "model_options"}
    without = ez.fit("bunny", network, epochs=1, **options)  # fitted from the weights that it has
    assert with_start.report.psnr > without.report.psnr + 5


def test_it_is_resumed_to_the_same_bits_and_goes_on_from_weights(tmp_path):
    class Stop(ez.Callback):
        def on_epoch(self, fitter, row):
            if row["epoch"] == 2:
                raise RuntimeError("stopped")

    whole = ez.fit("bunny", "pca_nerv", epochs=3, **FIT)
    options = {**FIT, "epochs": 3, "out": tmp_path / "cut", "checkpoint_every": 0}
    with pytest.raises(RuntimeError, match="stopped"):
        ez.fit("bunny", "pca_nerv", callbacks=[Stop()], **options)
    cut = ez.fit("bunny", "pca_nerv", resume=True, **options)
    assert all(torch.equal(each, whole.video.state_dict()[name]) for name, each in cut.video.state_dict().items())
    on = ez.fit("bunny", "pca_nerv", epochs=1, init_from=tmp_path / "cut", **FIT)
    assert on.history[0]["loss"] < whole.history[0]["loss"]


def test_weights_of_another_size_leave_the_start_in_closed_form(tmp_path):
    alone = ez.fit("bunny", "pca_nerv", epochs=1, **FIT)
    other = ez.fit("bunny", "pca_nerv", epochs=1, **{**FIT, "model_options": {**TINY, "width": TINY["width"] + 4}})
    for weights in (other.video, ez.create_model("nerv", info=other.video.info, size="20K")):
        on = ez.fit("bunny", "pca_nerv", epochs=1, init_from=weights, **FIT)
        assert on.metrics["psnr"] > alone.metrics["psnr"] - 1


def test_it_is_compressed_and_fitted_in_segments(tmp_path):
    options = {**FIT, "frames": "0:8", "epochs": 2}
    result = ez.fit_segments("bunny", "pca_nerv", out=tmp_path / "long", segments=2, **options)
    assert len(result.video.segments) == 2
    made = ez.compress(tmp_path / "long", tmp_path / "long.nvz", bits=8)
    assert made.psnr > made.psnr_before - 1


def test_segments_within_a_scene_start_from_their_own_frames():
    """The weights of the segment before are worth less: they gave 25.5 dB where the start gives 31.4."""
    parts = (Segment(0, 4), Segment(4, 4))
    description = SegmentsDescription(ez.VideoInfo(frames=8, height=48, width=64), parts, scenes=())
    for model, warm_start, begins_warm in (
        ("pca_nerv", None, False),
        ("pca_nerv", True, True),
        ("nerv", None, True),
        ("nerv", False, False),
    ):
        job = SegmentsJob("", "bunny", plan_fit("bunny", model, device="cpu"), "auto", warm_start=warm_start)
        assert job.begins_warm(description, 1) is begins_warm
        assert not job.begins_warm(description, 0)


MEETING = """
import time
from pathlib import Path

from enerv_zoo.heads import LinearSkipHead
from enerv_zoo.registry import heads


@heads.register("meeting_skip")
class MeetingSkip(LinearSkipHead):
    def start_from(self, frames, embeddings):
        mine = Path({folder!r}) / f"{{hash(frames.numpy().tobytes())}}"
        mine.touch()
        while len(list(mine.parent.iterdir())) < 2:
            time.sleep(0.01)
        super().start_from(frames, embeddings)
"""


def test_segments_start_at_once_where_there_are_workers(tmp_path):
    """Each start waits for the other one, so one after the other would never end."""
    met = tmp_path / "met"
    met.mkdir()
    (tmp_path / "meeting.py").write_text(MEETING.format(folder=str(met)))
    import_file(tmp_path / "meeting.py")
    config = model_config("pca_nerv", ez.VideoInfo(frames=3, height=48, width=64), **TINY)
    meeting = dataclasses.replace(config, head={**config.head, "name": "meeting_skip"})
    options = {"frames": "0:6", "resize": "64x48", "epochs": 1, "batch_size": 2, "loss": "L2", "segments": 2}
    with WorkerPool(2, threads=1) as pool:
        result = ez.fit_segments("bunny", meeting, out=tmp_path / "long", runner=pool, **options)
    assert len(list(met.iterdir())) == 2
    assert result.metrics["psnr"] > 12


def test_wrong_options():
    info = ez.open_video("bunny", frames="0:2", resize="64x48").info
    with pytest.raises(ConfigError, match="levels are 1 to 7, got 8"):
        model_config("pca_nerv", info, levels=8)
    config = model_config("pca_nerv", info, **TINY)
    for factors, message in (([8, 4], "coarse to fine"), ([8, 4, 3], "coarse to fine"), ([4, 8, 2], "coarse to fine")):
        with pytest.raises(ConfigError, match=message):
            NeuralVideo(dataclasses.replace(config, head={**config.head, "factors": factors}), info)
