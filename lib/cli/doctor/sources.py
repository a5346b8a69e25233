"""Checks of the sources: how each is asked, whether it answers, and whether its clock agrees with ours."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import httpx

from lib.cli.doctor.advice import advise_on_source
from lib.cli.doctor.finding import Finding
from lib.clock import Clock
from lib.errors import ClockDisagrees, SettingsRejected, TopcoinsError
from lib.ingest.clock_check import TOLERANCE, check_clock
from lib.ingest.service import refuse_no_check
from lib.ingest.sources import configured_source, find_source, named_sources
from lib.redaction import shown
from lib.settings import PREFIX, Settings
from lib.source import Reading, Source, SourceFile
from lib.units import format_duration

WITHIN = timedelta(seconds=20)
"""How long one source may take to answer."""


@dataclass(frozen=True, slots=True)
class ConfiguredSource:
    """A source that the settings of a service name. `is_check`: it is only compared with what is stored."""

    service: str
    file: SourceFile
    source: Source
    settings: Settings
    is_check: bool = False

    @property
    def what(self) -> str:
        """What findings call it."""
        return f"{self.service}: {self.file.name}"

    @property
    def interval(self) -> timedelta:
        """The distance between its ticks, before the credit planner stretches it."""
        return self.source.interval(self.settings.interval)

    @property
    def may_fill(self) -> bool:
        """Whether it can be asked for its series."""
        return self.source.usable and not self.is_check

    @property
    def is_keyed(self) -> bool:
        """Whether it is asked with a key."""
        return bool(self.source.key_setting)


def find_sources(
    services: Mapping[str, Settings], client: httpx.AsyncClient, clock: Clock
) -> tuple[list[ConfiguredSource], list[Finding]]:
    """The sources that the settings name, further ones included, and a finding for each that is none."""
    sources, wrong = [], []
    for service, setting, name in named_sources(services):
        chosen, is_check = services[service], setting == "check_source"
        try:
            file = find_source(Path(str(files(service))), name, setting)
            if is_check:
                refuse_no_check([file])
        except SettingsRejected as exc:
            wrong.append(Finding(f"{service}: {shown(name)}", False, str(exc)))
            continue
        source = configured_source(file, chosen, client=client, clock=clock)
        sources.append(ConfiguredSource(service, file, source, chosen, is_check))
    return sources, wrong


def check_how_asked(sources: list[ConfiguredSource]) -> list[Finding]:
    """How each source is asked, and how often; wrong where a service has none that can be."""
    findings = [Finding(each.what, each.source.usable or not each.is_check, _how_asked(each)) for each in sources]
    services = {each.service for each in sources} - {each.service for each in sources if each.may_fill}
    return findings + [Finding(service, False, _no_source(service, sources)) for service in sorted(services)]


def _how_asked(each: ConfiguredSource) -> str:
    every = format_duration(each.interval)
    if each.is_check and not each.source.usable:
        return f"{each.service} does not start: set {each.source.key_variable}, or unset {PREFIX}CHECK_SOURCE"
    if each.is_check:
        return f"compared with what is stored, every {every}"
    if not each.file.key:
        return "needs no key"
    if each.is_keyed:
        return f"asked with {each.source.key_variable}, every {every}"
    if each.source.usable:
        return f"asked without a key, every {every}"
    return f"left out: {each.source.key_variable} is not set, and it has no keyless address"


def _no_source(service: str, sources: list[ConfiguredSource]) -> str:
    keys = " or ".join(
        sorted({each.source.key_variable for each in sources if each.service == service and not each.is_check})
    )
    return f"no source can be asked: set {keys}, or name a source that needs no key"


async def try_sources(sources: list[ConfiguredSource], announce: Callable[[str], None]) -> list[Finding]:
    """Ask each source once for one asset, and compare the clocks. One list that two series use is asked once."""
    usable = [each for each in reversed(sources) if each.source.usable]  # of equal ones the first is asked
    asked = {(each.source.base, each.file.request.path, each.source.key_setting): each for each in usable}
    if not asked:
        return []
    costs = ", ".join(f"{each.file.name} ({_cost(each)})" for each in asked.values())
    announce(f"Asking each source once for one asset: {costs}. Nothing is stored.")
    answers = await asyncio.gather(*(_try(each) for each in asked.values()))
    findings = [_answered(each, answer) for each, answer in zip(asked.values(), answers, strict=True)]
    return [*findings, _compare_clocks([answer for answer in answers if isinstance(answer, Reading)])]


def _cost(each: ConfiguredSource) -> str:
    if not each.is_keyed and each.source.budget is None:
        return "costs nothing"
    return "1 credit" if each.file.cost else "1 call"


async def _try(each: ConfiguredSource) -> Reading | TopcoinsError:
    try:
        return await each.source.read(1, WITHIN)
    except TopcoinsError as exc:
        return exc


def _answered(each: ConfiguredSource, answer: Reading | TopcoinsError) -> Finding:
    what = f"{each.what}: answer"
    if isinstance(answer, TopcoinsError):
        advice = advise_on_source(answer, each.source)
        return Finding(what, False, f"{answer}; {advice}")
    if not answer.records:
        return Finding(
            what, False, f"{each.source.base} answers with an empty list: ask its vendor what your plan includes"
        )
    return Finding(what, True, f"{each.source.base} answers within {answer.duration.total_seconds():.1f} s")


def _compare_clocks(readings: list[Reading]) -> Finding:
    """Whether our clock agrees with those of the sources, by the rule that the ingestors use."""
    timed = [reading for reading in readings if reading.upstream_time or reading.newest_update]
    for reading in timed:
        try:
            check_clock(reading)
        except ClockDisagrees as exc:
            return Finding("clock", False, f"{exc}: set it, for example with timedatectl set-ntp true")
    if not timed:
        return Finding("clock", True, "not checked: no source that answers shows its time")
    names = ", ".join(dict.fromkeys(reading.source for reading in timed))
    return Finding("clock", True, f"agrees with that of {names}, within {TOLERANCE.total_seconds():g} s")
