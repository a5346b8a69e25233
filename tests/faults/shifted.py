"""A wall clock for one process that the run sets while the process runs. It needs a C compiler and Linux."""

import shutil
import struct
import subprocess
from datetime import timedelta
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock_shift.c")


def compiler() -> str | None:
    """A C compiler, where there is one."""
    return shutil.which("cc") or shutil.which("gcc")


class ShiftedClock:
    """The clock of a process that is started with `environ`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._offset = folder / f"{name}.clock"
        self._library = folder / "clock_shift.so"
        self._offset.write_bytes(struct.pack("d", 0.0))
        if not self._library.exists():
            subprocess.run(
                [compiler() or "cc", "-shared", "-fPIC", "-O2", "-o", self._library, _SOURCE, "-ldl"], check=True
            )

    @property
    def environ(self) -> dict[str, str]:
        """The variables that give a process this clock."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_SHIFT": str(self._offset)}

    def set(self, step: timedelta) -> None:
        """From now on the process's clock differs from the machine's by this."""
        with self._offset.open("r+b") as file:  # the same file: the process has it mapped
            file.write(struct.pack("d", step.total_seconds()))
