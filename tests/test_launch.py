"""What torchrun says of a process."""

from __future__ import annotations

import pytest

from enerv_zoo.errors import ConfigError
from enerv_zoo.launch import Launch, launched

SECOND = {"TORCHELASTIC_RUN_ID": "none", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}


def test_a_process_alone_is_the_first_of_one():
    assert launched({}) == launched({"WORLD_SIZE": "8"}) == Launch() == Launch(0, 1, 0, 1)
    assert launched({}).first


def test_a_place_among_processes_that_torchrun_did_not_start_is_none_of_ours():
    assert launched({name: value for name, value in SECOND.items() if name != "TORCHELASTIC_RUN_ID"}) == Launch()
    assert launched({"RANK": "3", "WORLD_SIZE": "8"}) == Launch()


def test_a_process_among_others_knows_its_place():
    assert launched(SECOND) == Launch(5, 8, 1, 4)
    assert not launched(SECOND).first


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"LOCAL_WORLD_SIZE": None}, "LOCAL_WORLD_SIZE=None"),
        ({"RANK": "five"}, "RANK=five"),
        ({"RANK": "8"}, "process 8 of 8"),
        ({"LOCAL_RANK": "4"}, "4 of 4 here"),
        ({"LOCAL_WORLD_SIZE": "9"}, "1 of 9 here"),
        ({"RANK": "-1"}, "RANK=-1"),
    ],
)
def test_a_place_that_cannot_be_is_refused(changed, words):
    environment = {name: value for name, value in {**SECOND, **changed}.items() if value is not None}
    with pytest.raises(ConfigError, match=words):
        launched(environment)
