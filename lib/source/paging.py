"""Asking for the pages of a list until it is complete, or as complete as the upstream makes it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from lib.errors import SourceMalformed
from lib.source.model import Paging
from lib.source.page import Page

MOST_SHORT_PAGES = 30
"""So many pages may be shorter than asked for: an upstream that caps its pages at 200 records gives 5,000 in 25."""

Ask = Callable[[dict[str, int | str], int], Awaitable[Page]]
"""Asks for the page of these parameters; its first records, so many, are known already."""


@dataclass(slots=True)
class _Place:
    """How far a list is read: `position` counts the upstream's records, `got` those that came."""

    position: int = 0
    got: int = 0
    short: int = 0
    total: int | None = None


async def read_pages(name: str, paging: Paging | None, assets: int, ask: Ask) -> list[Page]:
    """The pages that hold the first `assets` records.

    A page that is shorter than asked for is continued from where it ended, until a page brings nothing new, the
    announced total is reached, or the bounds of `MOST_SHORT_PAGES` and of the source file are. SourceMalformed when
    the upstream sends the same full page again and again.
    """
    if paging is None:
        return [await ask({}, 0)]
    pages: list[Page] = []
    seen: set[int] = set()
    place = _Place()
    while len(pages) < paging.most_pages and place.short <= MOST_SHORT_PAGES and not _complete(place, assets):
        size = _size(paging, assets, place.got)
        start = place.position // size * size if paging.by == "page" else place.position
        where = start // size if paging.by == "page" else start
        page = await ask({paging.parameter: paging.first + where, paging.size_parameter: size}, place.position - start)
        if _repeats(page, pages, seen):
            if not place.short:
                raise SourceMalformed(f"{name}: every page is the same: the upstream ignores {paging.parameter!r}")
            pages.append(page.emptied())
            break
        pages.append(page)
        seen.update(page.ids)
        if not page.sent:
            break
        _advance(place, page, paging, start, size)
    return pages


def _complete(place: _Place, assets: int) -> bool:
    return place.got >= assets or (place.total is not None and place.got >= place.total)


def _size(paging: Paging, assets: int, got: int) -> int:
    if paging.exact_size:
        return paging.size
    return min(paging.size, assets if paging.by == "page" else assets - got)  # numbered pages must be of one size


def _advance(place: _Place, page: Page, paging: Paging, start: int, size: int) -> None:
    place.got += page.records
    place.short += page.sent < size
    place.total = page.total if page.total is None or page.total >= place.got else None
    # A numbered page is asked for again where more is announced and it brought something; else the next one is asked.
    goes_on = page.records and (paging.by == "offset" or place.total is not None)
    place.position = place.position + page.records if goes_on else start + size


def _repeats(page: Page, before: Sequence[Page], seen: set[int]) -> bool:
    """Whether a page has no new asset. Of a few records all may have moved from the page before meanwhile."""
    if not before or not page.records or page.records * 2 < before[0].records:
        return False
    return seen.issuperset(page.ids) if page.ids else any(page.rows.equals(each.rows) for each in before)
