"""`python -m ingest_rank`."""

from ingest_rank.source import plan
from lib.ingest.service import main

if __name__ == "__main__":
    main("ingest_rank", plan)
