"""Faults between a service and its caller, as data; `server` applies them."""

from __future__ import annotations

import gzip
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with this instead. A status other than 200 does not run the call; a 200 runs and bills it."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Headers:
    """Answer as usual, with these headers changed; None takes one away."""

    changed: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait this many seconds, then answer as usual."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Silence:
    """Run and bill the call, and send no response for this many seconds."""

    seconds: float = math.inf


@dataclass(frozen=True, slots=True)
class Reset:
    """Drop the connection instead of answering; `ran` says whether the call runs and is billed."""

    ran: bool = True


@dataclass(frozen=True, slots=True)
class Cut:
    """Run the call, send its headers and a part of its body, and drop the connection."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Drip:
    """Run the call and send a blank every *interval* seconds, without end."""

    interval: float = 1.0


@dataclass(frozen=True, slots=True)
class NoHttp:
    """Run the call and answer with bytes that are not HTTP."""

    data: bytes = b"\x00\x01 what is this\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Say:
    """Run the call, and replace the model's answer with this text."""

    text: str = "{"


@dataclass(frozen=True, slots=True)
class Wrap:
    """Run the call, and add texts before and after the model's answer."""

    before: str = "Sure! Here it is:\n```json\n"
    after: str = "\n```\nAnything else?"


@dataclass(frozen=True, slots=True)
class CutShort:
    """Run the call, and truncate the model's answer after this many tokens."""

    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Refuse:
    """Run the call, and let the model refuse, in its provider's shape."""

    text: str = "I cannot help with that."


Twist: TypeAlias = Say | Wrap | CutShort | Refuse
"""Faults of a model's answer; such a call is billed like any other."""

Fault: TypeAlias = Answer | Headers | Delay | Silence | Reset | Cut | Drip | NoHttp | Twist


def status(code: int, text: str = "Something went wrong", **headers: str) -> Answer:
    """Return a refusal with a JSON body; `_` in header names stands for `-`."""
    body = f'{{"error": "{text}"}}'.encode()
    return Answer(code, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def proxy_page(code: int) -> Answer:
    """Return an HTML error page, as a proxy in front of the service sends it."""
    page = f"<html><head><title>{code} from the proxy</title></head><body><h1>{code}</h1></body></html>"
    return Answer(code, page.encode(), "text/html")


def redirect(to: str, code: int = 307) -> Answer:
    """Return a redirect; a client that follows it would send the key there."""
    return Answer(code, b"", headers={"Location": to})


_WHOLE = b'{"choices":[{"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}],"usage":{}}'


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(64 * 1024 * 1024), 9)


def hostile_answers() -> dict[str, Answer]:
    """Return invalid answers with status 200, by name."""
    latin = _WHOLE % "schön".encode("latin-1")
    return {
        "html": Answer(200, b"<html><title>Welcome</title></html>", "text/html"),
        "empty-object": Answer(200, b"{}"),
        "empty-list": Answer(200, b"[]"),
        "null": Answer(200, b"null"),
        "empty-body": Answer(200, b""),
        "blank-body": Answer(200, b" \n"),
        "number": Answer(200, b"42"),
        "error-inside": Answer(200, b'{"error":"upstream failed"}'),
        "no-choices": Answer(200, b'{"choices":[],"usage":{}}'),
        "choice-without-message": Answer(200, b'{"choices":[{"index":0}]}'),
        "content-is-a-number": Answer(200, b'{"choices":[{"message":{"content":7}}]}'),
        "half-a-json": Answer(200, (_WHOLE % b"hello")[:40]),
        "invalid-utf-8": Answer(200, _WHOLE % b"\xff\xfe\xfd"),
        "latin-1": Answer(200, latin, "application/json; charset=latin-1"),
        "utf-16": Answer(200, (_WHOLE % b"hi").decode().encode("utf-16"), "application/json; charset=utf-16"),
        "100000-brackets": Answer(200, b"[" * 100_000),
        "gzip-bomb": Answer(200, _bomb(), headers={"Content-Encoding": "gzip"}),
        "not-gzip-though-said": Answer(200, _WHOLE % b"hi", headers={"Content-Encoding": "gzip"}),
        "two-answers": Answer(200, _WHOLE % b"hi" + _WHOLE % b"hi"),
        "over-32-mib": Answer(200, _WHOLE % (b"x" * (33 * 1024 * 1024))),
    }


def odd_answers() -> dict[str, tuple[Answer, str]]:
    """Return unusual but valid answers with status 200, by name, each with its text."""
    return {
        "bom": (Answer(200, b"\xef\xbb\xbf" + _WHOLE % b"hi"), "hi"),
        "wrong-content-type": (Answer(200, _WHOLE % b"hi", "text/plain"), "hi"),
        "wrong-charset-named": (Answer(200, _WHOLE % "ö".encode(), "application/json; charset=latin-1"), "ö"),
        "unknown-encoding": (
            Answer(200, _WHOLE % b"hi", headers={"Content-Encoding": "snappy"}),
            "hi",
        ),
        "gzip": (Answer(200, gzip.compress(_WHOLE % b"hi"), headers={"Content-Encoding": "gzip"}), "hi"),
        "half-a-character": (Answer(200, _WHOLE % b"ab\\ud83d"), "ab\ufffd"),
        "null-content": (
            Answer(200, b'{"choices":[{"message":{"content":null},"finish_reason":"length"}]}'),
            "",
        ),
        "parts": (
            Answer(200, b'{"choices":[{"message":{"content":[{"type":"text","text":"h"},{"text":"i"}]}}]}'),
            "hi",
        ),
        "unknown-words": (
            Answer(
                200, b'{"choices":[{"message":{"content":"hi","mood":1},"finish_reason":"bored"}],"new":{}}'
            ),
            "hi",
        ),
        "nulls": (
            Answer(200, b'{"choices":[{"message":{"content":"hi"},"finish_reason":null}],"usage":null}'),
            "hi",
        ),
        "numbers-as-text": (
            Answer(200, b'{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":"12"}}'),
            "hi",
        ),
    }


class RandomFaults:
    """Draws faults at random, the same ones for the same seed."""

    def __init__(self, *shares: tuple[float, Fault], seed: int = 0) -> None:
        """*shares* are pairs of a probability and its fault; other calls have none."""
        total = sum(share for share, _ in shares)
        if total > 1:
            raise ValueError(f"shares of faults add up to more than 1: {total}")
        self._shares = shares
        self._chance = random.Random(seed)

    def draw(self) -> Fault | None:
        """Return the next call's fault; None means no fault."""
        drawn = self._chance.random()
        for share, fault in self._shares:
            drawn -= share
            if drawn < 0:
                return fault
        return None
