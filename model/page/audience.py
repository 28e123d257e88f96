"""Who waits for an answer, so that nothing is drawn for nobody while others have to wait for their turn."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

PATIENCE = 3  # seconds that a caller may take from asking to listening, before those who listen go first


class Audience(Counter[str]):
    """How many listen to the answers of each session and event."""

    def hears(self, event: Any) -> bool:
        """Whether someone listens to the answer of an event of Gradio's queue."""
        return event.session_hash in self or event._id in self

    def waits_for(self, queue: Any, event_id: str | None) -> Callable[[], bool]:
        """Tells from now on whether an event of Gradio's queue is worth its work: someone listens to its answer, or
        nobody who does waits for a turn. What did not come through the queue always is."""
        event = queue.event_ids_to_events.get(event_id) if queue is not None else None  # an empty one is false
        if event is None:
            return lambda: True

        def wanted() -> bool:
            if not event.alive:
                return False
            if self.hears(event) or time.monotonic() < event.enqueue_time + PATIENCE:
                return True
            queued = [other for line in queue.event_queue_per_concurrency_id.values() for other in line.queue]
            return not any(map(self.hears, queued))

        return wanted
