#!/usr/bin/env python3
"""Measures the language server over its standard streams, as an editor would feel it.

Usage: lsp_latency.py BINARY [ARGUMENT...], where the arguments are those of `lacuna lsp`. Prints a table, and as its
last line a JSON object. Times are in milliseconds and memory in MiB.
"""

import json
import pathlib
import subprocess
import sys
import threading
import time

IN_FLIGHT = 40
EDITS_UNDER_LOAD = 200
EDITS_FOR_MEMORY = 10_000
FRESH = 40
CACHED = 100
INVOKED, AUTOMATIC = 1, 2
CAPABILITIES = {
    "textDocument": {
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["refactor.rewrite"]}},
            "dataSupport": True,
            "resolveSupport": {"properties": ["edit"]},
        }
    },
    "workspace": {"workspaceEdit": {"documentChanges": True}},
}
# However unsure the model is, an answer is to have something to measure.
SETTINGS = {"inlineCompletion": {"minConfidence": 0}}
REQUEST_CANCELLED = -32800


class Server:
    """A server process. Every answer is kept with the time at which it came."""

    def __init__(self, command):
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.changed = threading.Condition()
        self.answers = {}
        self.health = {}
        self.last_id = 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            length = None
            while line := self.process.stdout.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if length is None:
                return
            message = json.loads(self.process.stdout.read(length))
            now = time.perf_counter()
            with self.changed:
                if "method" not in message:
                    if message["id"] in self.answers:
                        raise SystemExit(f"a second answer: {message}")
                    self.answers[message["id"]] = (now, message)
                elif message["method"] == "lacuna/status":
                    self.health[message["params"]["health"]] = now
                elif "id" in message:
                    self.send(id=message["id"], result=None)
                self.changed.notify_all()

    def send(self, **message):
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def notify(self, method, params):
        self.send(method=method, params=params)

    def ask(self, method, params=None):
        """Sends a request, and gives its id and when that was."""
        self.last_id += 1
        now = time.perf_counter()
        self.send(id=self.last_id, method=method, **({} if params is None else {"params": params}))
        return self.last_id, now

    def answer(self, asked):
        """Waits for an answer, and gives it with how long it took."""
        request, since = asked
        with self.changed:
            if not self.changed.wait_for(lambda: request in self.answers, timeout=120):
                raise SystemExit(f"request {request} is not answered")
            at, message = self.answers[request]
        return message, (at - since) * 1e3

    def is_answered(self, asked):
        with self.changed:
            return asked[0] in self.answers

    def memory(self, field):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        raise SystemExit(f"no {field} in the process's status")

    # What editors say.

    def open(self, uri, text):
        document = {"uri": uri, "languageId": "rust", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def edit(self, uri, version, start, end, text):
        change = {"range": {"start": position(*start), "end": position(*end)}, "text": text}
        self.notify(
            "textDocument/didChange",
            {"textDocument": {"uri": uri, "version": version}, "contentChanges": [change]},
        )

    def complete(self, uri, line, character, trigger=AUTOMATIC):
        params = {"textDocument": {"uri": uri}, "position": position(line, character)}
        return self.ask("textDocument/inlineCompletion", {**params, "context": {"triggerKind": trigger}})

    def actions(self, uri, line, character):
        at = position(line, character)
        params = {"textDocument": {"uri": uri}, "range": {"start": at, "end": at}, "context": {"diagnostics": []}}
        return self.ask("textDocument/codeAction", params)


def position(line, character):
    return {"line": line, "character": character}


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


def share(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else None


def main():
    binary, *arguments = sys.argv[1:] or [None]
    if binary is None:
        raise SystemExit(__doc__)
    server = Server([binary, "lsp", *arguments])
    found = {}

    # From the start to the first completion.
    parameters = {"processId": None, "rootUri": None, "capabilities": CAPABILITIES, "initializationOptions": SETTINGS}
    initialized = server.ask("initialize", parameters)
    found["start_to_initialized"] = server.answer(initialized)[1] + (initialized[1] - server.started) * 1e3
    server.notify("initialized", {})
    with server.changed:
        if not server.changed.wait_for(lambda: "ok" in server.health, timeout=300):
            raise SystemExit(f"the model is not there: {list(server.health)}")
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

    server.answer(server.ask("shutdown"))
    server.notify("exit", None)
    found["exit_code"] = server.process.wait(timeout=10)

    found = {name: round(value, 3) if isinstance(value, float) else value for name, value in found.items()}
    for name, value in found.items():
        print(f"{name:28} {value if value is not None else 'nothing to measure':>12}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
