"""The sources of a service, made with its settings; those of other providers find CoinMarketCap's ids."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

import httpx

from lib.clock import Clock
from lib.errors import SettingsRejected
from lib.ids.coin_map import CoinMap
from lib.ids.rules import USERS_TABLE, Decisions, Rule
from lib.ids.tables import Tables, read_table
from lib.ingest.ids.daily import DailyCopy, ProviderAssets, fetch_contracts, fetch_map
from lib.ingest.ids.identify import Identifier
from lib.ingest.ids.report import FOLDER, stem
from lib.redaction import shown
from lib.settings import PREFIX, Settings, naming
from lib.source import Source, SourceFile, read_source
from lib.source.reading import PrepareIdentify
from lib.source.shared_answers import SharedAnswers, shared_answers
from lib.source.source_file import VENDORS
from lib.store import Store

CONTRACTS = ".contracts.json"
MAP = "coinmarketcap_map"
"""The only one that `[id]` of a source file may name."""
SETTINGS = (
    ("ingest_price", "price_source"), ("ingest_price", "extra_sources"),
    ("ingest_rank", "rank_source"), ("ingest_rank", "check_source"),
)  # fmt: skip
"""The settings that name sources, each with its service."""


def named_sources(services: Mapping[str, Settings]) -> list[tuple[str, str, str]]:
    """The service, the setting and the name of each source."""
    return [(service, setting, name) for service, setting in SETTINGS for name in getattr(services[service], setting)]


def find_source(folder: Path, name: str, setting: str) -> SourceFile:
    """The source file of this name beside a service, or at this path when it ends in .toml; a setting has the name."""
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    with naming(setting):
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
            raise SettingsRejected(
                f"source {shown(name)!r}: there is no file of this name; for example {known}, or /path/to/file.toml"
            )
        return read_source(path)


def configured_source(
    file: SourceFile,
    chosen: Settings,
    *,
    client: httpx.AsyncClient,
    clock: Clock,
    shared: SharedAnswers | None = None,
    identify: PrepareIdentify | None = None,
) -> Source:
    """The source of a file, with its key, if the settings have it, and at the address that they move it to."""
    key = chosen.api_keys.get(file.key.setting) if file.key else None
    url = chosen.source_urls.get(file.request.url_setting)
    return Source(file, client=client, clock=clock, key=key, url=url, shared=shared, identify=identify)


def only_usable(sources: Sequence[Source]) -> list[Source]:
    """Those that can be asked with the keys of the settings; SettingsRejected when there is none."""
    if usable := [source for source in sources if source.usable]:
        return usable
    wanted = ", ".join(source.key_variable for source in sources)  # each needs one, else it were usable
    raise SettingsRejected(f"no source of {sources[0].series.name} has its key; set {wanted}")


def with_stand_ins(sources: Sequence[Source]) -> list[Source]:
    """Each source, followed by the one that stands in for it without its key, where there is one."""
    return [each for source in sources for each in (source, source.stand_in()) if each]


class ServiceSources:
    """Makes sources with the keys and addresses of the settings.

    They share their answers with other processes of the same `folder`. Identifiers write their files to `ids/` in it;
    they use one map of CoinMarketCap and the prices in the store.
    """

    def __init__(
        self, chosen: Settings, *, client: httpx.AsyncClient, store: Store, clock: Clock, folder: Path | None = None
    ) -> None:
        self.chosen = chosen
        self.store = store
        self.clock = clock
        self.folder = folder
        self._source = partial(configured_source, chosen=chosen, client=client, clock=clock)
        self._identifiers: dict[tuple[str, str], Identifier] = {}

    def usable(self, files: Sequence[SourceFile]) -> list[Source]:
        """The sources that can be asked with the keys of the settings; SettingsRejected when there is none."""
        shared = shared_answers(self.folder, self.clock)
        return only_usable([self._source(file, shared=shared, identify=self._identify(file)) for file in files])

    def _identify(self, file: SourceFile) -> PrepareIdentify | None:
        """What finds the ids of a source's records; None where they have ids. A source and its check have one."""
        if file.id is None:
            return None
        key = file.series, file.name
        if key not in self._identifiers:
            self._identifiers[key] = Identifier(
                file,
                coin_map=self._map,
                contracts=self._contracts(file),
                tables=self._tables(file.name, file.id.overrides),
                store=self.store,
                clock=self.clock,
                folder=self.folder / FOLDER if self.folder else None,
            )
        return self._identifiers[key].prepare

    @cached_property
    def _map(self) -> DailyCopy[CoinMap]:
        shared = shared_answers(self.folder, self.clock)
        sources = with_stand_ins([self._source(read_source(VENDORS / f"{MAP}.toml"), shared=shared)])
        fetch = partial(fetch_map, sources, self.clock)
        return DailyCopy(CoinMap, self._file(f"{MAP}.json"), clock=self.clock, fetch=fetch)

    def _contracts(self, file: SourceFile) -> DailyCopy[ProviderAssets] | None:
        if file.id is None or file.id.contracts is None:
            return None
        fetch = partial(fetch_contracts, file.id.contracts, self._source(file).fetch, self.clock)
        name = f"{stem(file.series, file.name)}{CONTRACTS}"
        return DailyCopy(ProviderAssets, self._file(name), clock=self.clock, fetch=fetch)

    def _file(self, name: str) -> Path | None:
        return self.folder / FOLDER / name if self.folder else None

    def _tables(self, source: str, overrides: Path | None) -> Decisions:
        """The tables of a source's ids. The user's come before those that are shipped."""
        shipped = _read(overrides, "override", f"source {source}: overrides")
        own = _read(self.chosen.id_table, USERS_TABLE, f"{PREFIX}ID_TABLE")
        return {**shipped.get(source, {}), **own.get(source, {})}


def _read(path: Path | None, rule: Rule, what: str) -> Tables:
    try:
        return read_table(path.read_text("utf-8"), rule) if path else {}
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise SettingsRejected(f"{what}: {path}: {why}; for example /etc/topcoins/ids.csv") from None
