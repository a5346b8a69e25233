"""`python -m ingest_price`."""

from ingest_price.source import plan
from lib.ingest.service import main

if __name__ == "__main__":
    main("ingest_price", plan)
