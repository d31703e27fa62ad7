"""A network that behaves like a video."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import pickle
import threading

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader

import enerv_zoo as ez
from enerv_zoo.errors import ConfigError, FitError, FrameError, VideoError
from enerv_zoo.frame_access import Timeline
from enerv_zoo.neural_video import NeuralVideo


@pytest.fixture(scope="module")
def video():
    torch.manual_seed(0)
    return ez.create_model("enerv", frames=6, height=35, width=62, size="60K").eval()


def test_is_a_video(video):
    assert len(video) == 6
    assert video[0].shape == (3, 35, 62)
    assert video[0].dtype == torch.uint8
    assert torch.equal(video[-1], video[5])
    assert torch.equal(video[1:5:2], torch.stack([video[1], video[3]]))
    assert torch.equal(video[[3, -1]], torch.stack([video[3], video[5]]))
    assert torch.equal(video[torch.tensor([2, 2])], torch.stack([video[2], video[2]]))
    assert video[4:2].shape == (0, 3, 35, 62)
    assert torch.equal(torch.stack(list(video)), video[:])


@pytest.mark.parametrize(
    ("key", "indices"),
    [
        (np.int64(2), 2),
        (np.array(-1), 5),
        (torch.tensor(3), 3),
        (2.0, 2),
        (slice(None, None, -2), [5, 3, 1]),
        (slice(-2, 100), [4, 5]),
        (range(4, 0, -3), [4, 1]),
        (np.array([0, -6], dtype=np.int16), [0, 0]),
        ([np.int64(1), torch.tensor(2)], [1, 2]),
        ([], []),
        (torch.tensor([], dtype=torch.int64), []),
        (torch.arange(6) > 3, [4, 5]),
        (np.arange(6) == 1, [1]),
        ([True, False, False, False, False, True], [0, 5]),
    ],
)
def test_every_kind_of_index(video, key, indices):
    frames = video[:]
    assert torch.equal(video[key], frames[indices])


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (6, "frame 6 is outside the video, which has 6 frames"),
        (-7, "frame -7 is outside"),
        ([0, 6], "frame 6 is outside"),
        (float("inf"), "frame inf is outside"),
        (0.5, "frame index 0.5 is no integer; call the video for frames between frames"),
        ([0.5], "frame index 0.5 is no integer"),
        ([float("nan")], "frame index nan is no integer"),
        ([True, False], "a mask holds a boolean for each of the 6 frames, got one of shape"),
        (True, "a mask holds a boolean"),
        ("first", "expected frame indices, one or a list of them, got str 'first'"),
        (None, "expected frame indices"),
        ([[0, 1]], "expected frame indices"),
        ([[0], [1, 2]], "expected frame indices"),
        ((0, 1), r"indexed by frames alone, got \(0, 1\); give them as a list"),
        (slice(0, 4, 0), "slice step cannot be zero"),
        (slice(0.5, None), "slice indices must be integers"),
    ],
)
def test_frames_outside_are_refused(video, key, message):
    with pytest.raises(FrameError, match=message) as refusal:
        video[key]
    assert isinstance(refusal.value, IndexError)
    assert "\n" not in str(refusal.value)


def test_uint8_frames_are_the_rounded_output(video):
    with torch.inference_mode():
        expected = (video(torch.arange(6)) * 255).round().to(torch.uint8)
    assert (video[:].int() - expected.int()).abs().max() <= 1  # a batch of another size may round the other way


def test_batch_and_single_frames_agree(video):
    whole = torch.cat(list(video.decode_float(batch_size=6)))
    single = torch.cat(list(video.decode_float(batch_size=1)))
    torch.testing.assert_close(whole, single, rtol=0, atol=1e-5)


def test_fractional_indices_and_gradients(video):
    index = torch.tensor([1.0, 1.5, 2.0])
    frames = video(index)
    assert not torch.allclose(frames[0], frames[1], atol=0)
    frames.mean().backward()
    assert all(p.grad is not None for p in video.parameters())
    video.zero_grad()


def test_decoding_leaves_a_network_as_it_was_whatever_happens():
    network = ez.create_model("hinerv", frames=6, height=36, width=64, size="60K").train()
    with pytest.raises(RuntimeError, match="within"), network.evaluating():
        assert not any(part.training for part in network.modules())
        raise RuntimeError("within")
    assert all(part.training for part in network.modules())


def test_timestamps(video):
    timed = NeuralVideo(video.config, dataclasses.replace(video.info, fps=10.0))
    timed.load_state_dict(video.state_dict())
    assert torch.equal(timed.get_frames_played_at([0.0, 0.05, 0.1, 0.59]).data, timed[[0, 0, 1, 5]])
    with pytest.raises(IndexError, match=r"plays from 0 s to 0.600 s"):
        timed.get_frames_played_at([0.6])
    varying = NeuralVideo(video.config, dataclasses.replace(video.info, timestamps=(0, 1, 1.5, 4, 5, 6), fps=1.0))
    assert torch.equal(varying.get_frames_played_at([1.49, 3.9, 6.5]).data, varying[[1, 2, 5]])


def test_frames_come_with_their_times(video):
    """As torchcodec's decoders give them."""
    timed = NeuralVideo(video.config, dataclasses.replace(video.info, timestamps=(1, 2, 2.5, 5, 6, 7), fps=2.0)).eval()
    batch = timed.get_frames_at([2, -1])
    assert torch.equal(batch.data, timed[[2, 5]])
    assert (batch.pts_seconds.tolist(), batch.duration_seconds.tolist()) == ([2.5, 7.0], [2.5, 0.5])
    assert batch.pts_seconds.dtype == batch.duration_seconds.dtype == torch.float64
    assert [each.pts_seconds.item() for each in batch] == [2.5, 7.0]
    assert len(batch[:1]) == 1
    data, start, duration = timed.get_frame_at(-3)
    assert torch.equal(data, timed[3])
    assert (start, duration) == (5.0, 1.0)
    assert timed.get_frame_played_at(2.49).pts_seconds == 2.0
    assert timed.get_frames_in_range(-3, 100, 2).pts_seconds.tolist() == [5.0, 7.0]
    assert timed.get_frames_played_in_range(2.2, 5.0).pts_seconds.tolist() == [2.0, 2.5]
    assert timed.get_frames_played_in_range(1.0, 7.5).data.shape == (6, 3, 35, 62)
    assert len(timed.get_frames_played_in_range(3.0, 3.0)) == len(timed.get_frames_at([])) == 0
    metadata = timed.metadata
    assert (metadata.num_frames, metadata.height, metadata.width) == (6, 35, 62)
    assert (metadata.begin_stream_seconds, metadata.end_stream_seconds, metadata.duration_seconds) == (1.0, 7.5, 6.5)
    assert metadata.average_fps == pytest.approx(6 / 6.5)
    assert video.metadata.average_fps == 25.0


def test_a_range_of_all_seconds_is_the_whole_video():
    for fps in (24.0, 25.0, 30.0, 24000 / 1001, 30000 / 1001):
        for frames in range(1, 300):
            every = Timeline(ez.VideoInfo(frames, 8, 8, fps)).played_between(0, frames / fps)
            assert list(every) == list(range(frames)), (fps, frames)


@pytest.mark.parametrize("family", ["enerv", "pca_nerv", "nerv", "rnerv", "ffnerv"])
def test_of_no_frames_of_an_index_that_is_no_number_and_in_float64(family):
    video = ez.create_model(family, frames=6, height=36, width=64, size="90K").eval()
    nothing = torch.tensor([], dtype=torch.float64)
    assert video(nothing).shape == (0, 3, 36, 64)
    video.compiled = video.head_outputs
    assert video(nothing).shape == (0, 3, 36, 64)
    video.compiled = None
    for index in ([0.0, float("nan")], [1, -1], [float("inf")]):
        with pytest.raises(FrameError, match=r"an index to decode is a number from 0 on, got (nan|-1|inf)"):
            list(video.decode(index))
    with pytest.raises(FrameError, match="decode takes a list of indices"):
        list(video.decode(3))
    assert (video[3].int() - copy.deepcopy(video).double()[3].int()).abs().max() <= 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_decoded_frames_are_ordinary_tensors(video, dtype):
    """Another network can be fitted to them, and they can be changed in place."""
    convolution = torch.nn.Conv2d(3, 1, 3)
    for batch in video.decode([0, 2.5], dtype=dtype):
        convolution(batch.float()).sum().backward()
        batch.mul_(0)
    assert convolution.weight.grad is not None
    assert not video[0].is_inference()
    assert not next(iter(video)).is_inference()


@pytest.mark.parametrize("times", [(0.0, 8.0), (3.0, 2.0), (-1.0, 2.0), (float("nan"), 2.0)])
def test_times_outside_are_refused(video, times):
    with pytest.raises(FrameError, match=r"the video plays from 0 s to 0\.240 s"):
        video.get_frames_played_in_range(*times)
    with pytest.raises(FrameError, match=r"plays from|expected times"):
        video.get_frames_played_at([times])
    with pytest.raises(FrameError, match="plays from 0 s"):
        video.get_frame_played_at(9.0)


def test_is_a_dataset(video):
    batches = list(DataLoader(video, batch_size=4))
    assert [len(batch) for batch in batches] == [4, 2]
    assert torch.equal(torch.cat(batches)[3], video[3])


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_draw_the_same(video, start):
    """Also where this process has drawn before, with threads that a forked worker does not have."""
    frames = video[:]
    batches = DataLoader(video, batch_size=2, num_workers=2, multiprocessing_context=start)
    assert torch.equal(torch.cat(list(batches)), frames)


def test_a_forked_process_does_not_wait_for_threads_it_lacks(video):
    larger = ez.create_model("enerv", frames=2, height=144, width=256, size="60K").eval()  # enough for two threads
    expected = larger[1].sum()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(_draw_sum, (larger,)).get() == expected


def _draw_sum(video):
    return video[1].sum()


def test_half_precision_is_refused_and_nothing_is_lost(video):
    frames = video[:]
    for convert in (video.half, video.bfloat16, lambda: video.to(torch.float16)):
        with pytest.raises(ConfigError, match=r"weights stay float32, .* video\.optimize\('bfloat16'\) decodes in"):
            convert()
    assert torch.equal(video.float()[:], frames)


def test_a_network_made_without_gradients_draws(video):
    with torch.inference_mode():
        twin = NeuralVideo(video.config, video.info).eval()
        twin.load_state_dict(video.state_dict())
    assert torch.equal(twin[:], video[:])


@pytest.mark.gpu
def test_on_a_gpu(video):
    moved = copy.deepcopy(video).to("cuda")
    frames = moved[:]
    assert frames.device.type == moved.get_frames_at([1]).data.device.type == "cpu"
    assert (frames.int() - video[:].int()).abs().max() <= 1
    some = moved[torch.tensor([1, 2], device="cuda")]  # batches of other sizes may take other algorithms
    assert (some.int() - frames[[1, 2]].int()).abs().max() <= 1
    assert torch.equal(moved.to("cpu")[:], video[:])


def test_decoding_leaves_the_mode_and_makes_no_gradients(video):
    video.train()
    frame = video[0]
    assert video.training
    assert not frame.requires_grad
    video.eval()


def test_one_frame_is_a_still():
    for name in ("nerv", "enerv"):
        still = ez.create_model(name, frames=1, height=18, width=32, size="60K")
        assert still[0].shape == (3, 18, 32)
        encoded = still.embeddings["time"].encoding(torch.zeros(1))
        assert torch.isfinite(encoded).all()


def test_encoding_stays_float32_under_autocast(video):
    index = torch.tensor([3.0])
    plain = video.embeddings["time"].encoding(torch.tensor([0.37]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(video.embeddings["time"].encoding(torch.tensor([0.37])), plain)
        assert torch.isfinite(video(index)).all()


def test_space_is_computed_once_whatever_the_batch(video, monkeypatch):
    calls = []
    space = video.embeddings["space"]
    forward = type(space).forward
    monkeypatch.setattr(type(space), "forward", lambda self, index: calls.append(len(index)) or forward(self, index))
    list(video.decode(batch_size=2))
    assert calls == [1]
    compiled = copy.deepcopy(video).optimize("float32")
    assert len(calls) == 2
    assert torch.equal(compiled[0], video[0])
    assert torch.equal(compiled[1], video[1])
    assert len(calls) == 4, "a compiled video does not compute space again"


@pytest.mark.parametrize("training", [True, False])
def test_frames_follow_the_weights(video, training):
    """Also where an optimiser changes weights behind autograd's back, as fused ones do."""
    video = copy.deepcopy(video).train(training)
    optimizer = torch.optim.Adam(video.parameters(), lr=1e-2, fused=True)
    torch.cat(list(video.decode()))
    video(torch.tensor([0, 3])).mean().backward()
    optimizer.step()
    after = torch.cat(list(video.decode()))
    fresh = NeuralVideo(video.config, video.info)
    fresh.load_state_dict(video.state_dict())
    assert torch.equal(after, torch.cat(list(fresh.decode())))


def test_bfloat16_frames_are_close_and_float32_ones_come_back(video):
    exact = torch.stack(list(video))
    video = copy.deepcopy(video).optimize("bfloat16")
    coarse = torch.stack(list(video))
    assert video(torch.tensor([0])).dtype == torch.float32
    difference = (exact.int() - coarse.int()).abs().float()
    assert difference.max() > 0
    assert difference.mean() < 2
    assert torch.equal(torch.stack(list(video.optimize("float32"))), exact)


def test_a_network_that_cannot_be_compiled_draws_as_it_is(video, monkeypatch, caplog):
    def refuse(*arguments, **options):
        raise RuntimeError("no C++ compiler\nand much more")

    monkeypatch.setattr(torch, "compile", lambda function, **options: refuse)
    exact = torch.stack(list(video))
    compiled = copy.deepcopy(video).optimize("float32", inductor=True)
    assert torch.equal(torch.stack(list(compiled)), exact)
    assert caplog.messages == ["going on without torch.compile: RuntimeError: no C++ compiler"]


def test_compiled_frames_are_the_same_whatever_the_batch(video, monkeypatch):
    seen = []

    def compiler(function, **options):
        return lambda index, fixed: seen.append(len(index)) or function(index, fixed)

    monkeypatch.setattr(torch, "compile", compiler)
    compiled = copy.deepcopy(video).optimize("float32", inductor=True)
    frames = torch.cat(list(compiled.decode(batch_size=4)))
    assert set(seen) == {4}, "a compiled network is compiled anew for every other batch"
    assert torch.equal(frames, torch.cat(list(video.decode(batch_size=4))))


def test_other_batches_than_the_first_are_not_compiled_anew(video, monkeypatch):
    seen = []
    monkeypatch.setattr(
        torch, "compile", lambda f, **_: lambda index, known: seen.append(len(index)) or f(index, known)
    )
    compiled = copy.deepcopy(video).optimize("float32", inductor=True)
    for count in (3, 2, 3):
        assert torch.equal(compiled(torch.arange(count)), video(torch.arange(count)))
    assert seen == [3, 3]
    with compiled.in_float32():
        compiled(torch.arange(3))
    assert seen == [3, 3], "what is measured in float32 is not compiled for that"
    compiled(torch.arange(3))
    assert seen == [3, 3, 3]


@pytest.mark.parametrize("name", ez.list_models())
def test_every_network_compiles_whole_and_learns_the_same(name, monkeypatch):
    """Without a break, which would cost more than compiling gains; its compiler's last stage is left out."""
    info = ez.VideoInfo(frames=4, height=36, width=64)
    video = ez.create_model(name, info=info, size="100K").start_fitting().train()
    video.precision = "bfloat16"
    torch._dynamo.reset()
    whole = copy.deepcopy(video)
    compiled = torch.compile(whole.head_outputs, fullgraph=True, dynamic=False, backend="aot_eager")
    monkeypatch.setattr(whole, "head_outputs", compiled)
    results = []
    for each in (video, whole):
        objective, frames = each.objective(torch.arange(2), torch.full((2, 3, 36, 64), 0.5), mse_loss)
        objective.backward()
        gradients = [p.grad.flatten() for p in each.parameters() if p.grad is not None]
        results.append((frames.detach(), torch.cat(gradients)))
    (frames, gradients), (compiled, learned) = results
    torch.testing.assert_close(compiled, frames, rtol=0, atol=5e-4)  # a compiled bilinear upsampling rounds otherwise
    assert (learned - gradients).norm() < 1e-4 * gradients.norm()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda video: pickle.loads(pickle.dumps(video))])
def test_copies_draw_the_same(video, copied):
    video.optimize("float32", inductor=True)
    twin = copied(video)
    video.optimize("float32")
    assert torch.equal(torch.stack(list(twin)), torch.stack(list(video)))


def joined(name, *takes):
    return {"name": name, "with": list(takes), "channels": 4}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"join": joined("product", "tme", "space")}, r"no embedding is called 'tme'. Did you mean 'time'\?"),
        ({"head": {"name": "rgb", "with": "tme"}}, r"no embedding is called 'tme'. Did you mean 'time'\?"),
        ({"head": {"name": "rgb", "with": "time"}}, "head 'rgb': it takes no embeddings, got 1; leave out its 'with'"),
        ({"stages": (({"name": "sft", "with": []},),)}, "fusion 'sft': it takes one vector, got embeddings of shapes"),
        ({"stages": (({"name": "sft", "with": "space"},),)}, "fusion 'sft': it takes one vector, got"),
        ({"stages": (({"name": "sft", "with": "tme"},),)}, r"no embedding is called 'tme'. Did you mean 'time'\?"),
        ({"join": joined("coupled", "time")}, "no part takes the embedding 'space'"),
        ({"join": joined("product", "space", "time")}, "fusion 'product': it joins a vector"),
        ({"join": {"name": "product", "with": ["time", "space"]}}, "the join 'product' needs 'channels'"),
        (
            {"join": joined("temporal_affine", "time")},
            "is a 'modulate' part, here a 'join' one is needed: cells, conv, coupled",
        ),
        ({"grid": (1, 1)}, "less than the frame"),
        ({"head": {"name": "rgb", "colour": 3}}, "head 'rgb' has no option 'colour'"),
        ({"stages": (({"name": "nerf", "channels": 4, "stride": 50},),)}, "unknown block 'nerf'. Did you mean 'nerv'"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_the_reason(video, change, message):
    with pytest.raises(ConfigError, match=message):
        NeuralVideo(dataclasses.replace(video.config, **change), video.info)


def test_several_blocks_a_stage():
    video = ez.create_model("nerv", frames=2, height=18, width=32, num_blocks=3, fc_dim=4, stem_dim=[8], lower_width=4)
    assert [len(stage) for stage in video.stages] == [3] * len(video.stages)
    assert video(torch.tensor([0])).shape == (1, 3, 18, 32)


def test_multiscale_objective_is_the_sum_over_stages():
    video = ez.create_model("nerv", frames=2, height=35, width=64, sin_res=False, fc_dim=4, stem_dim=[8], lower_width=4)
    target = torch.rand(2, 3, 35, 64)
    total, drawn = video.objective(torch.arange(2), target, mse_loss)
    outputs = video.outputs(torch.arange(2))
    padded = torch.nn.functional.pad(target, (0, 0, 0, 1), mode="replicate")
    expected = 0
    for out in outputs:
        scale = 36 // out.shape[-2]
        expected += ((torch.nn.functional.avg_pool2d(padded, scale) - out) ** 2).mean()
    torch.testing.assert_close(total, expected)
    assert drawn.shape == target.shape


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("enerv", {}),
        ("enerv", {"sin_res": False, "num_blocks": 2}),
        ("enerv", {"conv_type": "bilinear"}),
        ("nerv", {"norm": "instance"}),
        ("nerv", {"norm": "instance", "conv_type": "deconv"}),
        ("nerv", {}),
    ],
)
def test_gradient_of_one_frame_is_that_of_the_same_frame_twice(name, options):
    """PyTorch's own instance norm fails this at batch 1 in channels_last, by a third of the gradient and more."""
    video = ez.create_model(name, frames=4, height=36, width=64, size="100K", **options)
    target = torch.rand(1, 3, 36, 64)

    def gradient(times):
        video.zero_grad()
        index = torch.tensor([2] * times)
        video.objective(index, target.expand(times, -1, -1, -1), mse_loss)[0].backward()
        return torch.cat([p.grad.flatten() for p in video.parameters()])

    once, twice = gradient(1), gradient(2)
    assert (once - twice).norm() / twice.norm() < 1e-4


def test_networks_that_threads_make_have_the_weights_of_their_seeds():
    info = ez.VideoInfo(4, 36, 64)
    config = ez.create_model("nerv", info=info, size="60K").config
    expected = {seed: NeuralVideo.seeded(config, info, seed).state_dict() for seed in range(4)}
    before, made = torch.get_rng_state(), {}
    threads = [
        threading.Thread(
            target=lambda seed=seed: made.update({seed: NeuralVideo.seeded(config, info, seed).state_dict()})
        )
        for seed in expected
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for seed, weights in expected.items():
        assert all(torch.equal(made[seed][name], tensor) for name, tensor in weights.items())
    assert torch.equal(torch.get_rng_state(), before)


def test_what_would_be_taken_for_something_else_is_refused(video, tmp_path):
    with pytest.raises(ConfigError, match="nerv' has no option 'height'"):
        ez.create_model("nerv", info=video.info, height=72)
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds a fit, with its scores"):
        video.save_pretrained(tmp_path)
    with pytest.raises(VideoError, match=r"written by enerv_zoo\.render"):
        ez.write_video(tmp_path / "x.mp4", video, fps=25)
    with pytest.raises(ConfigError, match="a report is of folders or files"):
        ez.write_report(video, tmp_path / "report.html")


@pytest.mark.parametrize("device", ["auto", torch.device("cpu")])
def test_saved_and_loaded_to_a_device(video, tmp_path, device):
    saved = video.save_pretrained(tmp_path / "saved")
    for loaded in (ez.load(saved, device=device), NeuralVideo.from_pretrained(saved, device=device)):
        assert loaded.device.type == ("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")
    with pytest.raises(FitError, match="device must be auto"):
        ez.load(saved, device="gpu")
    assert ez.load(saved, device=torch.device("meta")).device.type == "meta"


@pytest.mark.parametrize("family", ez.list_models())
def test_frames_are_differentiable_in_time(family):
    video = ez.create_model(family, frames=6, height=64, width=64, size="0.3M", seed=0).eval()
    index = torch.tensor([1.3, 1.3, 4.0], dtype=torch.float64, requires_grad=True)
    frames = video(index)
    frames[0].mean().backward()
    assert index.grad[0] != 0
    assert (index.grad[1:] == 0).all(), "of each frame by its own index"
    torch.testing.assert_close(frames, video(index.detach()), rtol=1e-4, atol=1e-5)
