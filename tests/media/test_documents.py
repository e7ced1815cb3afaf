"""PDF documents in messages: in each provider's form, and refused before anything is billed."""

from __future__ import annotations

import base64
import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json

import segmind_async as sa
from segmind_async._media import loading
from segmind_async._media.documents import document_part
from segmind_async._media.loading import SourceDocument
from segmind_async._providers.requests import encode
from segmind_async.emulator import Emulator
from segmind_async.testing import ScriptedTransport, answer
from tests.support import client

PDF = b"%PDF-1.7\n1 0 obj\n<</Type /Catalog>>\nendobj\ntrailer <</Root 1 0 R>>\n%%EOF\n"
DATA = base64.b64encode(PDF).decode()
URL = f"data:application/pdf;base64,{DATA}"
GPT, CLAUDE, GEMINI = "gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash"


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    loading.cache.clear()


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    path = tmp_path / "contract.pdf"
    path.write_bytes(PDF)
    return path


async def sent(part: Any, model: str = GPT) -> Any:
    transport = ScriptedTransport(otherwise=lambda _request: answer("read"))
    async with client(transport) as c:
        await c.chat([sa.user("?", part)], model=model)
    return from_json(transport.requests[-1].body or b"{}")["messages"]


async def test_openai_takes_a_part_of_type_file(pdf: Path) -> None:
    [message] = await sent(sa.document(pdf))
    file = {"filename": "contract.pdf", "file_data": URL}
    assert message["content"][1] == {"type": "file", "file": file}


async def test_claude_takes_a_part_of_type_document(pdf: Path) -> None:
    [message] = await sent(sa.document(str(pdf), name="The contract"), CLAUDE)
    source = {"type": "base64", "media_type": "application/pdf", "data": DATA}
    assert message["content"][1] == {"type": "document", "source": source, "title": "The contract"}


async def test_gemini_takes_inline_data(pdf: Path) -> None:
    messages = await sent(sa.document(pdf), GEMINI)
    inline = {"mimeType": "application/pdf", "data": DATA}
    assert messages["contents"][0]["parts"][1] == {"inlineData": inline}


def test_bytes_and_data_urls_are_parts_at_once() -> None:
    part = {"type": "file", "file": {"filename": "document.pdf", "file_data": URL}}
    assert sa.document(PDF) == sa.document(URL) == part
    assert sa.document(PDF, name="a.pdf") == document_part(PDF, "a.pdf", "the document")


def test_a_file_without_a_name_needs_no_title() -> None:
    row = {"role": "user", "content": [{"type": "file", "file": {"file_data": URL}}]}
    [message] = from_json(encode(CLAUDE, [row], {}))["messages"]
    assert "title" not in message["content"][0]


def test_a_web_url_is_passed_on_to_claude_alone() -> None:
    part = sa.document("https://example.com/papers/a.pdf?page=1")
    [message] = from_json(encode(CLAUDE, [sa.user("?", part)], {}))["messages"]
    source = {"type": "url", "url": "https://example.com/papers/a.pdf?page=1"}
    assert message["content"][1] == {"type": "document", "source": source, "title": "a.pdf"}
    for model, says in (
        (GPT, "pass its bytes to document.., or ask a Claude"),
        (GEMINI, "pass its bytes to doc"),
    ):
        with pytest.raises(sa.InvalidRequestError, match=f"the document URL 'https://example.*{says}"):
            encode(model, [sa.user("?", part)], {})
    assert sa.document("https://example.com/")["file"] == {
        "filename": "document.pdf",
        "file_url": "https://example.com/",
    }


@pytest.mark.parametrize("file", ["no mapping", {}, {"file_id": "file-1"}, {"file_url": 5}])
def test_other_parts_of_type_file_pass_unchanged(file: Any) -> None:
    part = {"type": "file", "file": file}
    for model in (GPT, CLAUDE):
        [message] = from_json(encode(model, [{"role": "user", "content": [part]}], {}))["messages"]
        assert message["content"] == [part]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda _: b"", "the document is empty: not a PDF", id="empty"),
        pytest.param(lambda _: b"PK\3\4 a word file", "begins with 50 4b .*not a PDF; convert it", id="docx"),
        pytest.param(lambda _: PDF[:-8], "is a truncated PDF", id="truncated"),
        pytest.param(lambda _: PDF + bytes(20 * 2**20), "bytes, more than 20971520; split it", id="large"),
        pytest.param(
            lambda _: "data:image/png;base64,AA==", "must begin with data:application/pdf", id="image"
        ),
        pytest.param(lambda _: "data:application/pdf;base64,A A=", "holds no base64", id="no-base64"),
        pytest.param(lambda _: 7, "the document is a int; give a path", id="number"),
        pytest.param(lambda at: at / "missing.pdf", "missing.pdf' cannot be read", id="missing"),
        pytest.param(lambda at: at, "is not a file", id="folder"),
    ],
)
def test_what_cannot_be_sent_is_refused(make: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(sa.InvalidRequestError, match=says):
        part = sa.document(make(tmp_path))
        assert isinstance(part, SourceDocument)
        part.load()


def test_a_pdf_may_begin_after_other_bytes() -> None:
    assert sa.document(b"\xef\xbb\xbf" + PDF)["type"] == "file"
    with pytest.raises(sa.InvalidRequestError, match="not a PDF"):
        sa.document(b" " * 1025 + PDF)


def test_a_copy_that_lost_its_file_is_refused_and_a_real_copy_is_not(pdf: Path) -> None:
    part: Any = sa.document(pdf)
    with pytest.raises(
        sa.InvalidRequestError, match=r"content\[0\] has the document URL 'file://.*document\(\)"
    ):
        encode(GPT, [{"role": "user", "content": [dict(part)]}], {})
    for twin in (pickle.loads(pickle.dumps(part)), copy.deepcopy(part)):
        assert twin == part
        twin.load()
        assert twin.part == document_part(PDF, "contract.pdf", "x")


def test_one_file_under_two_names_is_two_parts(pdf: Path) -> None:
    one, two = sa.document(pdf, name="a.pdf"), sa.document(pdf, name="b.pdf")
    assert one != two
    for part, name in ((one, "a.pdf"), (two, "b.pdf")):
        assert isinstance(part, SourceDocument)
        kept = part.load()
        assert part.part == document_part(PDF, name, "x")
        del kept


@pytest.mark.parametrize("model", [GPT, CLAUDE, GEMINI])
async def test_the_service_receives_a_document(model: str, pdf: Path) -> None:
    async with Emulator(latency=0.1) as emulator, sa.SegmindClient(emulator.key, emulator.url) as c:
        reply = await c.chat([sa.user("What is it?", sa.document(pdf))], model=model)
    assert reply.text == "echo: What is it? [document]"
