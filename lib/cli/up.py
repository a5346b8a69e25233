"""`topcoins up`: the three services with the settings of the environment, and whether they begin well."""

import tempfile
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import orjson
from rich.console import Console

from lib import settings
from lib.cli.app import all_series
from lib.cli.demo import print_addresses, start_archiver, start_services
from lib.cli.ports import ask_own, refuse_taken
from lib.cli.stack import running
from lib.clock import utc_now
from lib.errors import SettingsRejected
from lib.ingest.missed import MissedTick, read_missed
from lib.ingest.sources import find_source, named_sources
from lib.ingest.spool import Spool
from lib.ingest.spool_folder import counted
from lib.schema import OWN, PRICE, VOLUME_RANK
from lib.settings import PREFIX, RUN_ID, SERVICES, SQLITE, Settings
from lib.text import without_control

PATIENCE = timedelta(seconds=30)
"""How long the first list may take before its absence is reported."""
EARLIER = timedelta(minutes=1)
"""The first tick may be stamped with a slot this long before the start."""


class Up:
    """The services of one run. They are recognised by an id that they have in their environment."""

    def __init__(self, console: Console, environ: Mapping[str, str]) -> None:
        self._console = console
        self._services = {name: _load(environ, name) for name in SERVICES}
        self._api = self._services["query_api"]
        price, rank = self._services["ingest_price"], self._services["ingest_rank"]
        self._spools = {PRICE.name: price.spool_dir / PRICE.name, VOLUME_RANK.name: rank.spool_dir / VOLUME_RANK.name}
        self._run_id = uuid.uuid4().hex
        self._environ = {**environ, RUN_ID: self._run_id}

    def run(self) -> None:
        """Check, start, report, and run until Ctrl-C."""
        self.check()
        stored = self._stored()
        began = utc_now()
        with running() as stack:
            start_services(stack, self._environ)
            start_archiver(stack, self._environ)
            stack.wait(self._answers)
            stack.wait(lambda: self._has_list(stored) or self._failed(began))
            host, port, safe_port = self._api.http_host, self._api.http_port, self._api.http_safe_port
            print_addresses(self._console, host, port, safe_port, began, key=bool(self._api.client_keys))
            if not self._has_list(stored):
                self._report_absence(began)
                stack.wait(lambda: self._has_list(stored), look_s=1)
                self._console.print("The first list is stored.")
            stack.wait()

    def check(self) -> None:
        """Refuse ports that are taken, sources that are none and folders that cannot be written, before a start."""
        for service, setting, name in named_sources(self._services):
            find_source(Path(str(files(service))), name, setting)
        for setting, (host, port) in self._api.listeners.items():
            refuse_taken(port, f"{PREFIX}{setting.upper()}", host)
        price = self._services["ingest_price"]
        extra = [price.spool_dir / series.name for series in all_series(price) if series.name not in OWN]
        for folder in (*self._spools.values(), *extra):
            spool = Spool(folder, limit=price.spool_limit)
            spool.open()  # SettingsRejected when it cannot be written, or another process fills it
            spool.close()
        for chosen in self._services.values():
            _check_folders(chosen)

    def _answers(self) -> bool:
        """Whether our own API answers, not another program on its port."""
        try:
            answer = ask_own(self._api.http_host, self._api.http_port, "/healthz", timeout_s=10)
            return bool(orjson.loads(answer)["run_id"] == self._run_id)
        except (ValueError, LookupError, TypeError):
            return False

    def _stored(self) -> list[int]:
        """How many snapshots of each series the store has confirmed."""
        return [counted(spool).stored for spool in self._spools.values()]

    def _has_list(self, before: list[int]) -> bool:
        return all(now > then for now, then in zip(self._stored(), before, strict=True))

    def _failed(self, began: datetime) -> bool:
        """Whether the first ticks failed, or take too long."""
        return len(self._missed(began)) == len(OWN) or utc_now() - began > PATIENCE

    def _missed(self, began: datetime) -> dict[str, MissedTick]:
        """The last failed tick of each series in this run. A skipped one is not why there is no list."""
        missed = {name: read_missed(spool, began - EARLIER, utc_now()) for name, spool in self._spools.items()}
        failed = {name: [tick for tick in ticks if tick.cause != "busy"] for name, ticks in missed.items()}
        return {name: ticks[-1] for name, ticks in failed.items() if ticks}

    def _report_absence(self, began: datetime) -> None:
        self._console.print("No list is stored yet. The services keep trying.")
        for name, missed in self._missed(began).items():
            self._console.print(f"  {name}: {missed.cause}: {without_control(missed.why)}", soft_wrap=True)


def _load(environ: Mapping[str, str], service: str) -> Settings:
    try:
        return settings.load(environ, service)
    except SettingsRejected as exc:
        raise SettingsRejected(f"{service}: {exc}") from exc


def _check_folders(chosen: Settings) -> None:
    if chosen.store_url.startswith(SQLITE):
        store = Path(chosen.store_url.removeprefix(SQLITE))
        _make(store.parent, f"{PREFIX}STORE_URL", "sqlite:///./data/topcoins.db")
        if store.is_dir():
            raise SettingsRejected(f"{PREFIX}STORE_URL: {store} is a folder; for example sqlite:///{store}/topcoins.db")
    if chosen.log_file:
        _make(chosen.log_file.parent, f"{PREFIX}LOG_FILE", "/var/log/topcoins.log")
        if chosen.log_file.is_dir():
            raise SettingsRejected(
                f"{PREFIX}LOG_FILE: {chosen.log_file} is a folder; for example /var/log/topcoins.log"
            )


def _make(folder: Path, setting: str, example: str) -> None:
    """Make a folder and write into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as exc:
        raise SettingsRejected(f"{setting}: {folder} can't be written: {exc.strerror}; for example {example}") from exc
