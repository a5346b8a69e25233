"""A real object store, SeaweedFS, for the tests marked `s3`: one for all of them, started here.

A pytest plugin. Without the program such tests are skipped; with TOPCOINS_TEST_REQUIRE_SEAWEEDFS=1 they fail instead.
"""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from lib import settings
from lib.archive.objects import Objects
from lib.archive.objects.address import open_objects
from tests.ports import free_port
from tests.programs import PrivateProgram, find_program

PATIENCE = 60.0
"""Seconds a server may take until it answers."""
BUCKET = "topcoins"
PORTS = tuple(f"{part}.{port}" for part in ("master", "volume", "filer", "s3") for port in ("port", "port.grpc"))
OPTIONS = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-volume.max=0",
    "-volume.preStopSeconds=0",
    "-master.telemetry=false",
    "-master.electionTimeout=1s",
    "-s3",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
)


@dataclass(frozen=True)
class Prefix:
    """A part of the object store that is a test's own."""

    endpoint: str
    access_key: str
    secret_key: str
    url: str

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables by which topcoins uses it."""
        return {
            "TOPCOINS_ARCHIVE_URL": self.url,
            "TOPCOINS_ARCHIVE_ENDPOINT": self.endpoint,
            "TOPCOINS_ARCHIVE_ACCESS_KEY": self.access_key,
            "TOPCOINS_ARCHIVE_SECRET_KEY": self.secret_key,
        }

    @property
    def store(self) -> S3Store:
        """It, without anything of topcoins."""
        return S3Store.from_url(
            self.url,
            access_key_id=self.access_key,
            secret_access_key=self.secret_key,
            endpoint=self.endpoint,
            client_options={"allow_http": True, "timeout": timedelta(seconds=PATIENCE)},
            retry_config={"max_retries": 0},
        )

    def objects(self, making: Path, **changed: str) -> Objects:
        """The archive in it, as the settings open it. `changed` are other settings, without their prefix."""
        changes: Mapping[str, str] = {f"TOPCOINS_{name.upper()}": value for name, value in changed.items()}
        opened = open_objects(settings.load({**self.settings, "TOPCOINS_SPOOL_DIR": str(making), **changes}))
        assert opened
        return opened


class SeaweedFS(PrivateProgram):
    """An object store's server."""

    name = "SeaweedFS"
    patience = PATIENCE

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._ports = [free_port() for _ in PORTS]
        self._secret_key = uuid.uuid4().hex
        self.url = f"http://127.0.0.1:{self._ports[PORTS.index('s3.port')]}"

    def prefix(self, name: str | None = None) -> Prefix:
        """A new place for objects."""
        return Prefix(self.url, "topcoins", self._secret_key, f"s3://{BUCKET}/{name or uuid.uuid4().hex}")

    def kill(self) -> None:
        """See `PrivateProgram.kill`. The sockets that it leaves are removed."""
        super().kill()
        for port in self._ports:
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)

    def _command(self) -> Sequence[str]:
        named = [f"-{name}={port}" for name, port in zip(PORTS, self._ports, strict=True)]
        program = find_program("seaweedfs", "weed", required="TOPCOINS_TEST_REQUIRE_SEAWEEDFS")
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        return [program, "-logtostderr", "server", f"-dir={data}", *OPTIONS, *named]

    def _environ(self) -> Mapping[str, str]:
        # Its user of the archive is made from these; one volume is enough, where a new bucket else gets seven.
        keys = {"AWS_ACCESS_KEY_ID": "topcoins", "AWS_SECRET_ACCESS_KEY": self._secret_key}
        return os.environ | keys | {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}

    def _is_ready(self) -> bool:
        try:
            # The first file makes the bucket. It waits until the server's parts have found each other.
            obstore.put(self.prefix("first").store, uuid.uuid4().hex, b"")
        except BaseError:
            return False
        return True


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """The server of all tests marked `s3`: they run in one process."""
    with SeaweedFS(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def s3(seaweedfs: SeaweedFS) -> Prefix:
    """A place of the test's own."""
    return seaweedfs.prefix()
