"""Receive `POST /v1/files`: the form's parts go to the disk as they arrive."""

from __future__ import annotations

import anyio
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from .._errors import GatewayError, invalid
from .store import FileStore, Upload
from .stored_file import StoredFile, check_purpose, expiry_of, shown_name

_CHUNK = 256 * 1024
"""Bytes of an upload that are in memory."""

_SLOWEST = 64 * 1024
"""Bytes a second that an upload must make on average, when `body_timeout` is over."""

_MOST_PARTS, _LONGEST_FIELD = 16, 1024
"""Parts of a form, and bytes of a part that is no file."""


async def received(request: web.Request, store: FileStore, owner: str, body_timeout: float) -> StoredFile:
    """Return the stored file; raises GatewayError if the form is none, too long or too slow."""
    if request.content_type != "multipart/form-data":
        raise GatewayError(415, f"send multipart/form-data, not {request.content_type[:80]!r}")
    if "Origin" in request.headers:
        # Any website can post a form here, without asking first.
        raise GatewayError(
            403, "files are not taken from web pages", "permission_error", "origin_not_allowed"
        )
    async with store.receiving(owner) as upload:
        form = _Form(upload)
        try:
            with anyio.fail_after(body_timeout) as scope:
                await form.read(request, scope)
        except TimeoutError as error:
            raise GatewayError(408, "the file did not arrive in time") from error
        except (HttpProcessingError, ValueError, LookupError, RuntimeError, AssertionError) as error:
            # What aiohttp's reader raises for a form that is none.
            raise invalid("the body is not multipart/form-data as its header says") from error
        if form.filename is None:
            raise invalid("'file' is missing: a part of the form with a file name", "file")
        fields = form.fields
        check_purpose(fields.get("purpose"))
        expiry = expiry_of(fields.get("expires_after[anchor]"), fields.get("expires_after[seconds]"))
        file = store.described(upload.id, owner, form.filename, "batch")
        return await store.add(file.expiring(expiry), upload.content)


class _Form:
    """The parts of one form."""

    def __init__(self, upload: Upload) -> None:
        self.filename: str | None = None
        """Name of the uploaded file; None until it has come."""
        self.fields: dict[str, str] = {}
        self._upload = upload

    async def read(self, request: web.Request, scope: anyio.CancelScope) -> None:
        """Read all parts; each byte that arrives moves the deadline of *scope*."""
        reader = await request.multipart()
        for _ in range(_MOST_PARTS):
            part = await reader.next()
            if part is None:
                return
            if not isinstance(part, BodyPartReader):
                raise invalid("a part of the form is a form itself")
            if part.name == "file" and part.filename is not None and self.filename is None:
                self.filename = shown_name(part.filename)
                await self._read_file(part, scope)
            else:
                await self._read_field(part)
        raise invalid(f"the form has more than {_MOST_PARTS} parts")

    async def _read_file(self, part: BodyPartReader, scope: anyio.CancelScope) -> None:
        while chunk := await part.read_chunk(_CHUNK):
            await self._upload.write(chunk)
            scope.deadline += len(chunk) / _SLOWEST

    async def _read_field(self, part: BodyPartReader) -> None:
        name = (part.name or "")[:80]
        value = bytearray()
        while chunk := await part.read_chunk(_LONGEST_FIELD):
            value += chunk
            if len(value) > _LONGEST_FIELD:
                raise invalid(f"{name!r} is longer than {_LONGEST_FIELD} bytes", name)
        self.fields[name] = value.decode("utf-8", "replace")
