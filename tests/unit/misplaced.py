"""Puts a key into every setting, and into every word of every command line, and uses what does not refuse it.

A program of its own, because the settings are used as services use them: with sockets, signals and a log. Its output is
all that they print. `python -m tests.unit.misplaced settings|commands KEY DESCRIPTOR`, in an empty folder.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import structlog
import typer

import ingest_price.source
import ingest_rank.source
from lib import cli, process
from lib.archive.objects.address import open_objects
from lib.archive.tiers import open_tiers
from lib.cli.app import app
from lib.cli.doctor import examine
from lib.clock import utc_now
from lib.errors import TopcoinsError
from lib.ingest.delivery import ViaSpool
from lib.ingest.service import ingests
from lib.ingest.sources import ServiceSources
from lib.ingest.spool import Spool
from lib.schema import Series
from lib.settings import Settings
from query_api.__main__ import read_extras
from query_api.server import listen
from tests.fakes import Upstream, says

NOWHERE = "http://127.0.0.1:1"
FORMS = ("/proc/{}/x.toml", "sqlite:////proc/{}/x.db", "http://{}:1", "{}", f"{NOWHERE}/{{}}", "s3://{}/x")
MOST_USES = 2
"""A setting that takes any text is not used with each of them."""
OF_A_COMMAND = {"url": ("http://{}:1", f"{NOWHERE}/{{}}")}
_INFLUX, _CLOUD = {"TOPCOINS_STORE_URL": NOWHERE}, {"TOPCOINS_ARCHIVE_URL": "s3://bucket/x"}
USED_WITH = {
    "store_read_url": _INFLUX, "influx_org": _INFLUX, "influx_bucket": _INFLUX, "influx_token": _INFLUX,
    "archive_endpoint": _CLOUD, "archive_region": _CLOUD, "archive_access_key": _CLOUD, "archive_secret_key": _CLOUD,
}  # fmt: skip
"""Settings that another one brings into use."""
TABLES = {"api_keys": "coindesk_api_key", "source_urls": "cmc_url"}
NOT_SERVING = {"simulate": ("--host", "none.invalid"), "demo": ("--history", "long")}
"""What makes these commands end."""
REQUIRED = {"id": "BTC", "output": "top.csv", "start": "now-1h", "stop": "now", "series": "price", "name": "grafana"}
REPORT = 3
"""The file descriptor of the report."""
SHOWN = ("key",)
"""Commands whose argument is the name to print."""

LISTED = says(
    {
        "data": [
            {
                "id": id_,
                "symbol": f"S{id_}",
                "name": f"N{id_}",
                "quote": {"USD": {"price": id_, "volume_24h": 1e9 / id_}},
            }
            for id_ in range(1, 6)
        ],
        "status": {"error_code": 0, "credit_count": 4},
    }
)


@contextmanager
def printed() -> Iterator[None]:
    """Prints why a process would end, as Python does at its end."""
    try:
        yield
    except SystemExit as exc:
        print(exc.code, file=sys.stderr)


def names() -> Iterator[str]:
    """Every setting, those of sources too."""
    yield from (name for name in Settings.model_fields if name not in TABLES)
    yield from TABLES.values()


def base() -> dict[str, str]:
    """Settings that touch nothing outside this folder."""
    own = {"STORE_URL": "sqlite:///store/t.db", "SPOOL_DIR": "spool", "ARCHIVE_URL": "archive", "ASSETS": "5"}
    own["ARCHIVE_ENDPOINT"] = NOWHERE
    own |= {"CMC_URL": NOWHERE, "COINDESK_URL": NOWHERE, "HTTP_PORT": "1", "HTTP_SAFE_PORT": "1", "INTERVAL": "1m"}
    return {f"TOPCOINS_{name}": value for name, value in own.items()}


def put_into_settings(key: str) -> None:
    """Load and use each setting with the key in it; report what came of it."""
    for name in names():
        os.mkdir(name)
        os.chdir(name)
        uses = 0
        for form in FORMS:
            if uses == MOST_USES:
                break
            environ = base() | USED_WITH.get(name, {}) | {f"TOPCOINS_{name.upper()}": form.format(key)}
            os.environ |= environ
            outcome = "refused"
            with printed(), process.begin("query_api", []) as chosen:
                outcome = "used"
                uses += 1
                _use(chosen, environ)
            report(name, outcome)
            for variable in environ:
                os.environ.pop(variable)
        os.chdir("..")


def _use(chosen: Settings, environ: dict[str, str]) -> None:
    """What the services and doctor do with settings. Each part prints its own failure."""
    upstream = Upstream(LISTED)
    for finding in examine(environ, utc_now, print, client=upstream.client):
        print(finding.what, finding.seen)
    for part in (_tick, _answer):
        with printed(), process.begin("ingest_price", []):
            asyncio.run(part(chosen))
    for listener in listen(chosen):
        listener.close()


async def _tick(chosen: Settings) -> None:
    """One tick of each series, whose list waits for the store."""
    store = open_tiers(chosen, open_objects(chosen), utc_now)
    spools: list[Spool] = []

    def delivery(series: Series) -> ViaSpool:
        spools.append(Spool(chosen.spool_dir / series.name, limit=chosen.spool_limit))
        spools[-1].open()
        return ViaSpool(spools[-1], store)

    client = Upstream(LISTED).client
    sources = ServiceSources(chosen, client=client, store=store, clock=utc_now, folder=chosen.spool_dir)
    try:
        for service in (ingest_price.source, ingest_rank.source):
            for ingest in ingests(service.plan, sources, delivery):
                await ingest.tick(datetime.now(UTC).replace(microsecond=0))
    finally:
        for spool in spools:
            spool.close()


async def _answer(chosen: Settings) -> None:
    """What query_api asks, and the errors that it logs."""
    read_extras(chosen)
    store = open_tiers(chosen, open_objects(chosen), utc_now)
    for question in (store.ready(), store.nearest("price", utc_now())):
        try:
            await question
        except TopcoinsError as exc:
            structlog.get_logger().warning("the store failed", why=str(exc))


def put_into_commands(key: str) -> None:
    """Run each command with the key as its name, as an option, and as each of its values."""
    os.environ |= base()
    for words in ([key], [f"--{key}"], ["top", key], ["top", f"--{key}", "1"]):
        _run(words)
    for words, command in _commands(typer.main.get_command(app), []):
        for asked in _values(words, command):
            rest = [_given(each, REQUIRED.get(each.name, "1")) for each in command.params if each.required]
            rest = [each for each in rest if each != _given(asked, REQUIRED.get(asked.name, "1"))]
            for form in OF_A_COMMAND.get(asked.name, FORMS[:1]):
                _run(
                    [
                        *words,
                        *NOT_SERVING.get(words[0], ()),
                        *chain.from_iterable(rest),
                        *_given(asked, form.format(key)),
                    ]
                )


def commands_with_values() -> Iterator[str]:
    """The first word of each command that takes a value."""
    for words, command in _commands(typer.main.get_command(app), []):
        if _values(words, command):
            yield words[0]


def _values(words: list[str], command: Any) -> list[Any]:
    return [each for each in command.params if not getattr(each, "is_flag", False) and words[0] not in SHOWN]


def _commands(command: Any, words: list[str]) -> Iterator[tuple[list[str], Any]]:
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from _commands(child, [*words, name])
    if not children:
        yield words, command


def _given(parameter: Any, value: str) -> list[str]:
    return [value] if parameter.param_type_name == "argument" else [max(parameter.opts, key=len), value]


def _run(words: list[str]) -> None:
    sys.argv = ["topcoins", *words]
    code: object = 0
    try:
        cli.main()
    except SystemExit as exc:
        code = exc.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    report(words[0], str(code)[:1])


def report(*what: str) -> None:
    """A line for the test, beside the output that it searches."""
    os.write(REPORT, (" ".join(what) + "\n").encode())


if __name__ == "__main__":
    _, what, misplaced, descriptor = sys.argv
    REPORT = int(descriptor)
    {"settings": put_into_settings, "commands": put_into_commands}[what](misplaced)
