"""Subscribers of the stream, who come back at random cursors, during all that happens to the gateway. Each writes down what it saw;
what is in the stream at the end must be the same."""

import json
import random
import re
import subprocess
import threading

from harness.build import BIN


def number_of(cursor):
    """The place in the one gateway of a cursor: of all gateways of a database, "2:GATEWAY:NUMBER.", or of one, "GATEWAY:NUMBER"."""
    return int(cursor.rstrip(".").rsplit(":", 1)[1])


class Subscriber:
    """Follows by `usherctl audit tail`, leaves after some events or when the gateway goes, and comes back: where it stopped, or at a
    cursor that it has seen before, and then what it saw before must come again."""

    def __init__(self, gateway, first_cursor, seed):
        self.gateway, self.rng = gateway, random.Random(seed)
        self.cursor = first_cursor
        self.seen = {}  # sequence -> the event, but for its cursor: that says what was known of other gateways, too
        self.connects = 0
        self.wrong = []
        self.over = threading.Event()
        self.process = None
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            cursor = self.cursor
            if self.seen and self.rng.random() < 0.4:
                back = self.rng.randrange(1, min(len(self.seen), 200) + 1)
                cursor = re.sub(r"\d+(\.?)$", rf"{max(0, number_of(cursor) - back)}\1", cursor)
            self._follow(cursor, self.rng.randrange(1, 400))
            self.over.wait(0.05)  # a gateway that is down is not asked without a pause

    def _follow(self, cursor, most):
        with self.lock:
            if self.over.is_set():
                return
            self.process = subprocess.Popen(
                [BIN / "usherctl", "--socket", self.gateway.data_dir / "control.sock", "audit", "tail", "--follow", "--after",
                 cursor, "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # fmt: skip
        expected = number_of(cursor) + 1
        count = 0
        try:
            for line in self.process.stdout:
                if not line.endswith("\n"):
                    break  # cut in the middle: not seen
                try:
                    event = json.loads(line)
                except ValueError:
                    self.wrong.append(f"not an event: {line[:200]!r}")
                    break
                sequence = int(event.get("sequence", 0))
                if sequence != expected:
                    self.wrong.append(f"after cursor {cursor}: expected event {expected}, got {line[:300]!r}")
                    break
                cursor_behind = event.pop("cursor")
                if self.seen.setdefault(sequence, event) != event:
                    self.wrong.append(f"event {sequence} was {self.seen[sequence]!r} and is {event!r}")
                if sequence > number_of(self.cursor):
                    self.cursor = cursor_behind
                expected, count = expected + 1, count + 1
                if count >= most:
                    break
        finally:
            self.connects += count > 0
            self._end()

    def _end(self):
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()

    def stop(self):
        with self.lock:
            self.over.set()
            if self.process is not None and self.process.poll() is None:
                self.process.kill()
        self.thread.join(60)
        assert not self.thread.is_alive(), "a subscriber does not end"

    def compare(self, events):
        """What is wrong, given the stream as it is at the end: sequence -> event."""
        wrong = list(self.wrong)
        for sequence, event in self.seen.items():
            if sequence not in events:
                wrong.append(f"a subscriber saw event {sequence}, which is gone: {event!r}")
            elif {**events[sequence], "cursor": None} != {**event, "cursor": None}:
                wrong.append(f"a subscriber saw event {sequence} as {event!r}; it is {events[sequence]!r}")
        return wrong
