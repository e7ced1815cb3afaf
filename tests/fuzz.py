"""Everything that reads bytes from outside, under random bytes: `python -m tests.fuzz [--seconds S] [NAME …]`.

A reader may return, or raise an error of those that it names. Anything else, or a stall, ends the run with the input
that caused it. With atheris installed the search follows the branches of the code; without, inputs are mutated at
random. `tests/test_fuzz.py` tries each reader for a moment with hypothesis.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from segmind_async import ConfigurationError, SegmindError
from segmind_async._jobs.classify import read_definitions
from segmind_async._jobs.formats.file_format import Format
from segmind_async._jobs.prompt_template import template
from segmind_async._jobs.rows import open_rows
from segmind_async._media.documents import document_part
from segmind_async._media.formats import image_part
from segmind_async._media.parts import data_in_url
from segmind_async._providers.answers import as_openai, decode
from segmind_async._structured.json_text import only_value
from segmind_async._structured.shape import shape_of
from segmind_async._transport.access import checked_url
from segmind_async._transport.direct.content_coding import DamagedError, decoded
from segmind_async._transport.proxy import proxy_for
from segmind_async._wire import response_headers
from segmind_async._wire.failures import refusal
from segmind_async._wire.json import UnreadableError, read_object
from segmind_async._wire.redaction import Redactor
from segmind_async.gateway._errors import GatewayError
from segmind_async.gateway._openai.chat_request import read_chat
from segmind_async.gateway._segmind.form import read_request
from segmind_async.models import ChatCompletion
from tests.pictures import drawn

LONGEST = 4096
"""Bytes of an input."""
STALL = 0.5
"""Seconds of CPU for one of them: hundreds of times what any should take, with atheris' tracing too."""
AT_ONCE = 2

KEY = "SG_0123456789abcdef"
_ANSWER = (
    b'{"id":"x","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
)
_CLAUDE = b'{"content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":1}}'
_GEMINI = b'{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}]}'
_REQUEST = (
    b'{"model":"gpt-5.4-mini","messages":[{"role":"user","content":"hi"}],"tools":[],"stop":["."],"n":1}'
)


class Target(NamedTuple):
    """A reader, the errors that it may raise, and inputs to begin with."""

    read: Callable[[bytes], object]
    may_raise: tuple[type[Exception], ...] = ()
    seeds: tuple[bytes, ...] = (b"",)


def _answer(data: bytes) -> object:
    found = decode(data)
    return as_openai(
        ChatCompletion(found.text, usage=found.usage, tool_calls=found.tool_calls, raw=found.raw), created=1
    )


def _headers(data: bytes) -> object:
    names = (
        response_headers.BALANCE, response_headers.COST, response_headers.REQUEST_ID, response_headers.RESET_AT,
        response_headers.RETRY_AFTER, response_headers.RETRY_AFTER_MS, response_headers.DATE, response_headers.ELAPSED,
        response_headers.GATEWAY,
    )  # fmt: skip
    headers = dict(zip(names, data.decode("utf-8", "surrogateescape").split("\n"), strict=False))
    response_headers.request_id_in(headers)
    response_headers.elapsed_in(headers)
    cost, balance = response_headers.cost_in(headers), response_headers.balance_in(headers)
    assert cost is None or 0 <= cost < response_headers.MAX_COST
    assert balance is None or 0 <= balance < response_headers.MAX_CREDITS
    wait = response_headers.seconds_to_wait(headers, 1.8e9)
    assert wait is None or 0 <= wait <= response_headers.MAX_RETRY_AFTER
    return wait


def _refusal(data: bytes) -> object:
    failure = refusal(400 + (data[0] if data else 0) % 200, {}, data[1:], None)
    assert failure.message
    return Redactor(KEY).failure(failure)


def _rows(form: Format, packed: bool = False) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        with tempfile.NamedTemporaryFile(suffix=".gz" if packed else "") as file:
            file.write(data)
            file.flush()
            with open_rows(Path(file.name), form=form) as rows:
                return sum(row.request is None for row in rows)

    return read


def _schema(data: bytes) -> object:
    return shape_of(read_object(data))


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode("utf-8", "replace"))


TARGETS: dict[str, Target] = {
    "answer": Target(_answer, (UnreadableError,), (_ANSWER, _CLAUDE, _GEMINI)),
    "headers": Target(_headers, seeds=(b"1.5\n0.0001\nid\n2026-01-01T00:00:00Z\n3\n100\nThu, 01 Jan 2026 00:00:00 GMT\n1\n1",)),
    "refusal": Target(_refusal, seeds=(b'\0{"error":"Insufficient credits"}', b"\1<html><title>502</title>")),
    "json in text": Target(_text(only_value), seeds=(b'Sure:\n```json\n{"a": [1, 2]}\n```', b'{"a": "b"} and more')),
    "content coding": Target(
        lambda data: decoded(data[1:], ("gzip", "deflate", "zstd", "br")[(data or b"\0")[0] % 4], 1 << 20),
        (DamagedError,),
        (b"\0" + gzip.compress(_ANSWER),),
    ),
    "image": Target(
        lambda data: image_part(data, "it"),
        (SegmindError,),
        tuple(drawn(form, (3, 2)) for form in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")),
    ),
    "document": Target(lambda data: document_part(data, "a.pdf", "it"), (SegmindError,), (b"%PDF-1.7\n%%EOF",)),
    "data URL": Target(
        _text(lambda text: data_in_url(text, "image", "image/…")), (SegmindError,), (b"data:image/png;base64,AAAA",)
    ),
    "rows of JSON lines": Target(
        _rows(Format.JSONL), (ConfigurationError,), (b'{"id":1,"prompt":"a"}\n{"messages":[]}\n', b'[{"prompt":"a"}]')
    ),
    "rows of CSV": Target(_rows(Format.CSV), (ConfigurationError,), (b'id,prompt\r\n1,"a ""b"""\r\n', b"\xff\xfea\0\n\0")),
    "rows of gzip": Target(
        _rows(Format.JSONL, packed=True), (ConfigurationError,), (gzip.compress(b'{"prompt":"a"}\n'),)
    ),
    "rows of Parquet": Target(_rows(Format.PARQUET), (ConfigurationError,), (b"PAR1\0\0\0\0PAR1",)),
    "labels": Target(_text(lambda text: read_definitions(text, "it")), (ConfigurationError,), (b"spam: junk\nham\n",)),
    "prompt template": Target(
        _text(lambda text: template(text)({"a": 1})), (ConfigurationError, ValueError), (b"Say {a} {{b}}",)
    ),
    "JSON schema": Target(
        _schema,
        (UnreadableError, SegmindError),
        (b'{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},"$defs":{"b":{"type":["string","null"]}}}',),
    ),
    "address": Target(_text(lambda text: checked_url(text, False)), (ConfigurationError,), (b"https://[::1]:8/v1",)),
    "proxy": Target(
        _text(lambda text: proxy_for("https://a/v1", text, None, trust_env=False, allow_http=False)),
        (ConfigurationError,),
        (b"http://u:p@host:3128",),
    ),
    "gateway, OpenAI's form": Target(read_chat, (GatewayError,), (_REQUEST,)),
    "gateway, Segmind's form": Target(lambda data: read_request("gpt-5.4-mini", data), (GatewayError,), (_REQUEST,)),
}  # fmt: skip


def attempt(target: Target, data: bytes) -> None:
    """Give an input to a reader; raises what it must not raise, AssertionError for a stall."""
    began = time.thread_time()
    with suppress(*target.may_raise):
        target.read(data)
    took = time.thread_time() - began
    assert took < STALL, f"{took:.1f} s for {len(data)} bytes"


def mutated(seeds: tuple[bytes, ...], chance: random.Random) -> Iterator[bytes]:
    """Yield seeds in which pieces are changed, doubled, moved or lost, without end."""
    words = [
        b'"',
        b"\\u0000",
        b"null",
        b"-1e999",
        b"{",
        b"[",
        b"\xff",
        b"\n",
        b"1" * 400,
        b"\xef\xbb\xbf",
        b" " * 64,
    ]
    while True:
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 8)):
            at, size = chance.randint(0, len(data)), chance.choice([0, 1, 2, 8, 64])
            piece = [chance.choice(words), chance.randbytes(size or 1), bytes(data[at : at + size]), b""]
            data[at : at + chance.choice([0, size])] = chance.choice(piece)
        yield bytes(data[:LONGEST])


_TRACED = """
import sys, atheris
with atheris.instrument_imports(include=["segmind_async"]):
    from tests import fuzz
fuzz.search_with_atheris(sys.argv[1], float(sys.argv[2]))
"""
_PLAIN = "import sys; from tests import fuzz; fuzz.search_with_mutations(sys.argv[1], float(sys.argv[2]))"


def search(name: str, seconds: float) -> str | None:
    """Search one reader in a process of its own; return what was found, None if nothing was."""
    code = _PLAIN if importlib.util.find_spec("atheris") is None else _TRACED
    words = [sys.executable, "-c", code, name, str(seconds)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stdout + done.stderr)[-3000:]


def search_with_mutations(name: str, seconds: float) -> None:
    """Give mutated seeds to a reader; raises what it must not raise."""
    end, target = time.monotonic() + seconds, TARGETS[name]
    for data in mutated(target.seeds, random.Random()):
        if time.monotonic() > end:
            return
        try:
            attempt(target, data)
        except BaseException:
            print("input:", data)
            raise


def search_with_atheris(name: str, seconds: float) -> None:
    """Let atheris search a reader; it ends the process."""
    target = TARGETS[name]
    atheris: Any = importlib.import_module("atheris")
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(target.seeds):
            (Path(folder) / str(number)).write_bytes(seed)
        options = [
            f"-max_total_time={max(1, int(seconds))}",
            f"-max_len={LONGEST}",
            "-timeout=20",
            "-rss_limit_mb=0",
        ]
        atheris.Setup([sys.argv[0], *options, folder], lambda data: attempt(target, data))
        atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    options = parser.parse_args()
    found = 0
    names = options.names or list(TARGETS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for name, what in zip(
            names, pool.map(lambda name: search(name, options.seconds), names), strict=True
        ):
            found += what is not None
            print(f"{name}: {'nothing found' if what is None else what}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
