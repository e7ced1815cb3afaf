"""What may come over a connection instead of a good answer, and what each must end in.

The table is about bytes and not about a client: every transport has to pass it. `python -m
tests.transport.hostile_wire` writes it into the documentation.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from segmind_async._transport.direct.content_coding import installed
from tests.transport.hostile import Behaviour, Connection, answer

GOOD = answer("good")
BODY = GOOD.partition(b"\r\n\r\n")[2]
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "hostile-wire.md"

OK = "ok"
BROKEN = "APIConnectionError, may be billed"
NOT_SENT = "APIConnectionError, not billed"
SILENT = "APITimeoutError, may be billed"
UNREADABLE = "InvalidResponseError, may be billed"
REFUSED = "InvalidResponseError, not billed"
FAILED = "ServerError, not billed"


class Case(NamedTuple):
    """One way to answer a request, and the outcome of the call, without any retry."""

    group: str
    name: str
    behave: Behaviour
    outcome: str
    or_else: str = ""
    """Another outcome that is as right: what a parser sees depends on how the bytes are split."""


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    """Return the head of an answer."""
    return "\r\n".join((status, *lines, "", "")).encode()


def plain(*lines: str, body: bytes = BODY, status: str = "HTTP/1.1 200 OK") -> bytes:
    """Return an answer with a right length, and *lines* as further headers."""
    return head(f"Content-Length: {len(body)}", *lines, status=status) + body


def encoded(coding: str, body: bytes) -> bytes:
    """Return an answer whose body is said to be in this coding."""
    return plain(f"Content-Encoding: {coding}", body=body)


def chunked(*chunks: bytes, extension: bytes = b"", trailer: bytes = b"", lines: Sequence[str] = ()) -> bytes:
    """Return an answer in chunks."""
    data = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return head("Transfer-Encoding: chunked", *lines) + data + b"0\r\n" + trailer + b"\r\n"


async def serve(connection: Connection) -> None:
    """Answer well, until the client closes the connection."""
    while await connection.request() is not None:
        await connection.send(GOOD)


def sends(*parts: bytes) -> Behaviour:
    """Answer the first request with *parts*, and later ones on the same connection well."""

    async def behave(connection: Connection) -> None:
        if await connection.request() is not None:
            for part in parts:
                await connection.send(part)
            await serve(connection)

    return behave


def then_closes(*parts: bytes) -> Behaviour:
    """Answer with *parts*, and close the connection."""

    async def behave(connection: Connection) -> None:
        if await connection.request() is not None:
            for part in parts:
                await connection.send(part)

    return behave


def then_resets(*parts: bytes) -> Behaviour:
    """Answer with *parts*, and reset the connection once they are on their way."""

    async def behave(connection: Connection) -> None:
        if await connection.request() is not None:
            for part in parts:
                await connection.send(part)
            await connection.turns()
            connection.reset()

    return behave


def half_closes(*parts: bytes) -> Behaviour:
    """Answer with *parts*, and close the sending side alone."""

    async def behave(connection: Connection) -> None:
        if await connection.request() is not None:
            for part in parts:
                await connection.send(part)
            connection.end_writing()
            await connection.until_closed()

    return behave


def vanishes(*parts: bytes) -> Behaviour:
    """Answer with *parts*, and close the connection, over TLS without notice of it."""

    async def behave(connection: Connection) -> None:
        if await connection.request() is not None:
            for part in parts:
                await connection.send(part)
            connection.abort()

    return behave


def slowly(data: bytes, size: int, pause: float) -> Behaviour:
    """Answer with *data* in pieces of *size* bytes, *pause* seconds apart."""

    async def behave(connection: Connection) -> None:
        if await connection.request() is not None:
            await connection.send_slowly(data, size, pause)
            await serve(connection)

    return behave


def endlessly(start: bytes, again: bytes, pause: float = 0.01) -> Behaviour:
    """Answer with *start* and then with *again*, each *pause* seconds later, until the client has had enough."""

    async def behave(connection: Connection) -> None:
        if await connection.request() is not None:
            await connection.send(start)
            while await connection.send(again):
                await connection.pause(pause)

    return behave


async def unread(connection: Connection) -> None:
    """Reset the connection before the request is read."""
    connection.reset()


def cut(data: bytes, at: int) -> Behaviour:
    return then_closes(data[:at])


IN_BODY = len(GOOD) - 10
PACKED = gzip.compress(BODY)
LONG = b'{"choices": [{"message": {"content": "' + b" " * 80_000_000 + b'"}}]}'
BOMB = gzip.compress(LONG)
BROTLI, ZSTD = installed("brotli"), installed("compression.zstd", "backports.zstd")

CASES: Sequence[Case] = (
    Case("whole answers", "in one piece", sends(GOOD), OK),
    Case("whole answers", "byte by byte", slowly(GOOD, 1, 0.0), OK),
    Case("whole answers", "a byte every two seconds", slowly(plain(), 1, 2.0), SILENT),
    Case("whole answers", "in pieces 30 s apart", slowly(plain(), len(plain()) // 3, 30.0), OK),
    Case("whole answers", "Connection: close", then_closes(plain("Connection: close")), OK),
    Case("whole answers", "Connection: close, and it stays open", sends(plain("Connection: close")), OK),
    Case(
        "whole answers", "without a length, until the end", then_closes(head("Connection: close") + BODY), OK
    ),
    Case("whole answers", "without a length, and half-closed", half_closes(head() + BODY), OK),
    Case("whole answers", "HTTP/1.0, until the end", then_closes(head(status="HTTP/1.0 200 OK") + BODY), OK),
    Case("whole answers", "HTTP/1.0 with a length", sends(plain(status="HTTP/1.0 200 OK")), OK),
    Case("whole answers", "half-closed after it", half_closes(GOOD), OK),
    Case("whole answers", "reset after it", then_resets(GOOD), OK, BROKEN),
    Case("whole answers", "sent twice", sends(GOOD + GOOD), OK),
    Case("whole answers", "followed by noise", sends(GOOD + b"\0noise"), UNREADABLE, OK),
    Case("whole answers", "100 Continue before it", sends(head(status="HTTP/1.1 100 Continue") + GOOD), OK),
    Case(
        "whole answers",
        "ten times 102 before it",
        sends(head(status="HTTP/1.1 102 Processing") * 10 + GOOD),
        OK,
    ),
    Case("chunks", "one", sends(chunked(BODY)), OK),
    Case("chunks", "of one byte each", sends(chunked(*(bytes([byte]) for byte in BODY))), OK),
    Case("chunks", "with extensions", sends(chunked(BODY, extension=b';a=b;c="d"')), OK),
    Case("chunks", "with a trailer", sends(chunked(BODY, trailer=b"X-Sum: 1\r\n")), OK),
    Case("chunks", "without the last one", then_closes(chunked(BODY)[:-5]), BROKEN),
    Case(
        "chunks",
        "of no length",
        sends(head("Transfer-Encoding: chunked") + b"zz\r\n" + BODY),
        UNREADABLE,
        BROKEN,
    ),
    Case(
        "chunks",
        "of negative length",
        sends(head("Transfer-Encoding: chunked") + b"-5\r\n" + BODY),
        UNREADABLE,
        BROKEN,
    ),
    Case(
        "chunks",
        "longer than announced",
        sends(head("Transfer-Encoding: chunked") + b"5\r\n" + BODY),
        UNREADABLE,
        BROKEN,
    ),
    Case("heads", "beside a length", sends(chunked(BODY, lines=["Content-Length: 5"])), UNREADABLE),
    Case("heads", "two different lengths", sends(plain("Content-Length: 5")), UNREADABLE),
    Case("heads", "a negative length", sends(head("Content-Length: -1") + BODY), UNREADABLE),
    Case("heads", "a length that is not a number", sends(head("Content-Length: five") + BODY), UNREADABLE),
    Case("heads", "a length of 400 digits", sends(head(f"Content-Length: {'9' * 400}") + BODY), UNREADABLE),
    Case("heads", "a status of five digits", sends(plain(status="HTTP/1.1 20000 OK")), UNREADABLE),
    Case("heads", "HTTP/3.0", sends(plain(status="HTTP/3.0 200 OK")), UNREADABLE),
    Case("heads", "no HTTP", sends(b"SSH-2.0-OpenSSH_9.6\r\n"), UNREADABLE),
    Case("heads", "a header without a colon", sends(plain("nonsense")), UNREADABLE),
    Case("heads", "a header with a null byte", sends(plain("X-A: a\0b")), UNREADABLE),
    Case("heads", "a header of 1 MB", sends(plain(f"X-A: {'a' * 1_000_000}")), UNREADABLE),
    Case("heads", "10 000 headers", sends(plain(*(f"X-{n}: {n}" for n in range(10_000)))), UNREADABLE),
    Case("heads", "headers without end", endlessly(head()[:-2], b"X-A: a\r\n" * 500), UNREADABLE),
    Case("heads", "one header without end", endlessly(head()[:-2] + b"X-A: ", b"a" * 4096), UNREADABLE),
    Case(
        "heads",
        "102 without end",
        endlessly(b"", head(status="HTTP/1.1 102 Processing") * 100, pause=1.0),
        SILENT,
    ),
    Case(
        "heads",
        "a request id that is not UTF-8",
        sends(GOOD.replace(b"\r\n\r\n", b"\r\nX-Request-Id: \xff\xfe\r\n\r\n", 1)),
        OK,
    ),
    Case(
        "heads",
        "101, another protocol",
        sends(head("Upgrade: h2c", "Connection: Upgrade", status="HTTP/1.1 101 Switching Protocols")),
        REFUSED,
    ),
    Case("other statuses", "201", sends(plain(status="HTTP/1.1 201 Created")), UNREADABLE),
    Case(
        "other statuses",
        "203, changed by a proxy",
        sends(plain(status="HTTP/1.1 203 Non-Authoritative Information")),
        UNREADABLE,
    ),
    Case("other statuses", "206", sends(plain(status="HTTP/1.1 206 Partial Content")), UNREADABLE),
    Case("other statuses", "204 and a body", sends(plain(status="HTTP/1.1 204 No Content")), UNREADABLE),
    Case(
        "other statuses",
        "302 to another host",
        sends(plain("Location: http://192.0.2.1/", status="HTTP/1.1 302 Found")),
        REFUSED,
    ),
    Case("other statuses", "304", sends(head(status="HTTP/1.1 304 Not Modified")), REFUSED),
    Case(
        "other statuses", "503 whose body is cut", then_closes(plain(status="HTTP/1.1 503 Busy")[:-5]), FAILED
    ),
    Case(
        "other statuses",
        "503 whose body never ends",
        endlessly(
            head("Transfer-Encoding: chunked", status="HTTP/1.1 503 Busy"), b"3e8\r\n" + b"x" * 1000 + b"\r\n"
        ),
        FAILED,
    ),
    Case("encodings", "gzip", sends(plain("Content-Encoding: gzip", body=PACKED)), OK),
    Case("encodings", "gzip that is none", sends(plain("Content-Encoding: gzip")), BROKEN),
    Case(
        "encodings",
        "gzip, cut",
        sends(plain("Content-Encoding: gzip", body=PACKED[:-12])),
        UNREADABLE,
        BROKEN,
    ),
    Case("encodings", "gzip without saying so", sends(plain(body=PACKED)), UNREADABLE),
    Case("encodings", "an unknown one", sends(plain("Content-Encoding: rot13")), OK),
    Case("encodings", "a bomb of 80 MB", sends(plain("Content-Encoding: gzip", body=BOMB)), UNREADABLE),
    Case(
        "encodings",
        "gzip, 100 000 times nothing before it",
        sends(encoded("gzip", gzip.compress(b"") * 100_000 + PACKED)),
        BROKEN,
        OK,  # of aiohttp 3.14.3
    ),
    *(
        case
        for coding, module in (("br", BROTLI), ("zstd", ZSTD))
        for case in (
            Case("encodings", coding, sends(encoded(coding, module.compress(BODY))), OK),
            Case("encodings", f"{coding} that is none", sends(encoded(coding, BODY)), BROKEN),
            Case(
                "encodings",
                f"{coding}, cut",
                sends(encoded(coding, module.compress(BODY)[:-12])),
                UNREADABLE,
                BROKEN,
            ),
            Case(
                "encodings",
                f"a bomb of 80 MB in {coding}",
                sends(encoded(coding, module.compress(LONG))),
                UNREADABLE,
            ),
        )
    ),
    Case("ends", "reset before the request is read", unread, NOT_SENT, BROKEN),
    Case("ends", "closed without an answer", then_closes(), BROKEN),
    Case("ends", "half-closed without an answer", half_closes(), BROKEN),
    Case("ends", "closed in the status line", cut(GOOD, 5), BROKEN),
    Case("ends", "closed in the headers", cut(GOOD, 30), BROKEN),
    Case("ends", "closed after the head", cut(GOOD, len(GOOD) - len(BODY)), BROKEN),
    Case("ends", "closed in the body", cut(GOOD, IN_BODY), BROKEN),
    Case("ends", "half-closed in the body", half_closes(GOOD[:IN_BODY]), BROKEN),
    Case("ends", "reset without an answer", then_resets(), BROKEN),
    Case("ends", "reset in the headers", then_resets(GOOD[:30]), BROKEN),
    Case("ends", "reset in the body", then_resets(GOOD[:IN_BODY]), BROKEN),
    Case("ends", "reset in a body of no length", then_resets(head() + BODY[:-9]), BROKEN, UNREADABLE),
    Case("ends", "closed without notice (TLS) after it", vanishes(GOOD), OK),
    Case("ends", "closed without notice (TLS) after a body of no length", vanishes(head() + BODY), OK),
    Case(
        "ends", "closed without notice (TLS) in a body of no length", vanishes(head() + BODY[:-9]), UNREADABLE
    ),
    Case("ends", "closed without notice (TLS) in the body", vanishes(GOOD[:IN_BODY]), BROKEN),
    Case("ends", "silence", sends(), SILENT),
    Case("ends", "silence in the body", sends(GOOD[:IN_BODY]), SILENT),
)


def table() -> str:
    """Return the page of the documentation."""
    lines = [
        "# Hostile wire",
        "",
        "What a server or a proxy may send over a connection, and how the call ends that gets it, without any retry.",
        "*May be billed* means that the credits of the call stay held until a balance shows whether it was.",
        "Every transport passes this table as a test; the page is written by `python -m tests.transport.hostile_wire`.",
    ]
    group = ""
    for case in CASES:
        if case.group != group:
            group = case.group
            lines += ["", f"## {group.capitalize()}", "", "| what comes | the call |", "|---|---|"]
        lines.append(f"| {case.name} | {' or '.join(filter(None, case[3:]))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(table(), encoding="utf-8")
