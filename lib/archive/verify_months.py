"""`topcoins archive verify`: are the sealed months as they were sealed? Their days have all that they have."""

from collections.abc import AsyncIterator

from lib.archive.months import FOLDER, MANIFESTS, read_month
from lib.archive.objects import Objects
from lib.archive.parts import sound_part
from lib.archive.verify import Fault
from lib.errors import Malformed


async def verify_months(objects: Objects) -> AsyncIterator[tuple[str, list[Fault]]]:
    """Each sealed month, such as `2026-11`, with its faults; oldest first."""
    for name in await objects.names(MANIFESTS):
        yield name.rpartition("=")[2].removesuffix(".json"), await _faults(objects, name)


async def _faults(objects: Objects, name: str) -> list[Fault]:
    try:
        month = await read_month(objects, name)
    except Malformed as exc:
        return [Fault(name, str(exc))]
    with objects.copies() as folder:
        parts = [part for part in month.parts if await sound_part(objects, part, folder) is None]
    return [Fault(part.name, "it is not what was sealed, or is missing") for part in parts]


async def delete_month(objects: Objects, month: str) -> None:
    """Delete a damaged month, its manifest last: a damaged part without one would be adopted.

    The archiver seals it again from its days.
    """
    names = [name for name in await objects.names(FOLDER.rstrip("/")) if f"month={month}" in name]
    for name in sorted(names, key=lambda name: name.startswith(MANIFESTS)):
        await objects.delete(name)
