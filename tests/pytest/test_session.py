"""The beginning and the end of a session."""

import asyncio

import pytest
from conftest import vscode
from lsprotocol import types
from pytest_lsp import client_capabilities
from pygls.exceptions import JsonRpcException


async def test_an_editor_that_registers_is_offered_inline_completion_once(editor):
    capabilities = await editor.initialize(vscode())
    await editor.ready()
    assert capabilities.inline_completion_provider is None
    while not any(registration.method == "textDocument/inlineCompletion" for registration in editor.registered):
        await asyncio.sleep(0.01)
    assert capabilities.text_document_sync.change == types.TextDocumentSyncKind.Incremental
    assert capabilities.code_action_provider.resolve_provider


async def test_an_editor_that_does_not_register_is_offered_it_at_once(editor):
    capabilities = await editor.initialize(client_capabilities("neovim"))
    assert capabilities.inline_completion_provider is not None
    assert not any(registration.method == "textDocument/inlineCompletion" for registration in editor.registered)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_positions_are_counted_as_the_editor_counts(editor, encoding):
    capabilities = await editor.initialize(vscode(encoding))
    assert capabilities.position_encoding == encoding


async def test_a_request_that_nobody_knows_is_an_error_to_it_alone(editor):
    await editor.initialize(vscode())
    with pytest.raises(JsonRpcException) as error:
        await editor.client.protocol.send_request_async("lacuna/nothing", {})
    assert error.value.code == types.ErrorCodes.MethodNotFound.value


async def test_shutdown_and_exit_end_the_process_with_success(editor):
    await editor.initialize(vscode())
    await editor.client.shutdown_session()
    assert editor.client._server.returncode == 0
