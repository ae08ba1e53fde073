"""A client from elsewhere, connected to the real binary. One file beside this one for each thing it is used for."""

import asyncio
import os

import pytest_asyncio
from lsprotocol import types
from pytest_lsp import LanguageClient, client_capabilities, make_test_lsp_client


class Editor:
    """An editor with one server, and what its tests do again and again."""

    def __init__(self, client: LanguageClient):
        self.client = client
        self.result: types.InitializeResult | None = None
        self.registered: list[types.Registration] = []
        self.health: asyncio.Queue[str] = asyncio.Queue()
        self.device: str | None = None

    async def initialize(self, capabilities: types.ClientCapabilities) -> types.ServerCapabilities:
        params = types.InitializeParams(capabilities=capabilities)
        self.result = await self.client.initialize_session(params)
        return self.result.capabilities

    async def ready(self) -> None:
        """Waits until the model is there."""
        while await self.health.get() != "ok":
            pass

    def open(self, uri: str, language_id: str, text: str) -> None:
        item = types.TextDocumentItem(uri=uri, language_id=language_id, version=1, text=text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=item))

    def change(self, uri: str, version: int, at: types.Range, text: str) -> None:
        document = types.VersionedTextDocumentIdentifier(uri=uri, version=version)
        change = types.TextDocumentContentChangePartial(range=at, text=text)
        self.client.text_document_did_change(
            types.DidChangeTextDocumentParams(text_document=document, content_changes=[change])
        )

    async def complete(self, uri: str, at: types.Position) -> list[types.InlineCompletionItem]:
        """The items of an inline completion that the user asked for, perhaps none; but null is no answer here."""
        result = await self.client.text_document_inline_completion_async(completion(uri, at))
        assert isinstance(result, types.InlineCompletionList), result
        return list(result.items)


def completion(uri: str, at: types.Position) -> types.InlineCompletionParams:
    return types.InlineCompletionParams(
        text_document=types.TextDocumentIdentifier(uri=uri),
        position=at,
        context=types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind.Invoked),
    )


def vscode(*encodings: str) -> types.ClientCapabilities:
    """What Visual Studio Code can do, with inline completion, and counting in these units."""
    capabilities = client_capabilities("visual-studio-code")
    capabilities.text_document.inline_completion = types.InlineCompletionClientCapabilities(dynamic_registration=True)
    if encodings:
        capabilities.general.position_encodings = list(encodings)
    return capabilities


async def start(*arguments: str, **environment: str) -> Editor:
    """An editor whose server has been started and told nothing yet."""
    client = make_test_lsp_client()
    editor = Editor(client)

    @client.feature("lacuna/status")
    def status(params):
        editor.device = params.device
        editor.health.put_nowait(params.health)

    @client.feature(types.CLIENT_REGISTER_CAPABILITY)
    def register(params: types.RegistrationParams):
        editor.registered.extend(params.registrations)

    command = [os.environ["LACUNA_BINARY"], "lsp", "--device", "cpu", "--threads", "1", *arguments]
    await client.start_io(*command, env={**os.environ, **environment})
    return editor


async def end(editor: Editor) -> None:
    """Says goodbye, unless somebody has ended the server before."""
    client = editor.client
    if client._server.returncode is None:
        await client.shutdown_session()
        assert client._server.returncode == 0
    assert client.error is None
    await client.stop()


@pytest_asyncio.fixture
async def editor():
    """An editor of its own for a test, which may end it or leave it to us."""
    editor = await start()
    yield editor
    await end(editor)
