"""What the settings make of source files: a source with its key and address, and the series of the extra ones."""

from pathlib import Path

import httpx

from lib.clock import Clock
from lib.schema import Series
from lib.settings import Settings, naming
from lib.source.model import SourceFile
from lib.source.reading import PrepareIdentify
from lib.source.shared_answers import SharedAnswers
from lib.source.source_file import read_source
from lib.source.upstream import Source


def extra_series(chosen: Settings) -> list[Series]:
    """The series of the settings' extra sources, in their order."""
    with naming("extra_sources"):
        return [read_source(Path(name)).values for name in chosen.extra_sources]


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
