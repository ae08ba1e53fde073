"""Code actions: offered at once, and their edits computed when one is chosen."""

from conftest import vscode
from lsprotocol import types
from pygls.exceptions import JsonRpcException

URI = "file:///project/shapes.rs"
RUST = """struct Square {
    side: u32,
}

fn area(square: &Square) -> u32 {
    todo!()
}
"""
HOLE = types.Range(start=types.Position(line=5, character=4), end=types.Position(line=5, character=11))


async def actions_at(editor, at: types.Range) -> list[types.CodeAction]:
    params = types.CodeActionParams(
        text_document=types.TextDocumentIdentifier(uri=URI),
        range=at,
        context=types.CodeActionContext(diagnostics=[]),
    )
    return [
        action
        for action in await editor.client.text_document_code_action_async(params) or []
        if isinstance(action, types.CodeAction)
    ]


async def test_a_hole_is_filled_when_its_action_is_chosen(editor):
    await editor.initialize(vscode())
    await editor.ready()
    editor.open(URI, "rust", RUST)
    caret = types.Range(start=HOLE.start, end=HOLE.start)
    action = next(action for action in await actions_at(editor, caret) if action.title.startswith("Fill"))
    assert action.kind == types.CodeActionKind.RefactorRewrite
    assert action.edit is None and action.data is not None
    try:
        resolved = await editor.client.code_action_resolve_async(action)
    except JsonRpcException as error:
        # The model may have found nothing that fits, which is told as a failure of this request.
        assert error.code == types.LSPErrorCodes.RequestFailed.value
        return
    assert resolved.title == action.title
    edits = [change for change in resolved.edit.document_changes or []]
    assert [edit.text_document.uri for edit in edits] == [URI]
    assert edits[0].text_document.version == 1
    for edit in edits[0].edits:
        assert edit.range.start.line <= HOLE.start.line <= edit.range.end.line
        assert (edit.range.start.line, edit.range.end.line) == (5, 5)


async def test_an_action_of_an_older_text_has_no_edit(editor):
    await editor.initialize(vscode())
    await editor.ready()
    editor.open(URI, "rust", RUST)
    caret = types.Range(start=HOLE.start, end=HOLE.start)
    action = next(action for action in await actions_at(editor, caret) if action.title.startswith("Fill"))
    editor.change(URI, 2, types.Range(start=types.Position(0, 0), end=types.Position(0, 0)), "// new\n")
    try:
        resolved = await editor.client.code_action_resolve_async(action)
    except JsonRpcException as error:
        assert error.code == types.LSPErrorCodes.ContentModified.value
    else:
        raise AssertionError(f"an edit for a text that is gone: {resolved}")


async def test_nothing_is_offered_to_fill_where_nothing_is_missing(editor):
    await editor.initialize(vscode())
    await editor.ready()
    editor.open(URI, "rust", RUST)
    elsewhere = types.Position(line=1, character=6)
    titles = [action.title for action in await actions_at(editor, types.Range(start=elsewhere, end=elsewhere))]
    assert "Fill this hole" not in titles
