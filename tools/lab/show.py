# SPDX-License-Identifier: Apache-2.0
"""How the lab talks: short lines with the time since its start, tables, colours on a terminal."""

import os
import shutil
import sys
import time

started = time.monotonic()
colors = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

CODES = {"bold": 1, "faint": 2, "red": 31, "green": 32, "yellow": 33, "cyan": 36}


def paint(color, text):
    return f"\033[{CODES[color]}m{text}\033[0m" if colors and color else text


def clean(text):
    """What came from a server must not drive the terminal."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in str(text))


def fit(text, more, taken):
    """The text, and more where both fit on the line, of which so many columns are taken."""
    room = max(shutil.get_terminal_size((100, 24)).columns - taken, 20)
    if more and len(text) + len(more) + 1 <= room:
        return f"{text} {more}"
    return text if len(text) <= room else text[:room - 1] + "…"


def line(text=""):
    print(text, flush=True)


def title(text):
    line()
    line(paint("bold", text))


def step(what, text):
    """One thing that was done, and when."""
    line(f"{time.monotonic() - started:7.1f} s  {paint('cyan', f'{what:<11}')} {text}")


def table(columns, rows):
    """columns: titles; a title that ends in '>' is right-aligned. A cell is text or (color, text)."""
    def text_of(cell):
        return clean(cell[1] if isinstance(cell, tuple) else cell)
    right = [c.endswith(">") for c in columns]
    heads = [c.rstrip(">") for c in columns]
    widths = [max(len(text_of(row[i])) for row in rows + [heads]) for i in range(len(heads))]

    def show(row, head=False):
        cells = []
        for i, cell in enumerate(row):
            text = text_of(cell)
            padded = text.rjust(widths[i]) if right[i] else text.ljust(widths[i])
            color = "faint" if head else cell[0] if isinstance(cell, tuple) else None
            cells.append(paint(color, padded))
        line("  " + "  ".join(cells).rstrip())
    show(heads, head=True)
    for row in rows:
        show(row)
