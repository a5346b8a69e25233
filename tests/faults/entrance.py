"""What comes in and is wrong, for the random run: scripts of the simulator's faults, and steps of a clock."""

from datetime import timedelta

WRONG = timedelta(seconds=6)
"""A clock that is off by more than this is refused while fetches take less than a second."""

STEPS = [
    sign * step
    for step in (timedelta(seconds=3), timedelta(seconds=20), timedelta(hours=3), timedelta(days=40))
    for sign in (1, -1)
]


def script(kind: str, count: int, **values: object) -> str:
    """A fault script: the first requests of each path meet this fault."""
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    return "\n".join(["[[fault]]", f"kind = {kind!r}", f"count = {count}", *lines, ""])


POISONED = {
    f"a poisoned list: {poison}": script("poisoned", 2, poison=poison)
    for poison in ("prices", "no_bitcoin", "no_volumes")
}
"""Two of each, because three that agree set the new level."""
BOMBS = {f"a bomb, compressed {codings} times": script("bomb", 3, bytes=2**32, codings=codings) for codings in (1, 2)}
COOKIES = {"cookies": script("cookie", 1_000_000)}
