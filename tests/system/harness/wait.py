"""Waiting for a condition, with a deadline; never for a time."""

import time

from .build import SCALE


def wait_for(condition, what="a condition", timeout=20):
    """The first true value of condition(). `what` is named when it did not come in `timeout` seconds."""
    end = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {timeout * SCALE} s for {what}"
        time.sleep(0.02)  # the rate of looking, not a synchronization
