"""A folder's files are whole, on disk and never overwritten, whatever ends a write."""

import errno
import os
from pathlib import Path

import pytest

from lib.archive.objects import TEMPORARY, probe
from lib.archive.objects.folder import Folder
from lib.archive.objects.workspace import workspace
from lib.errors import StoreRejected, StoreUnavailable


class RecordedCalls:
    """The calls of `os`, in order, each with the name of its file; one of them may fail."""

    def __init__(self, failing: str = "", error: int = errno.EIO) -> None:
        self.made: list[str] = []
        self._failing = failing
        self._error = error
        self._names: dict[int, str] = {}

    def _record(self, call: str, path: Path) -> None:
        self.made.append(f"{call} {path.name}")
        if call == self._failing:
            raise OSError(self._error, os.strerror(self._error))

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        file = os.open(path, flags, mode)
        self._names[file] = path.name
        return file

    def write(self, file: int, body: memoryview) -> int:
        self._record("write", Path(self._names[file]))
        return os.write(file, body[:2])

    def fsync(self, file: int) -> None:
        self._record("fsync", Path(self._names[file]))

    def close(self, file: int) -> None:
        os.close(file)

    def mkdir(self, path: Path) -> None:
        self._record("mkdir", path)
        path.mkdir()

    def link(self, source: Path, target: Path) -> None:
        self._record("link", target)
        os.link(source, target)


async def test_a_file_is_synced_before_it_gets_its_name_and_every_new_folder_after(tmp_path):
    calls = RecordedCalls()
    assert await Folder(tmp_path / "archive", calls=calls).create("price/a", b"body")
    assert calls.made == [
        "mkdir archive",
        f"fsync {tmp_path.name}",
        "mkdir price",
        "fsync archive",
        "write a",
        "write a",
        "fsync a",
        "link a",
        "fsync price",
        "fsync archive",
    ]
    assert (tmp_path / "archive/price/a").read_bytes() == b"body"


async def test_a_made_file_is_synced_before_it_gets_its_name(tmp_path):
    calls = RecordedCalls()
    folder = Folder(tmp_path, calls=calls)
    (tmp_path / "price").mkdir()
    with folder.workspace() as making:
        (making / "part").write_bytes(b"body")
        assert await folder.create("price/a", making / "part")
    assert calls.made == ["fsync part", "link a", "fsync price", f"fsync {tmp_path.name}"]


async def test_a_taken_name_is_not_overwritten_and_is_on_disk_all_the_same(tmp_path):
    calls = RecordedCalls()
    folder = Folder(tmp_path, calls=calls)
    assert await folder.create("price/a", b"first")
    calls.made.clear()
    assert not await folder.create("price/a", b"second")
    assert calls.made[-3:] == ["link a", "fsync price", f"fsync {tmp_path.name}"]
    assert await folder.read("price/a") == b"first"


@pytest.mark.parametrize("failing", ["mkdir", "write", "fsync", "link"])
async def test_a_full_disk_leaves_no_file_and_no_half_of_one(tmp_path, failing):
    with pytest.raises(StoreUnavailable, match="No space left"):
        await Folder(tmp_path, calls=RecordedCalls(failing, errno.ENOSPC)).create("price/a", b"body")
    folder = Folder(tmp_path)
    assert await folder.names("price") == []
    assert await folder.names(TEMPORARY) == []
    assert await folder.create("price/a", b"body")


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.ENOENT])
@pytest.mark.parametrize("content", [b"body", Path("part")])
async def test_a_folder_that_cannot_be_written_is_refused_with_its_setting(tmp_path, error, content):
    (tmp_path / "part").write_bytes(b"body")
    made = tmp_path / content if isinstance(content, Path) else content
    with pytest.raises(StoreRejected, match="look at TOPCOINS_ARCHIVE_URL"):
        await Folder(tmp_path / "archive", calls=RecordedCalls("mkdir", error)).create("price/a", made)


async def test_a_folder_that_cannot_be_made_is_refused_with_its_setting():
    with pytest.raises(StoreRejected, match=r"archive /proc/nope: .*; look at TOPCOINS_ARCHIVE_URL"):
        await probe(Folder(Path("/proc/nope")))


async def test_a_file_system_without_hard_links_is_refused_by_name(tmp_path):
    with pytest.raises(StoreRejected, match="no hard links"):
        await Folder(tmp_path, calls=RecordedCalls("link", errno.EPERM)).create("price/a", b"body")


class Overwriting(Folder):
    """An object store whose conditional puts always succeed."""

    async def create(self, name: str, content: bytes | Path) -> bool:
        await self.delete(name)
        return await super().create(name, content)


async def test_a_store_that_lets_a_second_conditional_put_win_is_refused(tmp_path):
    with pytest.raises(StoreRejected, match="a second conditional put"):
        await probe(Overwriting(tmp_path))
    assert await Folder(tmp_path).names(TEMPORARY) == []


def test_the_files_of_a_living_process_are_not_swept(tmp_path):
    with workspace(tmp_path) as living:
        (living / "part").write_bytes(b"")
        with workspace(tmp_path):
            assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["part"]
    assert list(tmp_path.iterdir()) == []
