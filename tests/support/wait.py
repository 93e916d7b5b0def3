# SPDX-License-Identifier: Apache-2.0
"""Conditions with deadlines. A test never sleeps for a fixed time: it waits until something is so,
and says what it waited for when it never was."""

import time


class TooLate(AssertionError):
    pass


def wait_for(condition, seconds, what, every=0.01):
    """Returns the first true value of condition(). What it raises as AssertionError or OSError is
    "not yet", and is told when the time is up. `what` may be a function: asked at the end."""
    deadline = time.monotonic() + seconds
    while True:
        last = None
        try:
            value = condition()
            if value:
                return value
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise TooLate(f"not within {seconds} s: {text}" + (f" ({last})" if last else ""))
        time.sleep(every)


def holds_for(condition, seconds, what, every=0.05):
    """The condition is true, and stays so for as long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"no longer so: {what}"
        time.sleep(every)
