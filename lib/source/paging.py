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

    A page that is shorter than asked for is continued from where it ended, until an empty page, the announced total,
    or the bounds of `MOST_SHORT_PAGES` and of the source file. SourceMalformed when pages only repeat earlier ones.
    """
    if paging is None:
        return [await ask({}, 0)]
    pages: list[Page] = []
    seen: set[int] = set()
    place = _Place()
    while len(pages) < paging.most_pages and place.short <= MOST_SHORT_PAGES and not _complete(place, assets):
        size = _size(paging, assets, place.got)
        start = place.position // size * size if paging.by == "page" else place.position
        number = start // size if paging.by == "page" else start
        page = await ask({paging.parameter: paging.first + number, paging.size_parameter: size}, place.position - start)
        _refuse_repeated(name, paging, page, seen, pages)
        pages.append(page)
        seen.update(page.ids)
        if not page.sent:
            break
        _advance(place, page, start, size)
    return pages


def _complete(place: _Place, assets: int) -> bool:
    return place.got >= assets or (place.total is not None and place.got >= place.total)


def _size(paging: Paging, assets: int, got: int) -> int:
    if paging.exact_size:
        return paging.size
    return min(paging.size, assets if paging.by == "page" else assets - got)  # numbered pages must be of one size


def _advance(place: _Place, page: Page, start: int, size: int) -> None:
    place.got += page.records
    place.short += page.sent < size
    # A page that was asked for again and brought nothing new is done; otherwise go on where the records ended.
    place.position = place.position + page.records if page.records else start + size
    place.total = page.total if page.total is None or page.total >= place.got else None


def _refuse_repeated(name: str, paging: Paging, page: Page, seen: set[int], before: Sequence[Page]) -> None:
    """An asset may move to the next page meanwhile, so that a few records come twice; a whole page may not."""
    if not before or page.records * 2 < before[0].records:
        return
    known = seen.issuperset(page.ids) if page.ids else any(page.rows.equals(each.rows) for each in before)
    if page.records and known:
        raise SourceMalformed(
            f"{name}: a page repeats the records of those before it: the upstream ignores {paging.parameter!r};"
            " leave out [paging] where one answer holds the whole list"
        )
