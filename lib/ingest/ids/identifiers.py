"""The identifiers of a service: one for each provider, over one map of CoinMarketCap."""

from collections.abc import Mapping
from pathlib import Path

import httpx

from lib.clock import Clock
from lib.errors import SettingsRejected
from lib.ids.coin_map import CoinMap
from lib.ids.rules import USERS_TABLE, Decision, Rule
from lib.ids.tables import Tables, read_table
from lib.ingest.ids.daily import DailyCopy
from lib.ingest.ids.identify import Identifier
from lib.ingest.ids.lists import ContractsFetch, MapFetch, ProviderAssets
from lib.ingest.ids.report import FOLDER, stem
from lib.settings import PREFIX, Settings
from lib.source import Source, SourceFile, configured_source, read_source
from lib.source.shared_answers import shared_answers
from lib.source.source_file import VENDORS
from lib.store import Store

CONTRACTS = ".contracts.json"


class Identifiers:
    """Makes an identifier for each source that finds ids by a table. Its files go to `ids/` in `folder`."""

    def __init__(
        self, chosen: Settings, *, client: httpx.AsyncClient, store: Store, clock: Clock, folder: Path | None
    ) -> None:
        self._chosen = chosen
        self._client = client
        self._store = store
        self._clock = clock
        self._spools = folder
        self._folder = folder / FOLDER if folder else None
        self._maps: dict[str, DailyCopy[CoinMap]] = {}
        self._made: dict[tuple[str, str], Identifier] = {}

    def of(self, file: SourceFile) -> Identifier | None:
        """The identifier of a source; None where its records have ids."""
        if file.id is None:
            return None
        key = file.series, file.name
        if key not in self._made:
            self._made[key] = Identifier(
                file,
                coin_map=self._map(file.id.map),
                contracts=self._contracts(file),
                tables=self._tables(file),
                store=self._store,
                clock=self._clock,
                folder=self._folder,
            )
        return self._made[key]

    def _map(self, name: str) -> DailyCopy[CoinMap]:
        if name not in self._maps:
            source = self._source(read_source(VENDORS / f"{name}.toml"))
            self._maps[name] = DailyCopy(
                CoinMap,
                self._file(f"{name}.json"),
                clock=self._clock,
                fetch=MapFetch([each for each in (source, source.stand_in()) if each], self._clock),
            )
        return self._maps[name]

    def _contracts(self, file: SourceFile) -> DailyCopy[ProviderAssets] | None:
        if file.id is None or file.id.contracts is None:
            return None
        return DailyCopy(
            ProviderAssets,
            self._file(f"{stem(file.series, file.name)}{CONTRACTS}"),
            clock=self._clock,
            fetch=ContractsFetch(file.id.contracts, self._source(file).fetch, self._clock),
        )

    def _file(self, name: str) -> Path | None:
        return self._folder / name if self._folder else None

    def _source(self, file: SourceFile) -> Source:
        """A source whose keyless requests keep apart from those of the ingestors."""
        return configured_source(
            file, self._chosen, client=self._client, clock=self._clock, shared=shared_answers(self._spools, self._clock)
        )

    def _tables(self, file: SourceFile) -> Mapping[str, Decision]:
        """The tables of a source's ids. The user's come before those that are shipped."""
        assert file.id
        shipped = _read(file.id.overrides, "override", f"source {file.name}: overrides") if file.id.overrides else {}
        table = self._chosen.id_table
        own = _read(table, USERS_TABLE, f"{PREFIX}ID_TABLE") if table else {}
        return {**shipped.get(file.name, {}), **own.get(file.name, {})}


def _read(path: Path, rule: Rule, what: str) -> Tables:
    try:
        return read_table(path.read_text("utf-8"), rule)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise SettingsRejected(f"{what}: {path}: {why}; for example /etc/topcoins/ids.csv") from None
