"""An archive of each kind, and a store to seal."""

import pytest
from obstore.store import MemoryStore as ObjectsInMemory

from lib.archive.objects.cloud import Cloud
from lib.archive.objects.folder import Folder
from tests.fakes import FakeClock
from tests.seaweedfs import Prefix
from tests.unit.archive.world import NEXT_NOON


@pytest.fixture
def clock():
    return FakeClock(NEXT_NOON)


@pytest.fixture(params=["folder", "memory"])
def objects(request, tmp_path):
    if request.param == "folder":
        return Folder(tmp_path / "archive")
    if request.param == "s3":
        prefix: Prefix = request.getfixturevalue("s3")
        return prefix.objects(tmp_path / "making")
    return Cloud(ObjectsInMemory(), shown="memory", making=tmp_path / "making")
