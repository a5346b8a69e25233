"""At most ten lines of one kind a second are logged, and the others are counted."""

import logging
from collections.abc import Callable

import pytest

from lib.line_limit import COUNT, LineLimit


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Watch:
    """Seconds that are set by hand, and what is called after some."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[Callable[[], None]] = []

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        self.due.append(work)

    def move(self, seconds: float) -> None:
        self.now += seconds
        due, self.due = self.due, []
        for work in due:
            work()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def lines(watch) -> Lines:
    handler = Lines()
    handler.addFilter(LineLimit(handler, timer=lambda: watch.now, later=watch.later))
    return handler


def send(lines: Lines, message: object, times: int = 1, *, level: int = logging.WARNING, line: int = 1) -> None:
    for _ in range(times):
        lines.handle(logging.LogRecord("some.logger", level, "file.py", line, message, (), None))


def counts(lines: Lines) -> list[tuple[object, object]]:
    return [(vars(each)["kind"], vars(each)["lines"]) for each in lines.records if each.msg == COUNT]


def test_ten_lines_of_a_kind_a_second_are_logged_and_then_a_count(lines, watch):
    send(lines, {"event": "refused"}, 5000)
    assert len(lines.records) == 10
    watch.move(1)
    assert counts(lines) == [("refused", 4990)]
    assert lines.records[-1].levelname == "WARNING"
    assert lines.records[-1].name == "some.logger"


def test_after_a_count_the_kind_is_logged_again(lines, watch):
    send(lines, {"event": "refused"}, 11)
    watch.move(1)
    send(lines, {"event": "refused"})
    assert [each.msg for each in lines.records].count({"event": "refused"}) == 11


def test_ten_lines_a_second_are_never_counted(lines, watch):
    for _ in range(5):
        send(lines, {"event": "tick"}, 10)
        watch.move(1)
    assert len(lines.records) == 50
    assert not watch.due


def test_another_event_or_level_is_another_kind(lines):
    send(lines, {"event": "refused"}, 20)
    send(lines, {"event": "tick"})
    send(lines, {"event": "refused"}, level=logging.ERROR)
    assert len(lines.records) == 12


def test_another_librarys_lines_are_of_one_kind_where_one_place_in_its_code_logs_them(lines, watch):
    for number in range(30):
        send(lines, f"bad request {number}", line=7)
    send(lines, "something else", line=8)
    assert len(lines.records) == 11
    watch.move(1)
    assert counts(lines) == [("bad request 0", 20)]


def test_a_count_that_no_thread_could_write_comes_with_the_next_line(lines, watch):
    send(lines, {"event": "refused"}, 12)
    watch.due.clear()
    watch.move(4)
    send(lines, {"event": "refused"})
    assert counts(lines) == [("refused", 2)]


def test_the_end_of_the_process_writes_the_counts(lines):
    send(lines, {"event": "refused"}, 12)
    (limit,) = lines.filters
    assert isinstance(limit, LineLimit)
    limit.flush()
    assert counts(lines) == [("refused", 2)]
