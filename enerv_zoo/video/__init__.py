"""Videos in and out: anything with frames becomes a `Video`, and frames become a file.

    video = open_video("clip.mp4", frames="0:53", crop="1280x640", resize="640x320")
    video.frames                      # uint8, (N, 3, H, W), memory laid out N, H, W, 3
    video.info.fps, len(video)
    write_video("out.mp4", video)

`open_video` reads what PyAV reads (mp4, mkv, webm, avi, gif, y4m, ...), stills, folders of images, arrays, tensors and
the samples that come with the package. Frames are read one at a time: only those asked for are kept, cropped, resized.
`write_video` writes mp4, mov, mkv, webm, gif or a folder of PNG files, one frame at a time, and never half a file.

A source (`files`, `folders`, `arrays`) says what it is and yields frames; `reading` joins a source, a `selection` and
the `transforms` into a `Video`; `writing` names, checks and replaces targets; `encoders` turns frames into bytes.
"""

from enerv_zoo.video.reading import open_video
from enerv_zoo.video.samples import samples
from enerv_zoo.video.selection import parse_frames
from enerv_zoo.video.sizes import parse_frame_size, parse_resize
from enerv_zoo.video.source import Video
from enerv_zoo.video.writing import write_image, write_video

__all__ = [
    "Video",
    "open_video",
    "parse_frame_size",
    "parse_frames",
    "parse_resize",
    "samples",
    "write_image",
    "write_video",
]
