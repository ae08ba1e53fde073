"""Markdown formatting and the commands, through a client that registers, gives settings and applies edits."""

from conftest import vscode
from lsprotocol import types

URI = "file:///project/notes.md"
MESSY = "#   Title\nText with *words* and 🔺.\n\n\n\n*   one\n*   two\n"
OPTIONS = types.FormattingOptions(tab_size=4, insert_spaces=True)


def words(text: str) -> list[str]:
    return "".join(character if character.isalnum() else " " for character in text).split()


def applied(text: str, edits: list[types.TextEdit]) -> str:
    """The text after edits of whole lines, from the last to the first."""
    lines = text.splitlines(keepends=True)
    for edit in sorted(edits, key=lambda edit: edit.range.start.line, reverse=True):
        assert edit.range.start.character == 0 and edit.range.end.character == 0
        lines[edit.range.start.line : edit.range.end.line] = [edit.new_text]
    return "".join(lines)


async def test_a_document_is_laid_out_and_says_what_it_said(editor):
    await editor.initialize(vscode())
    await editor.ready()
    editor.open(URI, "markdown", MESSY)
    document = types.TextDocumentIdentifier(uri=URI)
    params = types.DocumentFormattingParams(text_document=document, options=OPTIONS)
    edits = await editor.client.text_document_formatting_async(params)
    formatted = applied(MESSY, edits)
    assert formatted != MESSY and words(formatted) == words(MESSY)
    assert formatted.startswith("# Title\n\n")
    # Formatting the result changes nothing.
    everything = types.Range(start=types.Position(0, 0), end=types.Position(100, 0))
    editor.change(URI, 2, everything, formatted)
    assert not await editor.client.text_document_formatting_async(params)


async def test_other_languages_are_not_formatted(editor):
    await editor.initialize(vscode())
    await editor.ready()
    editor.open("file:///project/a.py", "python", "x  =  1\n")
    document = types.TextDocumentIdentifier(uri="file:///project/a.py")
    params = types.DocumentFormattingParams(text_document=document, options=OPTIONS)
    assert not await editor.client.text_document_formatting_async(params)


async def test_the_status_says_what_runs(editor):
    await editor.initialize(vscode())
    await editor.ready()
    params = types.ExecuteCommandParams(command="lacuna.status", arguments=[])
    status = await editor.client.workspace_execute_command_async(params)
    health = status["health"] if isinstance(status, dict) else status.health
    assert health == "ok"
