#!/usr/bin/env python3
"""Measures the language server over its standard streams, as an editor would feel it.

Usage: lsp_latency.py BINARY [ARGUMENT...], where the arguments are those of `lacuna lsp`. Prints a table, and as its
last line a JSON object. Times are in milliseconds and memory in MiB.
"""

import json
import sys
import time

from client import AUTOMATIC, INVOKED, Server, position, share

IN_FLIGHT = 40
EDITS_UNDER_LOAD = 200
EDITS_FOR_MEMORY = 10_000
FRESH = 40
CACHED = 100
# However unsure the model is, an answer is to have something to measure.
SETTINGS = {"inlineCompletion": {"minConfidence": 0}}
REQUEST_CANCELLED = -32800


def source(number, functions=12):
    """Some Rust, no two of the same, and the line where a body is missing."""
    lines = [f"//! Shapes of kind {number}.", "", f"pub struct Shape{number} {{", "    width: u32,", "    height: u32,", "}", ""]
    for index in range(functions):
        lines += [
            f"/// The area of {index} shapes.",
            f"pub fn area_{number}_{index}(shape: &Shape{number}) -> u32 {{",
            "    let area = shape.width * shape.height;",
            f"    area * {index}",
            "}",
            "",
        ]
    lines += [f"pub fn width_{number}(shape: &Shape{number}) -> u32 {{", "    shape.", "}", ""]
    return "\n".join(lines), len(lines) - 3


def main():
    binary, *arguments = sys.argv[1:] or [None]
    if binary is None:
        raise SystemExit(__doc__)
    server = Server([binary, "lsp", *arguments])
    found = {}

    # From the start to the first completion.
    initialized = server.initialize(SETTINGS)
    found["start_to_initialized"] = server.answer(initialized)[1] + (initialized[1] - server.started) * 1e3
    found["start_to_ready"] = (server.health["ok"] - server.started) * 1e3
    text, line = source(0)
    server.open("file:///first.rs", text)
    first = server.complete("file:///first.rs", line, 10)
    found["start_to_first_completion"] = server.answer(first)[1] + (first[1] - server.started) * 1e3

    # One after the other, each in a document that has not been asked about.
    shown = None
    for trigger, name in ((AUTOMATIC, "automatic"), (INVOKED, "invoked")):
        times, filled = [], 0
        for number in range(FRESH):
            uri = f"file:///{name}/{number}.rs"
            text, line = source(number)
            server.open(uri, text)
            message, took = server.answer(server.complete(uri, line, 10, trigger))
            times.append(took)
            if (message.get("result") or {}).get("items"):
                filled += 1
                shown = (uri, line)
        found[f"fresh_{name}_p50"], found[f"fresh_{name}_p95"] = share(times, 50), share(times, 95)
        found[f"fresh_{name}_with_items"] = filled

    # The same again, where there was something to show.
    found["cached_p50"] = found["cached_p99"] = None
    if shown:
        uri, line = shown
        times = [server.answer(server.complete(uri, line, 10))[1] for _ in range(CACHED)]
        found["cached_p50"], found["cached_p99"] = share(times, 50), share(times, 99)

    # An edit, until an answer shows that it has been taken in, while many requests are under way.
    load = [(f"file:///load/{number}.rs", *source(number)) for number in range(IN_FLIGHT)]
    for uri, text, _ in load:
        server.open(uri, text)
    body, line = source(99)
    server.open("file:///edited.rs", body)
    asked = {uri: server.complete(uri, line, 10) for uri, _, line in load}
    times, in_flight = [], []
    for number in range(EDITS_UNDER_LOAD):
        for uri, _, load_line in load:
            if server.is_answered(asked[uri]):
                asked[uri] = server.complete(uri, load_line, 9 + number % 2)
        in_flight.append(sum(not server.is_answered(request) for request in asked.values()))
        is_hole = number % 2 == 0
        now = time.perf_counter()
        before, after = ("    shape.", "    todo!()") if is_hole else ("    todo!()", "    shape.")
        server.edit("file:///edited.rs", number + 2, (line, 0), (line, len(before)), after)
        message, took = server.answer(server.actions("file:///edited.rs", line, 6))
        times.append((server.answers[message["id"]][0] - now) * 1e3)
        offers_to_fill = any(action["title"] == "Fill this hole" for action in message["result"] or [])
        if offers_to_fill != is_hole:
            raise SystemExit(f"edit {number} has had no effect: {message}")
    found["in_flight_least"] = min(in_flight)
    found["edit_to_effect_p50"], found["edit_to_effect_p99"] = share(times, 50), share(times, 99)

    # A cancellation, until its request is answered.
    times = []
    for uri, _, load_line in load:
        if server.is_answered(asked[uri]):
            asked[uri] = server.complete(uri, load_line, 9)
        now = time.perf_counter()
        server.notify("$/cancelRequest", {"id": asked[uri][0]})
        message, _ = server.answer(asked[uri])
        if message.get("error", {}).get("code") == REQUEST_CANCELLED:
            times.append((server.answers[message["id"]][0] - now) * 1e3)
    found["cancelled"] = len(times)
    found["cancel_p50"], found["cancel_p99"] = share(times, 50), share(times, 99)

    # Memory. An answer at the end says that all edits have been taken in.
    long_text, line = source(7, functions=400)
    server.open("file:///memory.rs", long_text)
    server.answer(server.actions("file:///memory.rs", 0, 0))
    found["memory_before_edits"] = server.memory("VmRSS")
    begun = time.perf_counter()
    for number in range(EDITS_FOR_MEMORY):
        server.edit("file:///memory.rs", number + 2, (line, 10 + number % 80), (line, 10 + number % 80), "x")
        if number % 80 == 79:
            server.edit("file:///memory.rs", number + 2, (line, 10), (line, 90), "")
    server.answer(server.actions("file:///memory.rs", 0, 0))
    found["per_edit_of_ten_thousand"] = (time.perf_counter() - begun) * 1e3 / EDITS_FOR_MEMORY
    found["memory_after_edits"] = server.memory("VmRSS")

    # Documents and lines of a size that few have. The request needs no tree: what is timed is the edit.
    def time_edits(uri, line, character):
        times = []
        for number in range(50):
            now = time.perf_counter()
            server.edit(uri, number + 2, (line, character), (line, character), "x")
            params = {"textDocument": {"uri": uri}, "range": {"start": position(0, 0), "end": position(0, 0)}}
            request = server.ask(
                "textDocument/codeAction", {**params, "context": {"diagnostics": [], "only": ["quickfix"]}}
            )
            message, _ = server.answer(request)
            times.append((server.answers[message["id"]][0] - now) * 1e3)
        return share(times, 50)

    server.open("file:///long.rs", "".join(f"const A{number}: u32 = {number};\n" for number in range(100_000)))
    found["edit_in_100k_lines_p50"] = time_edits("file:///long.rs", 50_000, 6)
    server.open("file:///wide.rs", "//" + "漢x" * 250_000)
    found["edit_in_1_mb_line_p50"] = time_edits("file:///wide.rs", 0, 250_000)
    found["memory_at_the_end"], found["memory_peak"] = server.memory("VmRSS"), server.memory("VmHWM")

    found["exit_code"] = server.end()

    found = {name: round(value, 3) if isinstance(value, float) else value for name, value in found.items()}
    for name, value in found.items():
        print(f"{name:28} {value if value is not None else 'nothing to measure':>12}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
