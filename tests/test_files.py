"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import math
import os

import pytest

from enerv_zoo.errors import EnervZooError
from enerv_zoo.files import remove_leftovers, replacing, write_json, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole(tmp_path):
    with replacing(tmp_path / "new" / "a.txt") as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("x")
        assert names(tmp_path / "new") == [temporary.name]
    assert names(tmp_path / "new") == ["a.txt"]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_what_goes_wrong_leaves_the_old_one(tmp_path, interruption):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(interruption), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise interruption
    assert names(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_whatever_cannot_be_written_is_told_by_the_name_that_was_given(tmp_path):
    class Refused(EnervZooError):
        pass

    for number, told in ((errno.ENOSPC, "No space left on device"), (errno.EDQUOT, "quota")):
        message = rf"a\.txt: cannot be written \(.*{told}.*\); choose another place"
        with pytest.raises(Refused, match=message), replacing(tmp_path / "a.txt", Refused) as temporary:
            temporary.write_text("half")
            raise OSError(number, os.strerror(number))
    message = r"a\.txt: cannot be written \(Permission denied\)"
    with pytest.raises(Refused, match=message), replacing(tmp_path / "a.txt", Refused) as temporary:
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))
    with pytest.raises(Refused, match="No such file"), replacing(tmp_path / "a.txt", Refused) as temporary:
        (temporary / "no" / "folder").touch()
    with pytest.raises(ConnectionResetError), replacing(tmp_path / "a.txt", Refused):
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")  # not of this file
    assert names(tmp_path) == []


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    for name in (".0123abcd.a.txt", ".0123abcd.b.txt", ".mine.a.txt", "a.txt", ".a.txt"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, ["a.txt"])
    assert names(tmp_path) == [".0123abcd.b.txt", ".a.txt", ".mine.a.txt", "a.txt"]


def test_folders_and_links(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").touch()
    (tmp_path / "link").symlink_to("real")
    with replacing(tmp_path / "link") as temporary:
        temporary.mkdir()
        (temporary / "new").touch()
    assert names(tmp_path) == ["link", "real"]
    assert names(tmp_path / "real") == ["new"]


def test_json_has_no_infinite_numbers(tmp_path):
    write_json(tmp_path / "a.json", {"a": [math.inf, 1.5], "b": {"c": math.nan}})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, 1.5], "b": {"c": None}}
