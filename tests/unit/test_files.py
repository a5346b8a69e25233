"""What holds of every source file."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("lib", "ingest_price", "ingest_rank", "query_api", ".ci")
KINDS = (".py", ".js", ".css", ".toml", ".html", ".sh", "")
MOST_LINES = 250


def test_no_source_file_outside_tests_has_more_than_250_lines():
    files = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file() and path.suffix in KINDS]
    lines = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in files}
    assert len(lines) > 200
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
