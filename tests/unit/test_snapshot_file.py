"""A snapshot's file is on disk, whole, when `write_whole` returns: the order of the calls that promise it."""

import errno
import os
from pathlib import Path

import pytest

from lib.snapshot_file import write_whole


class RecordedCalls:
    """The calls of `os`, in order, each with the name of its file. A disk that takes `chunk` bytes at a time."""

    def __init__(self, *, chunk: int = 1 << 20, failing: str = "") -> None:
        self.made: list[str] = []
        self._chunk = chunk
        self._failing = failing
        self._names: dict[int, str] = {}

    def _record(self, call: str, name: str) -> None:
        self.made.append(f"{call} {name}")
        if call == self._failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        self._record("open", path.name)
        file = os.open(path, flags, mode)
        self._names[file] = path.name
        return file

    def write(self, file: int, body: memoryview) -> int:
        self._record("write", self._names[file])
        return os.write(file, body[: self._chunk])

    def fsync(self, file: int) -> None:
        self._record("fsync", self._names[file])

    def close(self, file: int) -> None:
        os.close(file)

    def rename(self, source: Path, target: Path) -> None:
        self._record("rename", f"{source.name} {target.name}")
        os.rename(source, target)


def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_after(tmp_path):
    calls = RecordedCalls()
    write_whole(tmp_path / "a", b"body", calls=calls)
    assert calls.made == [
        "open a.part",
        "write a.part",
        "fsync a.part",
        "rename a.part a",
        f"open {tmp_path.name}",
        f"fsync {tmp_path.name}",
    ]
    assert (tmp_path / "a").read_bytes() == b"body"


def test_a_disk_that_takes_a_part_at_a_time_gets_all_of_it(tmp_path):
    calls = RecordedCalls(chunk=3)
    write_whole(tmp_path / "a", b"0123456789", calls=calls)
    assert calls.made.count("write a.part") == 4
    assert (tmp_path / "a").read_bytes() == b"0123456789"


@pytest.mark.parametrize("failing", ["open", "write", "fsync", "rename"])
def test_after_a_failure_the_old_file_is_there_and_no_part_of_the_new_one(tmp_path, failing):
    write_whole(tmp_path / "a", b"old")
    with pytest.raises(OSError, match="Input/output error"):
        write_whole(tmp_path / "a", b"new", calls=RecordedCalls(failing=failing))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}
