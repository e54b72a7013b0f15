"""What can be wrong with alerts: each breaks those of this process, so that a proof is seen to find it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.log import Log
    from pipelines.outbox import Channel
    from pipelines.receivers import Message


def note_before_sending() -> None:
    """A message counts as taken before it is."""
    from pipelines import outbox
    from pipelines.alerts import SENT

    def send_all(log: Log, channel: Channel, left: Sequence[Message], now: datetime) -> tuple[int, str]:
        for message in left:
            about = {"alert": message.id, "receiver": channel.name}
            key = f"{SENT}:{channel.name}:{message.id}"
            log.append_event(SENT, about, known_at=now, author=outbox.AUTHOR, key=key)
            time.sleep(0.2)  # a receiver far away takes as long
            channel.send(message)
        return len(left), ""

    outbox.send_all = send_all


def say_before_writing() -> None:
    """A cause counts as found before it is in the log."""
    from pipelines import alerts

    def stand(self: alerts.Book, findings: Sequence[alerts.Finding], **_: Any) -> None:
        """Nothing is written down."""

    alerts.Book.stand = stand  # type: ignore[method-assign]
