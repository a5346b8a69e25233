"""A source with the key and the address of the settings."""

import httpx

from lib.clock import Clock
from lib.settings import Settings
from lib.source.model import SourceFile
from lib.source.reading import PrepareIdentify
from lib.source.shared_answers import SharedAnswers
from lib.source.upstream import Source


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
