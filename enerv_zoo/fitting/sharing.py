"""A step that several processes share: gradients and sums of the whole batch, from everybody's part of it.

Gradients are added by one call, rather than by PyTorch's `DistributedDataParallel`: that wraps the network, which here
is used as it is and may be compiled; it reduces within the backward pass, where a process that runs out of memory could
not try again alone with fewer frames; and it counts every process alike, though the last batch of an epoch gives some
of them fewer frames, or none.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from enerv_zoo.config import MetricSpec
from enerv_zoo.errors import FitError
from enerv_zoo.evaluation import Report, evaluate, mean_psnr
from enerv_zoo.evaluation.report import merged
from enerv_zoo.fitting.ranks import Ranks
from enerv_zoo.metrics import check_metrics
from enerv_zoo.metrics.columns import column
from enerv_zoo.neural_video import NeuralVideo
from enerv_zoo.video import Video


class SharedStep:
    """Adds up what the processes found in their parts of a batch.

    Running statistics (batch normalisation) are each process's own while it computes, as everywhere where data are
    parallel, and their means, weighted by frames, afterwards: what is saved depends on all frames.

    Args:
        ranks: the processes.
        video: the network.
    """

    def __init__(self, ranks: Ranks, video: NeuralVideo) -> None:
        self.ranks = ranks
        self._parameters = [p for p in video.parameters() if p.requires_grad]
        weights = {id(p) for p in video.parameters()}
        buffers = [
            t for t in video.state_dict(keep_vars=True).values() if id(t) not in weights and t.is_floating_point()
        ]
        remembered = {id(t) for t in video.head.buffers() if video.neighbours and t.shape[:1] == (video.info.frames,)}
        self._remembered = [t for t in buffers if id(t) in remembered]
        self._statistics = [t for t in buffers if id(t) not in remembered]

    def add(self, sums: Tensor, index: Tensor, batch: int) -> None:
        """Turn gradients and `sums` into those of the whole batch.

        Args:
            sums: of this process's frames; changed in place.
            index: of these frames, (B,).
            batch: frames of the whole batch; gradients are weighted by this process's part of it already.
        """
        if self.ranks.size == 1:
            return
        for parameter in self._parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        statistics = [statistic * (len(index) / batch) for statistic in self._statistics]
        totals = sums.to(self._parameters[0].dtype)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        self.ranks.add([*gradients, *statistics, totals])
        for statistic, total in zip(self._statistics, statistics, strict=True):
            statistic.copy_(total)
        sums.copy_(totals)
        if self._remembered:
            self._share_remembered(index)

    def _share_remembered(self, index: Tensor) -> None:
        """Give every process the frames that a head remembers of this step (`ffnerv`), whoever has decoded them."""
        decoded = torch.zeros(len(self._remembered[0]), device=self._remembered[0].device)
        decoded[index.long()] = 1
        self.ranks.add([decoded])
        rows = decoded.nonzero().flatten()
        mine = torch.isin(rows, index.to(rows))
        parts = [frames[rows] * mine.view(-1, *[1] * (frames.ndim - 1)) for frames in self._remembered]
        self.ranks.add(parts)
        for frames, part in zip(self._remembered, parts, strict=True):
            frames[rows] = part

    def agree(self, failure: FitError | None, micro_batch: int) -> int:
        """Check that all ranks have gradients before they are added up, and return the smallest micro-batch of all.

        Raises:
            FitError: a process has failed, this one or another.
        """
        failed, negative = self.ranks.all_reduce_max(failure is not None, -micro_batch)
        if failed:
            self.ranks.agree_on(failure)
        return int(-negative)


def shared_psnr(ranks: Ranks, video: NeuralVideo, original: Video) -> float:
    """`mean_psnr` of all frames; each process decodes its part of them."""
    indices = range(len(original))[ranks.rank :: ranks.size]
    mine = mean_psnr(video, original, indices) if indices else 0.0
    parts = ranks.gather((mine, len(indices)))
    return sum(mean * count for mean, count in parts) / sum(count for _, count in parts)


def shared_report(
    ranks: Ranks, video: NeuralVideo, original: Video, metrics: Sequence[MetricSpec], frames: str | None
) -> Report:
    """`evaluate` of frames such as `"::2"`; each process decodes its part of them. `fps` is of the first process.

    What scores a clip needs all of its frames: rank 0 then decodes them alone.
    """
    if ranks.size == 1 or any(column(spec["name"]).scope == "clip" for spec in check_metrics(metrics)):
        return ranks.broadcast_from_zero(lambda: evaluate(video, original, metrics=metrics, frames=frames))
    step = int(frames.removeprefix("::")) if frames else 1
    mine = slice(step * ranks.rank, None, step * ranks.size)
    reports = ranks.gather(
        evaluate(video, original, metrics=metrics, frames=mine) if step * ranks.rank < len(original) else None
    )
    return merged([report for report in reports if report is not None])
