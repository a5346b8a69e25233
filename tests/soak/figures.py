"""What a soak saw: answers by kind and status, memory over time, and whether every snapshot is accounted for."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

MIB = 2**20
WARM = 0.1
"""This part of a process's life is its warm-up."""
GROWTH = 32 * MIB
"""A process may use this much more memory at the end than after its warm-up."""
SHORTEST_LIFE_S = 120.0
"""The memory of a process that lived shorter is not judged."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of a process, some seconds after its start."""

    at: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Account:
    """Where a series' snapshots are, each counted by itself: the markers in the store, the files in the spool."""

    fetched: int
    stored: int
    spooled: int
    dropped: int

    @property
    def whole(self) -> bool:
        """Whether none is lost and none invented."""
        return self.fetched == self.stored + self.spooled + self.dropped


@dataclass(slots=True)
class Seen:
    """Everything that was noted."""

    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)
    lives: dict[str, list[list[Memory]]] = field(default_factory=lambda: defaultdict(list))

    def answer(self, kind: str, status: int | str, seconds: float) -> None:
        """Record an answer, or the failure in its place."""
        self.statuses[kind][str(status)] += 1
        self.took[kind].append(seconds)
        if isinstance(status, int) and status >= 500 and status != 503:
            self.wrong.append(f"{kind}: HTTP {status}")

    def fault(self, kind: str, what: str) -> None:
        """Record what must not happen."""
        self.statuses[kind]["wrong"] += 1
        self.wrong.append(f"{kind}: {what}")


def at(life: Sequence[Memory], part: float) -> int:
    """Memory at this part of a life."""
    return life[min(int(len(life) * part), len(life) - 1)].bytes


def slope(life: Sequence[Memory]) -> float:
    """Bytes an hour after the warm-up, by least squares."""
    rest = life[int(len(life) * WARM) :]
    mean_at = sum(one.at for one in rest) / len(rest)
    mean = sum(one.bytes for one in rest) / len(rest)
    spread = sum((one.at - mean_at) ** 2 for one in rest)
    return 3600 * sum((one.at - mean_at) * (one.bytes - mean) for one in rest) / spread if spread else 0.0


def longest(lives: Iterable[Sequence[Memory]]) -> Sequence[Memory]:
    """The life with the most samples."""
    return max(lives, key=len)


def verdict(seen: Seen, accounts: Mapping[str, Account]) -> list[str]:
    """What is wrong; empty when all is well."""
    found = [f"{times} times {what}" for what, times in Counter(seen.wrong).most_common(20)]
    for name, account in accounts.items():
        if not account.whole:
            found.append(f"{name}: {account} does not add up")
        if not account.stored:
            found.append(f"{name}: nothing was stored")
    for name, lives in seen.lives.items():
        life = longest(lives)
        if life[-1].at >= SHORTEST_LIFE_S and at(life, 1.0) - at(life, WARM) > GROWTH:
            found.append(f"{name}: grew from {at(life, WARM) / MIB:.0f} to {at(life, 1.0) / MIB:.0f} MiB")
    return found


def table(seen: Seen, accounts: Mapping[str, Account]) -> str:
    """All of it for people."""
    lines = [f"{'asked':12} {'answers':>8} {'p50 ms':>8} {'p95 ms':>8}  by status"]
    for kind, statuses in sorted(seen.statuses.items()):
        took = sorted(seen.took[kind]) or [0.0]
        cell = ", ".join(f"{status}: {times}" for status, times in sorted(statuses.items()))
        p50, p95 = (took[len(took) * part // 100] * 1e3 for part in (50, 95))
        lines.append(f"{kind:12} {sum(statuses.values()):8} {p50:8.1f} {p95:8.1f}  {cell}")
    lines += ["", f"{'process':14} {'lives':>5} {'longest':>8} {'10%':>7} {'50%':>7} {'100%':>7} {'MiB/h':>7}"]
    for name, lives in sorted(seen.lives.items()):
        life = longest(lives)
        held = " ".join(f"{at(life, part) / MIB:7.1f}" for part in (WARM, 0.5, 1.0))
        lines.append(f"{name:14} {len(lives):5} {life[-1].at / 60:6.1f} m {held} {slope(life) / MIB:7.2f}")
    lines += ["", f"{'series':14} {'fetched':>8} = {'stored':>8} + {'spooled':>8} + {'dropped':>8}"]
    for name, one in accounts.items():
        cell = f"{one.fetched:8} = {one.stored:8} + {one.spooled:8} + {one.dropped:8}"
        lines.append(f"{name:14} {cell}  {'true' if one.whole else 'FALSE'}")
    return "\n".join(lines)
