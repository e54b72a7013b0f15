import io
import logging
import time
from collections.abc import Callable

from pipelines.progress import BehindProgress, Progress, ProgressHandler


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def seconds(*moments: float) -> Callable[[], float]:
    left = iter(moments)
    return lambda: next(left)


def test_what_is_done_within_two_seconds_shows_nothing() -> None:
    stream = io.StringIO()
    progress = Progress(stream, clock=seconds(0.0, 1.0, 1.9))
    progress("one")
    progress("two")
    assert stream.getvalue() == ""


def test_elsewhere_than_on_a_terminal_a_line_comes_every_ten_seconds() -> None:
    stream = io.StringIO()
    progress = Progress(stream, clock=seconds(0.0, 3.0, 8.0, 12.9, 13.0))
    for text in ("one", "two", "three", "four"):
        progress(text)
    assert stream.getvalue() == "3 s: one\n13 s: four\n"


def test_on_a_terminal_one_line_changes_and_is_taken_away_at_the_end() -> None:
    stream = Terminal()
    with Progress(stream, clock=seconds(0.0, 3.0, 3.5, *range(4, 100))) as progress:
        progress("one")
        progress("two")
    assert stream.getvalue().startswith("\r\x1b[K3 s: one\r\x1b[K4 s: two")
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_long_line_stays_on_one_line_of_the_terminal() -> None:
    stream = Terminal()
    Progress(stream, clock=seconds(0.0, 3.0))("x" * 10_000)
    assert len(stream.getvalue()) < 1000


def test_quiet_is_quiet() -> None:
    stream = Terminal()
    with Progress(stream, quiet=True, clock=seconds(0.0, 30.0, 60.0)) as progress:
        progress("one")
        progress.tick()
    assert stream.getvalue() == ""


def test_the_seconds_move_while_the_work_is_silent() -> None:
    stream = io.StringIO()
    moments = iter([0.0, 5.0, *(20.0 * k for k in range(1, 1000))])
    with Progress(stream, clock=lambda: next(moments)):
        deadline = time.monotonic() + 20
        while not stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert stream.getvalue().startswith("5 s: working\n")


def test_what_is_logged_is_progress() -> None:
    stream = io.StringIO()
    handler = ProgressHandler(Progress(stream, clock=seconds(0.0, 3.0)))
    handler.handle(logging.makeLogRecord({"msg": "epoch %d", "args": (3,), "levelno": logging.INFO}))
    assert stream.getvalue() == "3 s: epoch 3\n"


def test_a_warning_does_not_stand_behind_a_half_written_line() -> None:
    stream = Terminal()
    progress = Progress(stream, clock=seconds(0.0, 3.0))
    progress("one")
    BehindProgress(stream, progress).handle(logging.makeLogRecord({"msg": "careful"}))
    assert stream.getvalue() == "\r\x1b[K3 s: one\r\x1b[Kcareful\n"
