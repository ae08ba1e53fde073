"""Inline completion by the embedded model: what form its answers have, whatever they say."""

import asyncio

import pytest
from conftest import completion, vscode
from lsprotocol import types
from pygls.exceptions import JsonRpcException

URI = "file:///project/shapes.py"
PYTHON = '''"""Areas: 🔺 and ▭."""


def rectangle(width, height):
    return width * height


def square(side):
    return

print(square(3))
'''
REQUEST_CANCELLED = types.LSPErrorCodes.RequestCancelled.value


def is_before(first: types.Position, second: types.Position) -> bool:
    return (first.line, first.character) <= (second.line, second.character)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_items_begin_at_the_caret_and_stay_on_its_line(editor, encoding):
    await editor.initialize(vscode(encoding))
    await editor.ready()
    editor.open(URI, "python", PYTHON)
    # The emoji before it makes the line as long as the encoding says.
    emoji_units = {"utf-8": 4, "utf-16": 2, "utf-32": 1}[encoding]
    line = types.Position(line=8, character=4)
    editor.change(URI, 2, types.Range(start=line, end=line), "'🔺'; ")
    caret = types.Position(line=8, character=4 + 2 + emoji_units + 2 + len("return"))
    editor.change(URI, 3, types.Range(start=caret, end=caret), " ")
    caret.character += 1
    for item in await editor.complete(URI, caret):
        assert item.insert_text
        assert item.range.start == caret
        assert item.range.end.line == caret.line and is_before(item.range.start, item.range.end)
    # Beyond the end of everything there is the end of everything.
    end = types.Position(line=11, character=0)
    for item in await editor.complete(URI, types.Position(line=10_000, character=10_000)):
        assert item.range == types.Range(start=end, end=end)


async def test_typing_what_is_shown_leaves_its_rest(editor):
    await editor.initialize(vscode("utf-16"))
    await editor.ready()
    editor.open(URI, "python", PYTHON)
    caret = types.Position(line=8, character=len("    return"))
    editor.change(URI, 2, types.Range(start=caret, end=caret), " ")
    caret.character += 1
    for item in await editor.complete(URI, caret):
        shown = item.insert_text
        typed, rest = shown[0], shown[1:]
        editor.change(URI, 3, types.Range(start=caret, end=caret), typed)
        after = types.Position(line=caret.line, character=caret.character + 1)
        items = await editor.complete(URI, after)
        assert not rest or any(rest.startswith(item.insert_text[:1]) for item in items)
        break


async def test_a_document_that_was_closed_has_no_completions(editor):
    await editor.initialize(vscode())
    await editor.ready()
    editor.open(URI, "python", PYTHON)
    document = types.TextDocumentIdentifier(uri=URI)
    editor.client.text_document_did_close(types.DidCloseTextDocumentParams(text_document=document))
    params = completion(URI, types.Position(line=8, character=10))
    assert await editor.client.text_document_inline_completion_async(params) is None


async def test_every_cancelled_request_is_answered_and_those_after_it_too(editor):
    await editor.initialize(vscode())
    await editor.ready()
    uris = [f"file:///project/{index}.py" for index in range(24)]
    caret = types.Position(line=8, character=len("    return"))
    for uri in uris:
        editor.open(uri, "python", PYTHON)
    # Sent at once, where the method for use in coroutines waits to be awaited.
    send = editor.client.protocol.send_request
    requests = [send("textDocument/inlineCompletion", completion(uri, caret), msg_id=uri) for uri in uris]
    for uri in uris:
        editor.client.cancel_request(types.CancelParams(id=uri))
    cancelled = 0
    for request in requests:
        try:
            await asyncio.wrap_future(request)
        except JsonRpcException as error:
            assert error.code == REQUEST_CANCELLED
            cancelled += 1
    # The engine takes one at a time, and no cancellation waits for it.
    assert cancelled > len(uris) // 2
    await editor.complete(uris[0], caret)
