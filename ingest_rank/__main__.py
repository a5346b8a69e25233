"""`python -m ingest_rank`: fills `volume_rank`. A tick runs in `lib/ingest/tick.py`."""

from ingest_rank.source import checked, plan
from lib.ingest.service import main

if __name__ == "__main__":
    main("ingest_rank", plan, checked)
