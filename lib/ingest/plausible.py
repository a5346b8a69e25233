"""Is a list plausible? Compares it with the snapshot before it. The only place that judges a whole list.

Every bound is declared here with its reason. A list without a snapshot before, or with an old one, is compared with
what every market of the last years had in common.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import polars as pl

from lib.clock import DAY, MINUTE
from lib.schema import ID, PRICE, VOLUME_RANK
from lib.snapshot import VOLUME, Snapshot

BITCOIN = 1
DOLLARS = {825: "USDT", 3408: "USDC"}
"""Coins that are redeemable for one dollar, by id, with their symbols. Every real list of 50 assets has both."""

COMPARABLE_FOR = DAY
"""So old may a snapshot be that a list is compared with. Nobody can say how far a market moves in a longer time."""
KNOWN_SINCE = datetime(2019, 1, 1, tzinfo=UTC)
"""The bounds on a first list hold from then on: before, volumes were small, and USD Coin was new."""
DOLLAR_OFF = 0.03
"""No day took both dollars so far off: USD Coin fell to 0.88 in March 2023, while Tether stayed within 0.02."""
BITCOIN_USD = (20.0, 1e7)
"""Bitcoin was above 20 dollars since 2013. At ten million each, all bitcoins would be worth more than all companies."""
BITCOIN_VOLUME = 1e8
"""Dollars a day: the quietest days of 2019 had forty times as much."""
WHOLE_VOLUME = 2e12
"""Dollars a day over all assets: the busiest days had a quarter of it, doubtful exchanges included."""
PRICE_STEP = math.log(1 / 0.7)
"""The median asset moves 30 % in a minute at most: the worst minute of a crash moved the whole market by about 10 %."""
PRICE_STEP_MOST = math.log(4)
"""And fourfold at most, however long the time between: the worst day of the market halved it."""
VOLUME_STEP = math.log(8)
"""The median 24h volume moves eightfold in a minute at most: a minute is a 1,440th of what it sums up."""
VOLUME_STEP_MOST = math.log(20)
"""And twentyfold at most: the volumes of a crash are about ten times those of a quiet day."""
FEWEST_COMPARED = 3
"""A median over fewer assets is the move of one asset."""
FEWEST_FOR_ONE_VALUE = 5
"""Fewer assets may share a value, as stablecoins do."""
PLACES = 10
PLACES_GONE = 2
FRONT = 3
"""Of the first ten places so many may leave the first thirty, or come from behind them; a real list keeps them so."""
JUMP = math.log(100)
"""A row that moves this much is wrong, or its coin was redenominated: the next list shows which."""
MOST_JUMPS = 0.1
"""More rows than this part of a list do not go wrong, or move so far, one by one."""
MOST_DUPLICATES = 0.25
"""A list that changes between two of its pages repeats a few records; more are a page that came twice."""
HALF_OF_ALL = 0.5
"""No asset has this part of the whole volume in a list of `LONG_LIST` assets: the largest had 45 %, in a list of 20."""
LONG_LIST = 50
VOLUME_JUMP = 10
CONFIRMED = math.log(2)
"""The next list confirms a row that is within a factor of two of the one in doubt."""

VALUES = {PRICE.name: "usd", VOLUME_RANK.name: VOLUME}
_STEPS = {PRICE.name: (PRICE_STEP, PRICE_STEP_MOST), VOLUME_RANK.name: (VOLUME_STEP, VOLUME_STEP_MOST)}
_FAR = {PRICE.name: PRICE_STEP_MOST, VOLUME_RANK.name: JUMP}
"""How far a few assets of a list may move: the volumes of small assets move much further than their prices."""


def faults(now: Snapshot, before: Snapshot | None) -> list[str]:
    """What is wrong with a list by itself. A fault that the snapshot before has too is none.

    Only without a snapshot of the last day is it compared with what every market has.
    """
    faults = list(_faults(now, is_first=before is None))
    if before is None or abs(now.tick - before.tick) >= COMPARABLE_FOR:
        faults += _unlike_any_market(now)
    old = [*_faults(before, is_first=False), *_unlike_any_market(before)] if before else []
    known = {_kind(fault) for fault in old}
    return [fault for fault in faults if _kind(fault) not in known]


def _kind(fault: str) -> str:
    return fault.partition(":")[0]


def _unlike_any_market(now: Snapshot) -> Iterator[str]:
    """How a long list of prices or volumes differs from every list that a market gave."""
    value = VALUES.get(now.series.name)
    if value is None or now.marker.assets + now.marker.duplicates < LONG_LIST or now.tick < KNOWN_SINCE:
        return
    if not len(now.rows):  # only the marker was read
        return
    bitcoin = now.rows.filter(pl.col(ID) == BITCOIN)[value]
    if not len(bitcoin):
        yield "no Bitcoin: every list has it"
    yield from _unlike_any_volume(now, bitcoin) if value == VOLUME else _unlike_any_price(now, bitcoin)


def _unlike_any_volume(now: Snapshot, bitcoin: pl.Series) -> Iterator[str]:
    if len(bitcoin) and bitcoin[0] < BITCOIN_VOLUME:
        yield f"volume of Bitcoin: {bitcoin[0]:.4g} dollars a day, {BITCOIN_VOLUME:.0e} is the least"
    if (whole := now.rows[VOLUME].sum()) > WHOLE_VOLUME:
        yield f"whole volume: {whole:.4g} dollars a day, {WHOLE_VOLUME:.0e} is the most"


def _unlike_any_price(now: Snapshot, bitcoin: pl.Series) -> Iterator[str]:
    least, most = BITCOIN_USD
    if len(bitcoin) and not least <= bitcoin[0] <= most:
        yield f"price of Bitcoin: {bitcoin[0]:.4g} dollars, it is from {least:.0f} to {most:.0e}"
    rows = now.rows.filter(pl.col(ID).is_in(list(DOLLARS))).select(ID, "symbol", "usd").iter_rows()
    dollars = {symbol: usd for id_, symbol, usd in rows if symbol == DOLLARS[id_]}
    if dollars and min(abs(usd - 1) for usd in dollars.values()) > DOLLAR_OFF:
        prices = " and ".join(f"{symbol} at {usd:.4g}" for symbol, usd in dollars.items())
        yield f"no dollar: {prices} of a dollar; the prices may be in another unit"


def differences(now: Snapshot, before: Snapshot | None, *, asked: int = 0) -> list[str]:
    """How a list differs from the snapshot before by more than a market can; nothing without one."""
    if before is None:
        return []
    reasons = list(_compared(now, before))
    usual = min(before.marker.assets, asked or before.marker.assets)
    if now.marker.assets * 2 < usual:
        reasons.append(f"short: {now.marker.assets} assets are under half of the {usual} expected")
    return reasons


class Jump(NamedTuple):
    """A row in doubt: its value before, its value now, and why it is rejected."""

    before: float
    now: float
    reason: str


def jumps(
    now: Snapshot, before: Snapshot | None, absent: Mapping[int, float], doubted: Mapping[int, float]
) -> dict[int, Jump]:
    """The rows to reject, by id: those that moved too far, unless they confirm a `doubted` value.

    `absent` has the last values of assets that the snapshot before lacks.
    """
    value = VALUES.get(now.series.name)
    if value is None or (value == VOLUME and len(now.rows) < LONG_LIST):
        return {}
    listed = (before.rows if before else now.rows.clear()).select(ID, pl.col(value).alias("old"))
    others = pl.DataFrame({ID: [*absent], "old": [*absent.values()]}, listed.schema)
    old = pl.concat([listed, others]).unique(ID, keep="first")
    both = now.rows.select(ID, pl.col(value).alias("new")).join(old, on=ID, how="left")
    wrong, reason = _VOLUME_JUMP if value == VOLUME else _PRICE_JUMP
    moved = {id_: Jump(usual or 0, new, reason) for id_, new, usual in both.filter(wrong).iter_rows()}
    return {id_: jump for id_, jump in moved.items() if not _confirms(jump, doubted.get(id_))}


_PRICE_JUMP = ((pl.col("new") / pl.col("old")).log().abs() >= JUMP, "usd moved a hundredfold")
_GREW = pl.col("new") > VOLUME_JUMP * pl.col("old").fill_null(0)
_OTHERS = pl.when(_GREW.mean() <= MOST_JUMPS).then(pl.col("new").filter(~_GREW).sum())
"""The volume of the rows that did not grow so: several wrong rows must not hide each other."""
_VOLUME_JUMP = (
    _GREW & ((pl.col("new") > HALF_OF_ALL * pl.col("new").sum()) | (pl.col("new") > _OTHERS).fill_null(False)),
    "volume_usd is more than half of the list's and ten times the value before",
)


def _confirms(jump: Jump, doubted: float | None) -> bool:
    return doubted is not None and abs(math.log(jump.now / doubted)) <= CONFIRMED


def _faults(now: Snapshot, *, is_first: bool) -> Iterator[str]:
    value = VALUES.get(now.series.name)
    marker = now.marker
    sound = marker.assets + marker.duplicates
    if value is None or (is_first and sound < LONG_LIST):
        return
    if sound >= LONG_LIST and marker.duplicates > sound * MOST_DUPLICATES:
        yield f"duplicates: {marker.duplicates} of {sound} rows repeat an id"
    values = now.rows[value].drop_nulls()
    positive = values.filter(values > 0)
    if value == VOLUME and len(values) >= FEWEST_COMPARED and not len(positive):
        yield f"no volume: all {len(values)} volumes are 0"
    if len(positive) >= FEWEST_FOR_ONE_VALUE and not (is_first and value == VOLUME):
        most = positive.value_counts()["count"].to_numpy().max()
        if most * 2 > len(positive):
            yield f"one value: {most} of {len(positive)} assets have the same {value}"


def _compared(now: Snapshot, before: Snapshot) -> Iterator[str]:
    if not len(before.rows):
        return
    both = before.rows.join(now.rows, on=ID, suffix="_now")
    if len(both) * 2 < min(len(now.rows), len(before.rows)):
        yield f"other assets: only {len(both)} of {len(before.rows)} assets are in both lists"
    if BITCOIN in before.rows[ID] and BITCOIN not in now.rows[ID]:
        yield "no Bitcoin: the list before had it"
    same_source = now.marker.source == before.marker.source
    if same_source:
        yield from _places(now, before)
    if same_source or now.series == PRICE:  # sources count volumes over different exchanges
        yield from _steps(both, now, before)


def _places(now: Snapshot, before: Snapshot) -> Iterator[str]:
    """First places that vanished from the front of the list, or are new there."""
    for here, there, verb in ((before, now, "vanished from"), (now, before, "are new in")):
        places = min(PLACES, len(here.rows) // 2)
        front = _first(there, FRONT * places) or there.rows[ID]
        gone = set(_first(here, places)) - set(front)
        if len(gone) > min(PLACES_GONE, places // 2):
            yield f"first places: {len(gone)} of the first {places} {verb} the first {FRONT * places}"


def _first(snapshot: Snapshot, places: int) -> list[int]:
    by = {PRICE.name: "market_cap_usd", VOLUME_RANK.name: VOLUME}.get(snapshot.series.name)
    if by is None or snapshot.rows[by].null_count() == len(snapshot.rows):
        return []
    return snapshot.rows.sort(by, ID, descending=[True, False], nulls_last=True)[ID].head(places).to_list()


def _steps(both: pl.DataFrame, now: Snapshot, before: Snapshot) -> Iterator[str]:
    """Values that moved too far: the median asset, or too many assets."""
    value = VALUES.get(now.series.name)
    if value is None:
        return
    floor = 1.0 if value == VOLUME else 0.0  # a volume of 0 is compared as one dollar
    logs = [both[name].clip(lower_bound=floor).log() for name in (f"{value}_now", value)]
    steps = (logs[0] - logs[1]).abs().drop_nulls()
    step = steps.median()
    bound = allowed_step(now.series.name, now.tick - before.tick)
    if len(both) >= FEWEST_COMPARED and isinstance(step, float) and not step <= bound:
        yield (
            f"median of {value}: moved by a factor of {math.exp(min(step, 700)):.4g} over {len(both)} assets,"
            f" {math.exp(bound):.3g} is the most"
        )
    far = _FAR[now.series.name]
    jumped = (steps > far).sum()
    if jumped > max(1, len(both) * MOST_JUMPS):
        yield f"jumps: {jumped} of {len(both)} assets moved more than {math.exp(far):.0f}-fold in {value}"


def allowed_step(series: str, span: timedelta) -> float:
    """How far the median may move in this time, as a logarithm: it grows with the square root of the time."""
    step, most = _STEPS[series]
    return min(step * math.sqrt(max(abs(span) / MINUTE, 1)), most)
