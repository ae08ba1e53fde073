"""Draws what `lacuna fill --watch` shows in a terminal, as an SVG: a few of its frames, one under the other.

    python docs/render_watch.py target/release/lacuna docs/watch.svg FILE --at LINE:COL [more options of fill]

The program runs in a pseudo terminal. A frame is what stands between the escape sequences that begin and end
a synchronized update, so nothing here knows what a frame holds. Needs nothing but Python on Unix.
"""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from html import escape

COLUMNS, ROWS = 92, 40
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 18, 16
BACKGROUND, FOREGROUND, GREEN, RULE = "#16181d", "#c8ccd4", "#7ee787", "#30343c"
FRAME = re.compile(rb"\x1b\[\?2026h(.*?)\x1b\[\?2026l", re.DOTALL)
ESCAPE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


def main() -> None:
    program, output, *arguments = sys.argv[1:]
    frames = [frame.decode() for frame in FRAME.findall(record([program, "fill", "--watch", *arguments]))]
    # The first is shown before there is a draft; the last is the result.
    drafts, result = frames[1:-1], frames[-1]
    chosen = [drafts[0], drafts[len(drafts) // 2], result] if len(drafts) > 2 else [*drafts, result]
    with open(output, "w", encoding="utf-8") as file:
        file.write(svg([cells(frame) for frame in chosen]))
    print(f"{len(frames)} frames, {len(chosen)} of them in {output}")


def record(command: list[str]) -> bytes:
    """All that the command writes to a terminal."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color")
        os.environ.pop("NO_COLOR", None)
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        os.execv(command[0], command)
    written = b""
    while True:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:
            break
        if not part:
            break
        written += part
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise SystemExit(f"the program failed: {written.decode(errors='replace')}")
    return written


def cells(frame: str) -> list[list[tuple[str, str]]]:
    """Rows of runs of text, each with its style."""
    rows = []
    for line in frame.split("\r\n"):
        runs, bold, dim, green, at = [], False, False, False, 0
        line = line.replace("\r", "")
        for found in ESCAPE.finditer(line):
            runs.append((line[at:found.start()], style(bold, dim, green)))
            at = found.end()
            if found[2] == "m":
                code = found[1]
                if code in ("", "0"):
                    bold = dim = green = False
                elif code == "1":
                    bold = True
                elif code == "2":
                    dim = True
                elif code.startswith("38;5;") or code in ("32", "92"):
                    green = True
        runs.append((line[at:], style(bold, dim, green)))
        rows.append([run for run in runs if run[0]])
    return rows


def style(bold: bool, dim: bool, green: bool) -> str:
    parts = [f"fill:{GREEN if green else FOREGROUND}"]
    if bold:
        parts.append("font-weight:bold")
    if dim:
        parts.append("opacity:0.45")
    return ";".join(parts)


def svg(frames: list) -> str:
    height = sum(len(frame) + 1 for frame in frames) * CELL_HEIGHT + MARGIN
    width = COLUMNS * CELL_WIDTH + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">',
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="14" '
        'xml:space="preserve">',
    ]
    top = MARGIN
    for index, frame in enumerate(frames):
        if index > 0:
            y = top - CELL_HEIGHT / 2
            lines.append(f'<path d="M{MARGIN} {y}H{width - MARGIN:.0f}" stroke="{RULE}"/>')
        for row in frame:
            top += CELL_HEIGHT
            column = 0
            for text, look in row:
                # Every run is placed and stretched by itself, so that fonts of other widths keep the columns.
                x, length = MARGIN + column * CELL_WIDTH, len(text) * CELL_WIDTH
                if text.strip():
                    lines.append(
                        f'<text x="{x:.1f}" y="{top - 4}" textLength="{length:.1f}" style="{look}">{escape(text)}</text>'
                    )
                column += len(text)
        top += CELL_HEIGHT
    lines.append("</g>\n</svg>\n")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
