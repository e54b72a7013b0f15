"""The event loop looks for more requests only where they come at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from pipelines.busy_polling import BusyPolling

SECONDS, TURN = 0.01, 0.001


class Loop:
    """An event loop that only counts, on a clock of its own: a turn takes a thousandth."""

    def __init__(self) -> None:
        self.now = 100.0
        self.turns = 0
        self._soon: deque[Callable[[], None]] = deque()
        self.polling = BusyPolling(self._soon.append, seconds=SECONDS, clock=lambda: self.now)

    def run(self, seconds: float) -> int:
        """Lets time pass; returns how often the loop was kept from sleeping."""
        end, before = self.now + seconds, self.turns
        while self.now < end - 1e-9:
            for _ in range(len(self._soon)):
                self._soon.popleft()()
                self.turns += 1
            self.now += TURN
        return self.turns - before

    def ask(self, after: float) -> int:
        """A request after some seconds, answered at once; returns the turns until it came."""
        turns = self.run(after)
        self.polling.asked()
        self.polling.answered()
        return turns


def test_it_looks_while_a_client_asks_again_at_once() -> None:
    loop = Loop()
    loop.ask(after=1.0)
    assert loop.ask(after=0.005) == 0  # nobody knew yet
    assert [loop.ask(after=0.005) for _ in range(5)] == [5] * 5


def test_it_sleeps_where_requests_come_further_apart() -> None:
    loop = Loop()
    assert [loop.ask(after=0.1) for _ in range(20)] == [0] * 20


def test_it_looks_for_a_moment_and_then_sleeps() -> None:
    loop = Loop()
    loop.ask(after=1.0)
    loop.ask(after=0.005)
    assert loop.run(1.0) == pytest.approx(SECONDS / TURN, abs=1)
    assert loop.run(1.0) == 0


def test_after_some_looks_in_vain_it_gives_up_until_a_client_asks_at_once() -> None:
    loop = Loop()
    loop.ask(after=1.0)
    loop.ask(after=0.005)
    looked = [loop.ask(after=0.1) > 0 for _ in range(8)]
    assert looked == [True] * 3 + [False] * 5
    loop.ask(after=0.005)
    assert loop.ask(after=0.1) > 0


def test_many_answers_in_one_turn_are_one_look() -> None:
    loop = Loop()
    loop.ask(after=1.0)
    for _ in range(10):
        loop.ask(after=0.0)
    assert loop.run(SECONDS / 2) == 5
