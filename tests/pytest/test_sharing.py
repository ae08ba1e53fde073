"""Two editors that want the same model: the second uses the first one's engine, and outlives it."""

import asyncio
import os
import signal
from pathlib import Path

from conftest import completion, end, start, vscode
from lsprotocol import types

MODEL = Path(__file__).resolve().parents[2] / "fixtures" / "nano"
URI = "file:///project/pairs.py"
# What is missing stands in the text twice, so that any model that reads it knows.
PYTHON = "left_border_width = 1\nright_border_width = left_border_width\nleft_border_width = left_\n"
CARET = types.Position(line=2, character=len("left_border_width = left_"))


async def editor_in(folder: Path, *arguments: str):
    editor = await start("--model", str(MODEL), *arguments, XDG_RUNTIME_DIR=str(folder))
    await editor.initialize(vscode("utf-16"))
    editor.open(URI, "python", PYTHON)
    await editor.ready()
    return editor


async def texts(editor, line: int = CARET.line) -> list[str]:
    at = types.Position(line=line, character=CARET.character)
    return [item.insert_text for item in await editor.complete(URI, at)]


def add_first_line(editor, version: int) -> None:
    """What was answered before is of no use now."""
    start = types.Position(line=0, character=0)
    editor.change(URI, version, types.Range(start=start, end=start), "# Widths.\n")


async def test_two_editors_share_one_engine_and_the_second_takes_over(tmp_path):
    first = await editor_in(tmp_path)
    process = first.client._server.pid
    second = await editor_in(tmp_path)
    assert (first.device, second.device) == ("cpu, 1 thread", f"cpu, 1 thread in process {process}")
    found = await texts(first)
    assert found and await texts(second) == found
    assert oct(os.stat(tmp_path / "lacuna").st_mode & 0o777) == "0o700"

    # It has no time to say anything.
    os.kill(process, signal.SIGKILL)
    await first.client._server.wait()
    add_first_line(second, 2)
    caret = types.Position(line=CARET.line + 1, character=CARET.character)
    assert await second.client.text_document_inline_completion_async(completion(URI, caret)) is None
    # The embedded model serves until the second has loaded the model itself.
    await asyncio.wait_for(second.ready(), 60)
    assert second.device == "cpu, 1 thread"
    add_first_line(second, 3)
    assert await texts(second, CARET.line + 2) == found

    third = await editor_in(tmp_path)
    assert third.device == f"cpu, 1 thread in process {second.client._server.pid}"
    await end(second)
    await end(third)
    assert list((tmp_path / "lacuna").glob("*.socket")) == []


async def test_an_editor_may_keep_its_engine_to_itself(tmp_path):
    first = await editor_in(tmp_path)
    second = await editor_in(tmp_path, "--no-share")
    assert second.device == first.device == "cpu, 1 thread"
    await end(first)
    await end(second)
