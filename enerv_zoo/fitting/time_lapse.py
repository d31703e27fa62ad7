"""Time-lapse of a fit: one frame of the video, as the network decodes it after every epoch, as a movie."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from enerv_zoo.errors import VideoError
from enerv_zoo.files import check_target, check_writable, usable_path
from enerv_zoo.fitting.callbacks import Callback
from enerv_zoo.fitting.loop import Fitter
from enerv_zoo.progress import stage
from enerv_zoo.video import open_video, write_image, write_video
from enerv_zoo.video.origin import protected
from enerv_zoo.video.writing import check_movie

logger = logging.getLogger(__name__)


class TimeLapse(Callback):
    """Writes a movie of a fit: one frame of the video before the first step and after every epoch.

    Until the fit ends, its pictures lie in a folder beside the file (`FILE.frames`), a PNG per epoch, so that a fit
    that is interrupted and resumed gives one movie. Of several processes, rank 0 writes.

    Args:
        path: `.mp4`, `.mkv`, `.mov`, `.webm` or `.gif`.
        frame: which frame of the video; by default the one in the middle.
        fps: epochs per second.
        overwrite: whether a file that exists when the fit begins is replaced; the video that is fitted never is.

    Raises:
        VideoError: no movie has such a suffix or rate; during the fit: the file exists, or cannot be written.
        FrameError: during the fit: the video has no such frame.
    """

    def __init__(self, path: str | Path, frame: int | None = None, fps: float = 10.0, overwrite: bool = False) -> None:
        self.path, self.frame, self.fps, self.overwrite = usable_path(path, VideoError), frame, fps, overwrite
        check_movie(path, fps)
        self.folder = self.path.with_name(f"{self.path.name}.frames")

    def on_phase(self, fitter: Fitter) -> None:
        """Check the target, and begin anew where the fit does."""
        if not fitter.ranks.first:
            return
        if self.path.exists() and not (self.overwrite or fitter.steps_done):  # a fit gone on with may have written it
            raise VideoError(f"{self.path}: exists; choose another name for the time-lapse, or allow overwriting")
        check_writable(self.path)
        with protected(fitter.video.origin):
            check_target(self.path)
        if fitter.steps_done == fitter.epochs_before == 0:
            self._keep(fitter, 0)

    def on_epoch(self, fitter: Fitter, row: dict[str, Any]) -> None:
        """Decode the frame."""
        if fitter.ranks.first:
            self._keep(fitter, row["epoch"])

    def on_end(self, fitter: Fitter) -> None:
        """Write the movie, and remove its pictures."""
        if not fitter.ranks.first:
            return
        stage("writing the time-lapse")
        pictures = self._pictures()
        has_all = any(int(picture.stem) == 0 for picture in pictures)
        if self.path.exists() and not (self.overwrite or has_all):
            logger.warning("%s: the time-lapse is kept as it was when the fit was gone on with", self.path)
        elif not pictures:
            logger.warning("%s: no time-lapse is written, as this fit was begun without one", self.path)
        else:
            with protected(fitter.video.origin):
                frames = (open_video(picture).frames[0] for picture in pictures)
                info = fitter.video.info
                write_video(self.path, frames, fps=self.fps, pixel_aspect=info.pixel_aspect, colour=info.colour)
        self._remove(pictures)

    def _keep(self, fitter: Fitter, epoch: int) -> None:
        """Write the picture of an epoch; those of a later one are of a fit that was rolled back or begun anew."""
        self._remove([picture for picture in self._pictures() if int(picture.stem) >= epoch])
        self.folder.mkdir(parents=True, exist_ok=True)
        write_image(self.folder / f"{epoch:06}.png", decoded(fitter, self.frame))

    def _pictures(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.png") if path.stem.isdecimal())

    def _remove(self, pictures: list[Path]) -> None:
        for picture in pictures:
            picture.unlink(missing_ok=True)
        with suppress(OSError):  # there are others in it
            self.folder.rmdir()


def decoded(fitter: Fitter, frame: int | None) -> Tensor:
    """Return a frame (3, H, W), uint8, by default the one in the middle, as the network decodes it now."""
    with fitter.in_float32() as video:
        return video[len(video) // 2 if frame is None else frame]
