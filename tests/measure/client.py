"""A server behind its standard streams, and what an editor says to it."""

import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time

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


class Server:
    """A server process. Every answer is kept with the time at which it came."""

    def __init__(self, command):
        # What it counts is not counted among what its user does.
        self.state = tempfile.TemporaryDirectory()
        self.environment = {**os.environ, "XDG_STATE_HOME": self.state.name}
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self.environment,
        )
        self.changed = threading.Condition()
        self.answers = {}
        self.health = {}
        # What a user was told.
        self.said = []
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
                    self.said.append(message["params"]["message"])
                elif message["method"] == "window/showMessage":
                    self.said.append(message["params"]["message"])
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

    def initialize(self, settings):
        """Waits until the model is there, and gives the request."""
        parameters = {"processId": None, "rootUri": None, "capabilities": CAPABILITIES, "initializationOptions": settings}
        initialized = self.ask("initialize", parameters)
        self.answer(initialized)
        self.notify("initialized", {})
        with self.changed:
            if not self.changed.wait_for(lambda: "ok" in self.health, timeout=300):
                raise SystemExit(f"the model is not there: {list(self.health)}")
        return initialized

    def end(self):
        """The status with which it ends when it is told to."""
        self.answer(self.ask("shutdown"))
        self.notify("exit", None)
        return self.process.wait(timeout=10)

    def open(self, uri, text, language="rust"):
        document = {"uri": uri, "languageId": language, "version": 1, "text": text}
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


def share(values, percent):
    values = sorted(values)
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else None
