"""`python -m ingest_price`: fills `price`. A tick runs in `lib/ingest/tick.py`."""

from ingest_price.source import plan
from lib.ingest.service import main

if __name__ == "__main__":
    main("ingest_price", plan)
