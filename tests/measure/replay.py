#!/usr/bin/env python3
"""Types a recorded trace into the language server as an editor does, and takes what is offered where it is right.

Usage: replay.py BINARY [--speed N] [--minutes N] [--soak N] [--kill] [-- ARGUMENT...], where the arguments are those of
`lacuna lsp`, and `fixtures/replay/trace.jsonl.gz` is what is typed.

--speed types so many times as fast, and the server's pause before it computes is so much shorter; --minutes ends it so
many minutes of the trace later. --soak asks for so many completions afterwards, one after the other, at ends of lines of the
files. --kill has a second server load the model first, so that this one shares it (which needs `-- --model DIR`), and
ends that server in the middle, by SIGKILL.

What is offered counts as shown once, however long it stays while it is typed. It is kept if all of it is what is typed
next: then one key takes it, as soon as it has been on the screen for 100 ms of the trace. If only its first words are, they
are taken one by one, a key each. Saved are the keys that need not be pressed. Prints what the server itself has counted, a table,
and as its last line a JSON object; times are in milliseconds and memory in MiB.
"""

import argparse
import gzip
import hashlib
import json
import pathlib
import random
import re
import subprocess
import sys
import time

from client import Server, position, share

TRACE = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "replay" / "trace.jsonl.gz"
DEBOUNCE_MS = 75
# Whoever has read it so long has seen that it is right.
READ_MS = 100
# An answer that takes no longer was known, or is what is left of one.
KNOWN_MS = 10
# A word that is shorter is typed as fast as it is taken.
WORD_MIN = 3
SOAK_SEED = 1


class Document:
    """A file as the server has it."""

    def __init__(self, server, name, language, text):
        self.server, self.uri, self.version, self.lines = server, f"file:///replay/{name}", 1, text.split("\n")
        server.open(self.uri, text, language)

    def text(self):
        return "\n".join(self.lines)

    def replace(self, start, end, text):
        """Replaces a range and gives the caret behind what came there."""
        (first, column), (last, end_column) = start, end
        change = (self.at(start), self.at(end))
        self.version += 1
        self.server.edit(self.uri, self.version, *change, text)
        new = (self.lines[first][:column] + text + self.lines[last][end_column:]).split("\n")
        self.lines[first : last + 1] = new
        inserted = text.split("\n")
        caret = column + len(text) if len(inserted) == 1 else len(inserted[-1])
        return first + len(inserted) - 1, caret

    def at(self, place):
        """A place in the protocol's units."""
        line, column = place
        return line, len(self.lines[line][:column].encode("utf-16-le")) // 2

    def complete(self, caret):
        return self.server.complete(self.uri, *self.at(caret))


class Hour:
    """What is counted."""

    def __init__(self):
        self.keys = self.pressed = 0
        self.known, self.computed, self.late = [], [], 0
        self.shown = self.kept = self.kept_in_part = self.kept_characters = 0
        self.memory = []


def main():
    options, binary, arguments = parse()
    host = None
    if options.kill:
        host = Server([binary, "lsp", *arguments])
        host.initialize({})
    server = Server([binary, "lsp", *arguments])
    server.initialize({"inlineCompletion": {"debounceMs": round(DEBOUNCE_MS / options.speed)}})
    hour = Hour()
    begun = time.perf_counter()
    hour.memory.append(server.memory("VmRSS"))
    documents, digests = replay(server, hour, options, host)
    for name, digest in digests.items():
        if hashlib.sha256(documents[name].text().encode()).hexdigest() != digest:
            raise SystemExit(f"{name} has not become what it should")
    found = {
        "minutes": (time.perf_counter() - begun) / 60,
        "keys": hour.keys,
        "pressed": hour.pressed,
        "saved_percent": 100 * (1 - hour.pressed / hour.keys),
        "shown": hour.shown,
        "kept": hour.kept,
        "kept_in_part": hour.kept_in_part,
        "kept_characters": hour.kept_characters,
        "computed": len(hour.computed),
        "computed_p50": share(hour.computed, 50),
        "computed_p95": share(hour.computed, 95),
        "known": len(hour.known),
        "known_p50": share(hour.known, 50),
        "known_p99": share(hour.known, 99),
        "overtaken": hour.late,
        "memory_at_start": hour.memory[0],
        "memory_largest": max(hour.memory),
        "memory_at_end": hour.memory[-1],
    }
    if options.kill:
        found["said_after_the_kill"] = sorted(set(server.said[hour.said_before :]))
    if options.soak:
        found |= soak(server, list(documents.values()), options.soak)
    found["exit_code"] = server.end()
    counts = [binary, "stats"]
    print(subprocess.run(counts, env=server.environment, check=True, capture_output=True, text=True).stdout)
    found = {name: round(value, 3) if isinstance(value, float) else value for name, value in found.items()}
    for name, value in found.items():
        print(f"{name:28} {value if value is not None else 'nothing to measure'}")
    print(json.dumps(found))


def parse():
    ours, theirs = sys.argv[1:], []
    if "--" in ours:
        at = ours.index("--")
        ours, theirs = ours[:at], ours[at + 1 :]
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("binary")
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args(ours)
    return options, options.binary, theirs


def replay(server, hour, options, host):
    """Types the trace. Gives the files, and the digests of those that are finished."""
    events = [json.loads(line) for line in gzip.open(TRACE, "rt", encoding="utf-8")]
    limit = options.minutes * 60_000
    total = min(limit, sum(sum(event.get("ms", [])) for event in events))
    documents, wanted, finished = {}, {}, {}
    typing = Typing(server, hour, options.speed)
    for event in events:
        if typing.clock >= limit:
            return documents, finished
        if host and typing.clock >= total / 2:
            hour.said_before = len(server.said)
            host.process.kill()
            host = None
        name = event["file"]
        if "text" in event:
            finished |= wanted
            wanted = {name: event["sha256"]}
            documents[name] = Document(server, name, event["language"], event["text"])
            hour.memory.append(server.memory("VmRSS"))
        else:
            typing.edit(documents[name], event)
    hour.memory.append(server.memory("VmRSS"))
    return documents, finished | wanted


class Typing:
    """Somebody who types, and looks at what is offered."""

    def __init__(self, server, hour, speed):
        self.server, self.hour, self.speed = server, hour, speed
        # Milliseconds of the trace that are over.
        self.clock = 0
        self.next_key = time.perf_counter()

    def edit(self, document, event):
        keys, delays = event["typed"], event["ms"]
        caret = tuple(event["start"])
        if event["start"] != event["end"]:
            self.hour.keys += 1
            self.hour.pressed += 1
            caret = document.replace(event["start"], event["end"], "")
        asked, shown = None, None
        index = 0
        while index < len(keys):
            rest = "".join(keys[index:])
            self.clock += delays[index]
            # When it was late, it goes on from there.
            self.next_key = max(self.next_key, time.perf_counter() - 0.05) + delays[index] / 1e3 / self.speed
            shown = self.wait(asked, shown, caret)
            taken = self.taken(shown, rest)
            if taken:
                skipped = self.keys_in(keys, index, taken)
                caret = document.replace(caret, caret, taken)
                self.hour.keys += skipped
                index += skipped
                shown = None
            else:
                key = keys[index]
                caret = document.replace(caret, caret, key)
                self.hour.keys += 1
                self.hour.pressed += 1
                index += 1
                shown = (shown[0][len(key) :], shown[1]) if shown and shown[0].startswith(key) and shown[0] != key else None
            if asked and not self.server.is_answered(asked):
                self.hour.late += 1
                self.server.notify("$/cancelRequest", {"id": asked[0]})
            asked = document.complete(caret)

    def wait(self, asked, shown, caret):
        """Waits for the next key. Gives what is on the screen then, and since when."""
        if asked:
            with self.server.changed:
                self.server.changed.wait_for(
                    lambda: asked[0] in self.server.answers, max(0, self.next_key - time.perf_counter())
                )
                answer = self.server.answers.get(asked[0])
            if answer:
                shown = self.look(asked, answer, shown)
        time.sleep(max(0, self.next_key - time.perf_counter()))
        return shown

    def look(self, asked, answer, shown):
        at, message = answer
        took = (at - asked[1]) * 1e3
        if "error" in message:
            raise SystemExit(f"a completion failed: {message}")
        items = (message["result"] or {}).get("items") or []
        if message["result"] is not None:
            (self.hour.known if took <= KNOWN_MS else self.hour.computed).append(took)
        if not items:
            return None
        item = items[0]
        # What the range replaces is repeated at the end, and is there already.
        span = item["range"]
        replaced = span["end"]["character"] - span["start"]["character"]
        fill = item["insertText"][: len(item["insertText"]) - replaced] if replaced else item["insertText"]
        if shown and shown[0] == fill:
            return shown
        self.hour.shown += 1
        return fill, at

    def taken(self, shown, rest):
        """What is taken of what is shown."""
        if not shown:
            return ""
        fill, since = shown
        if (time.perf_counter() - since) * 1e3 * self.speed < READ_MS:
            return ""
        if len(fill) > 1 and rest.startswith(fill):
            self.hour.kept += 1
            self.hour.pressed += 1
            self.hour.kept_characters += len(fill)
            return fill
        words, taken = 0, ""
        for word in re.findall(r"\s*(?:\w+|[^\w\s]+)", fill):
            if not rest.startswith(taken + word):
                break
            taken += word
            words += 1
        if len(taken.strip()) < WORD_MIN * words or not words:
            return ""
        self.hour.kept_in_part += 1
        self.hour.pressed += words
        self.hour.kept_characters += len(taken)
        return taken

    @staticmethod
    def keys_in(keys, index, text):
        """How many keys the text would have taken; one that is only begun counts, and its rest is cut off it."""
        count = 0
        while text:
            key = keys[index + count]
            if not text.startswith(key):
                keys[index + count] = key[len(text) :]
                return count
            text = text[len(key) :]
            count += 1
        return count


def soak(server, documents, count):
    """Asks for completions where nobody has asked before, and looks at the memory ten times on the way."""
    server.notify("workspace/didChangeConfiguration", {"settings": {"inlineCompletion": {"debounceMs": 0}}})
    chance = random.Random(SOAK_SEED)
    times, offered, memory = [], 0, [server.memory("VmRSS")]
    for number in range(count):
        document = chance.choice(documents)
        line = chance.randrange(len(document.lines))
        caret = (line, len(document.lines[line]))
        # Something new stands there, so that no answer is known.
        document.replace(caret, caret, chr(chance.randrange(ord("a"), ord("z") + 1)))
        request = document.complete((caret[0], caret[1] + 1))
        message, took = server.answer(request)
        if "error" in message:
            raise SystemExit(f"a completion failed: {message}")
        times.append(took)
        offered += bool((message["result"] or {}).get("items"))
        document.replace(caret, (caret[0], caret[1] + 1), "")
        server.answers.clear()
        if (number + 1) % max(1, count // 10) == 0:
            memory.append(server.memory("VmRSS"))
    return {
        "soak": count,
        "soak_offered": offered,
        "soak_p50": share(times, 50),
        "soak_p99": share(times, 99),
        "soak_memory": [round(value, 1) for value in memory],
    }


if __name__ == "__main__":
    main()
