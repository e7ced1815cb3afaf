"""What each provider refuses in a conversation, by its published rules; knows nothing of the package.

Sources, read 2026-08 to 2026-11: OpenAI's API reference of chat completions; Anthropic's Messages API
reference, its pages on tool use, extended thinking and errors; Google's Gemini API reference of
`generateContent`, its pages on function calling and thought signatures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
CLAUDE_ID = re.compile(r"[A-Za-z0-9_-]+")
GEMINI_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def check(slug: str, body: Mapping[str, Any]) -> None:
    """Raise AssertionError naming the first rule that the request of *slug* breaks."""
    if slug.startswith("claude-"):
        check_claude(body["messages"])
    elif slug.startswith("gemini-"):
        check_gemini(body["messages"]["contents"], signed=slug.startswith("gemini-3"))
    else:
        check_openai(body["messages"])


def check_openai(messages: Sequence[Mapping[str, Any]]) -> None:
    """Check the rules of chat completions."""
    open_ids: list[str] = []
    for message in messages:
        role = message["role"]
        if role == "tool":
            assert message["tool_call_id"] in open_ids, (
                "a message of the role tool must answer a call before it"
            )
            open_ids.remove(message["tool_call_id"])
            assert isinstance(message["content"], str)
            continue
        assert not open_ids, "each tool call must be answered by messages that follow at once"
        if role == "assistant":
            open_ids = list(_openai_calls(message))
            assert set(message) <= {
                *("role", "content", "name", "refusal", "tool_calls", "annotations", "audio", "function_call")
            }
        content = message.get("content")
        if content is None:
            assert role == "assistant", "only the assistant may have no content"
            assert message.get("tool_calls") or message.get("refusal"), "no content, and no call"
        elif not isinstance(content, str):
            allowed = (
                {"text", "refusal"} if role == "assistant" else {"text", "image_url", "input_audio", "file"}
            )
            assert content
            assert {part["type"] for part in content} <= allowed
    assert not open_ids, "each tool call must be answered"


def _openai_calls(message: Mapping[str, Any]) -> Iterator[str]:
    calls = message.get("tool_calls")
    assert calls is None or calls, "tool_calls must not be empty"
    ids = [call["id"] for call in calls or ()]
    assert len({*ids}) == len(ids), "ids of tool calls must be unique"
    for call in calls or ():
        assert set(call) == {"id", "type", "function"}
        assert call["type"] == "function"
        assert 1 <= len(call["id"]) <= 40, "an id has at most 40 characters"
        assert NAME.fullmatch(call["function"]["name"]), "the name of a function"
        assert isinstance(call["function"]["arguments"], str)
        yield call["id"]


def check_claude(messages: Sequence[Mapping[str, Any]]) -> None:
    """Check the rules of the Messages API."""
    seen: set[str] = set()
    open_ids: list[str] = []
    assert messages[0]["role"] == "user", "the first message must be of the user"
    for message in messages:
        assert set(message) == {"role", "content"}, f"extra inputs are not permitted: {set(message)}"
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        assert parts, "messages must have content"
        results = [part["tool_use_id"] for part in parts if part["type"] == "tool_result"]
        assert sorted(results) == sorted(open_ids), "each tool_use needs its tool_result in the next message"
        assert all(part["type"] == "tool_result" for part in parts[: len(results)]), "results come first"
        assert len({*results}) == len(results), "each tool_use has one result"
        open_ids = []
        for part in parts:
            _check_claude_part(message["role"], part)
            if part["type"] == "tool_use":
                assert part["id"] not in seen, "ids of tool_use must be unique"
                seen.add(part["id"])
                open_ids.append(part["id"])
        if message["role"] == "assistant":
            assert parts[-1]["type"] not in {"thinking", "redacted_thinking"}, (
                "the last part must not be thinking"
            )
    assert not open_ids, "each tool_use needs its tool_result"


def _check_claude_part(role: str, part: Mapping[str, Any]) -> None:
    kind = part["type"]
    if kind == "text":
        assert part["text"].strip(), "a text must hold more than white space"
    elif kind == "tool_use":
        assert role == "assistant"
        assert CLAUDE_ID.fullmatch(part["id"]), "tool_use.id must match ^[a-zA-Z0-9_-]+$"
        assert NAME.fullmatch(part["name"])
        assert isinstance(part["input"], dict)
        assert set(part) == {"type", "id", "name", "input"}
    elif kind == "thinking":
        assert role == "assistant"
        assert part["signature"], "thinking needs its signature"
    else:
        known = {"tool_result", "image", "document"} if role == "user" else {"redacted_thinking"}
        assert kind in known, f"the {role} has no part of type {kind}"


def check_gemini(contents: Sequence[Mapping[str, Any]], *, signed: bool) -> None:
    """Check the rules of `generateContent`."""
    open_names: list[str] = []
    before = ""
    for content in contents:
        assert set(content) == {"role", "parts"}
        assert content["role"] in {"user", "model"}
        assert content["parts"], "contents.parts must not be empty"
        calls = [part for part in content["parts"] if "functionCall" in part]
        results = [part["functionResponse"] for part in content["parts"] if "functionResponse" in part]
        assert [one["name"] for one in results] == open_names, "as many responses as calls, in their order"
        assert not calls or before == "user", "a call comes right after the user or after responses"
        assert not calls or not signed or calls[0].get("thoughtSignature"), (
            "the first call needs its signature"
        )
        for part in content["parts"]:
            _check_gemini_part(part)
        open_names = [part["functionCall"]["name"] for part in calls]
        before = content["role"]
    assert not open_names, "each call needs its response"


def _check_gemini_part(part: Mapping[str, Any]) -> None:
    kinds = set(part) - {"thoughtSignature"}
    assert len(kinds) == 1, f"a part holds one thing: {kinds}"
    [kind] = kinds
    assert kind in {"text", "inlineData", "functionCall", "functionResponse"}, f"unknown name {kind}"
    if kind == "text":
        assert part["text"], "a text must not be empty"
    if kind == "functionCall":
        assert set(part[kind]) == {"name", "args"}
        assert GEMINI_NAME.fullmatch(part[kind]["name"])
        assert isinstance(part[kind]["args"], dict)
    if kind == "functionResponse":
        assert isinstance(part[kind]["response"], dict)


def results_by_call(slug: str, body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the argument `n` of each call in a valid conversation, and the text of its result, in order."""
    if slug.startswith("gemini-"):
        return list(_gemini_results(body["messages"]["contents"]))
    read = _claude_events if slug.startswith("claude-") else _openai_events
    given: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for key, arguments, result in read(body["messages"]):
        if arguments is not None:
            given[key] = str(arguments.get("n"))
        else:
            found.append((given[key], result))
    return found


def _gemini_results(contents: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    calls: list[str] = []
    for content in contents:
        results = [one["functionResponse"] for one in content["parts"] if "functionResponse" in one]
        yield from zip(calls, (one["response"]["result"] for one in results), strict=bool(results))
        calls = [
            str(one["functionCall"]["args"].get("n")) for one in content["parts"] if "functionCall" in one
        ]


def _claude_events(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any, str]]:
    for message in messages:
        for part in message["content"] if isinstance(message["content"], list) else ():
            if part["type"] == "tool_use":
                yield part["id"], part["input"], ""
            if part["type"] == "tool_result":
                yield part["tool_use_id"], None, part["content"]


def _openai_events(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any, str]]:
    for message in messages:
        for call in message.get("tool_calls") or ():
            yield call["id"], json.loads(call["function"]["arguments"]), ""
        if message["role"] == "tool":
            yield message["tool_call_id"], None, message["content"]
