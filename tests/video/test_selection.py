import pytest

from enerv_zoo.errors import VideoError
from enerv_zoo.video import parse_frames
from enerv_zoo.video.selection import Selection


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:53", slice(0, 53, None)),
        ("10:", slice(10, None, None)),
        ("::2", slice(None, None, 2)),
        (":7", slice(None, 7, None)),
        (" 3 : 9 : 4 ", slice(3, 9, 4)),
        ("5", slice(5, 6, None)),
        (":", slice(None, None, None)),
    ],
)
def test_text_becomes_a_slice(text: str, expected: slice) -> None:
    assert parse_frames(text) == expected


@pytest.mark.parametrize("text", ["", "a", "1:2:3:4", "-1:", "0:-1", "1.5", "::0", "5:5", "7:3", "1,2", "٣", "9" * 40])
def test_bad_text_is_refused_and_shown(text: str) -> None:
    with pytest.raises(VideoError, match=r"frames '.*(expected|selects no frame)"):
        parse_frames(text)


@pytest.mark.parametrize("frames", [5, [0, 1], slice("a", None), slice(-3, None), slice(None, None, -1), slice(4, 4)])
def test_bad_selections_are_refused(frames: object) -> None:
    with pytest.raises(VideoError, match="frames"):
        Selection.of(frames)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["0:10", "3:", "::3", "2:9:4", "7", ":"])
def test_selects_what_a_python_slice_does(text: str) -> None:
    selection, numbers = Selection.of(text), list(range(10))
    assert list(selection.indices(10)) == numbers[parse_frames(text)]
    assert [n for n in numbers if selection.wants(n)] == numbers[parse_frames(text)]


@pytest.mark.parametrize("text", ["10:", "0:11", "10", "20:30"])
def test_reaching_beyond_the_end_says_how_many_frames_there_are(text: str) -> None:
    with pytest.raises(VideoError, match=r"clip, which has 10 frames; choose within '0:10'"):
        Selection.of(text).check(10, "clip")


def test_no_frames_at_all() -> None:
    with pytest.raises(VideoError, match="clip has no frames"):
        Selection().check(0, "clip")
