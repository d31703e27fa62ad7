import pytest

from enerv_zoo.video.timing import timing


def test_a_constant_rate_is_the_stated_one() -> None:
    rate = 30000 / 1001
    assert timing([i / rate for i in range(40)], rate, 1, 1e-5) == (rate, None)


def test_rounding_to_milliseconds_is_no_variation() -> None:
    rate = 30000 / 1001
    assert timing([round(i / rate, 3) for i in range(100)], rate, 1, 1e-3) == (rate, None)


def test_a_step_divides_the_rate() -> None:
    assert timing([i * 0.08 for i in range(10)], 25.0, 2, 1e-5) == (12.5, None)


def test_a_variable_rate_has_timestamps_from_zero() -> None:
    fps, timestamps = timing([1.0, 1.04, 1.2, 1.25], 25.0, 1, 1e-5)
    assert timestamps == pytest.approx((0, 0.04, 0.2, 0.25))
    assert fps == pytest.approx(3 / 0.25)


def test_moments_outweigh_a_stated_rate() -> None:
    fps, timestamps = timing([i * 0.1 for i in range(10)], 25.0, 1, 1e-5)
    assert fps == pytest.approx(10)
    assert timestamps is None


@pytest.mark.parametrize("moments", [[], [0.0], [None, None], [0.0, None, 0.1], [0.0, 0.2, 0.1], [0.0, 0.0]])
def test_useless_moments_leave_the_stated_rate(moments: list[float | None]) -> None:
    assert timing(moments, 24.0, 1, 1e-3) == (24.0, None)
    assert timing(moments, None, 1, 0.0) == (None, None)
