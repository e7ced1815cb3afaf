"""Request bodies in each provider's form, and input that is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from segmind_async import InvalidRequestError, assistant, image, system, user
from segmind_async._media.loading import SourceImage
from segmind_async._media.parts import PartsNotLoadedError
from segmind_async._providers.registry import check_slug, provider_of
from segmind_async._providers.requests import encode
from tests.pictures import claimed

PNG = claimed(2, 3)
INLINE = base64.b64encode(PNG).decode()
TALK = [system("be brief"), user("hi"), assistant("hello"), user("bye")]


def body(model: str, messages: Any, **parameters: Any) -> Any:
    return json.loads(encode(model, messages, parameters))


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-5.4-mini", "openai"),
        ("claude-4-sonnet", "anthropic"),
        ("gemini-2.5-flash", "gemini"),
        ("deepseek-chat", "deepseek"),
        ("qwen3-max", "openai"),
        ("unheard-of", "openai"),
    ],
)
def test_the_provider_of_a_slug(model: str, provider: str) -> None:
    assert provider_of(model).name == provider


@pytest.mark.parametrize("slug", ["gpt-5.4-mini", "a", "A_b.c-1", "llama-v3p1-8b-instruct"])
def test_slugs(slug: str) -> None:
    assert check_slug(slug) == slug


@pytest.mark.parametrize(
    "slug", ["", ".", "..", "../admin", "a/b", "a?b", "a b", "-a", "ä", "a\n", None, 5, "a%2f"]
)
def test_a_slug_that_could_leave_its_path_is_refused(slug: object) -> None:
    with pytest.raises(InvalidRequestError, match="is not a slug"):
        check_slug(slug)


@pytest.mark.parametrize("path", ["get-user-credits", "requests"])
def test_other_paths_of_the_service_are_no_models(path: str) -> None:
    with pytest.raises(InvalidRequestError, match="another path of the service, not a model"):
        check_slug(path)


def test_openai_takes_messages_as_they_are() -> None:
    assert body("gpt-5.4-mini", TALK, temperature=0) == {
        "messages": [dict(row) for row in TALK],
        "temperature": 0,
    }


def test_a_string_is_one_user_message() -> None:
    assert body("gpt-5.4-mini", "hi") == {"messages": [{"role": "user", "content": "hi"}]}


def test_claude_takes_the_system_prompt_as_instruction() -> None:
    got = body("claude-4-sonnet", [system("one"), *TALK], max_tokens=5)
    assert got["instruction"] == "one\n\nbe brief"
    assert [row["role"] for row in got["messages"]] == ["user", "assistant", "user"]
    assert got["max_tokens"] == 5
    assert "instruction" not in body("claude-4-sonnet", "hi")


def test_gemini_takes_contents() -> None:
    assert body("gemini-2.5-flash", TALK) == {
        "messages": {
            "contents": [
                {"role": "user", "parts": [{"text": "hi"}]},
                {"role": "model", "parts": [{"text": "hello"}]},
                {"role": "user", "parts": [{"text": "bye"}]},
            ],
            "system_instruction": {"parts": {"text": "be brief"}},
        }
    }
    assert "system_instruction" not in body("gemini-2.5-flash", "hi")["messages"]


def test_an_image_takes_each_providers_form() -> None:
    row = user("what is it?", image(PNG))
    url = f"data:image/png;base64,{INLINE}"
    assert body("gpt-5.4-mini", [row])["messages"][0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": url},
    }
    assert body("claude-4-sonnet", [row])["messages"][0]["content"] == [
        {"type": "text", "text": "what is it?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": INLINE}},
    ]
    assert body("gemini-2.5-flash", [row])["messages"]["contents"][0]["parts"] == [
        {"text": "what is it?"},
        {"inlineData": {"mimeType": "image/png", "data": INLINE}},
    ]


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash"])
def test_a_lazy_image_is_reported_until_it_is_loaded_and_then_sent_like_any_other(
    model: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    picture = image(path)
    assert isinstance(picture, SourceImage)
    talk = [user("hi"), user("what is it?", picture, image(PNG)), assistant("a dot")]
    with pytest.raises(PartsNotLoadedError) as caught:
        encode(model, talk, {})
    assert caught.value.parts == [picture]
    picture.load()
    assert body(model, talk) == body(model, [talk[0], user("what is it?", image(PNG), image(PNG)), talk[2]])


def test_an_image_on_the_web_goes_to_claude_by_url_and_not_to_gemini() -> None:
    row = user("?", image("https://example.com/a.png"))
    assert body("claude-4-sonnet", [row])["messages"][0]["content"][1] == {
        "type": "image",
        "source": {"type": "url", "url": "https://example.com/a.png"},
    }
    with pytest.raises(InvalidRequestError, match="Gemini models take only the image itself"):
        body("gemini-2.5-flash", [row])


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash"])
def test_unknown_parts_pass(model: str) -> None:
    part = {"type": "input_audio", "input_audio": {"data": "AA=="}}
    assert json.dumps(part) in json.dumps(body(model, [user(part)]))


def test_an_image_url_as_plain_text_is_understood() -> None:
    part = {"type": "image_url", "image_url": f"data:image/png;base64,{INLINE}"}
    assert body("claude-4-sonnet", [user(part)])["messages"][0]["content"][0]["source"]["data"] == INLINE
    odd = {"type": "image_url", "image_url": 5}
    assert body("claude-4-sonnet", [user(odd)])["messages"][0]["content"] == [odd]


def test_a_tool_call_without_text_is_no_empty_message() -> None:
    row = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}
    assert body("gpt-5.4-mini", [user("a"), row])["messages"][1] == row
    assert body("claude-4-sonnet", [user("a"), row])["messages"][1] == {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}],
    }
    assert body("gemini-2.5-flash", [user("a"), row])["messages"]["contents"][1] == {
        "role": "model",
        "parts": [{"functionCall": {"name": "f", "args": {}}}],
    }


def test_400_000_tokens_pass() -> None:
    text = "word " * 400_000
    assert body("gpt-5.4-mini", text)["messages"][0]["content"] == text


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        pytest.param([], "messages is empty", id="empty"),
        pytest.param(None, "messages=None is a NoneType; give a string, or a list", id="none"),
        pytest.param(7, "messages=7 is a int; give a string, or a list", id="number"),
        pytest.param({"role": "user"}, "is a dict; put the message into a list", id="one message without a list"),
        pytest.param({"prompt": "x"}, "messages={'prompt': 'x'} is a dict; give a string", id="a row"),
        pytest.param(b"hi", "messages=b'hi' is a bytes", id="bytes"),
        pytest.param(["hi"], r"messages\[0\]='hi' is a str; .* use user", id="list of strings"),
        pytest.param([{"content": "x"}], r"messages\[0\] has role=None", id="no role"),
        pytest.param([{"role": "bot", "content": "x"}], "role='bot'; use one of assistant", id="odd role"),
        pytest.param([{"role": [], "content": "x"}], r"role=\[\]", id="role is a list"),
        pytest.param([{"role": "user"}], r"messages\[0\] has content of type NoneType", id="no content"),
        pytest.param([{"role": "user", "content": 5}], "content of type int", id="number as content"),
        pytest.param([{"role": "user", "content": []}], "content of type list", id="no parts"),
        pytest.param([{"role": "user", "content": b"x"}], "content of type bytes", id="bytes as content"),
        pytest.param([{"role": "user", "content": ["x"]}], r"messages\[0\].content\[0\] is a str", id="bare part"),
        pytest.param([user("a"), user("\ud83d")], r"messages\[1\] holds half a character \('\\ud83d'\) at position 0", id="surrogate"),
        pytest.param([user("fine", "ab\udc80")], r"messages\[0\] holds half a character .* position 2", id="surrogate in a part"),
        pytest.param([{"role": "user", "content": [{"type": "x", "data": object()}]}], "messages cannot be written", id="no json"),
    ],
)  # fmt: skip
def test_messages_that_cannot_be_sent(messages: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        encode("gpt-5.4-mini", messages, {})


@pytest.mark.parametrize("model", ["claude-4-sonnet", "gemini-2.5-flash"])
def test_a_conversation_of_system_prompts_alone_is_refused(model: str) -> None:
    with pytest.raises(InvalidRequestError, match="add one from the user"):
        encode(model, [system("be brief")], {})


class Shown(BaseModel):
    n: int


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"stream": True}, "does not stream"),
        ({"n": 2}, r"n=2: of several answers one would be read, .* chat_many"),
        ({"response_model": Shown}, "response_model=Shown: pass the type as parse=Shown"),
        ({"response_model": list[int]}, r"response_model=list\[int\]: pass the type as parse="),
        ({"response_format": Shown}, "response_format=Shown: pass the type as parse=Shown"),
        ({"temperature": float("nan")}, "temperature=nan is not a JSON number"),
        ({"logit_bias": {"50256": float("inf")}}, "logit_bias.50256=inf is not a JSON number"),
        ({"stop": ["a", {"b": float("-inf")}]}, r"stop\[1\].b=-inf is not"),
        ({"temperature": float("inf")}, "temperature=inf"),
        ({"messages": []}, "parameter 'messages' is made from the messages"),
        ({"stop": object()}, "parameter 'stop' of type object cannot be written as JSON"),
        ({"a": 1, "stop": "\ud800"}, "parameter 'stop' of type str cannot be written"),
    ],
)
def test_parameters_that_cannot_be_sent(parameters: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        encode("gpt-5.4-mini", "hi", parameters)


def test_parameters_pass_as_they_are() -> None:
    got = body("gpt-5.4-mini", "hi", stream=False, n=1, response_format={"type": "json_object"}, seed=1)
    assert (got["stream"], got["response_format"], got["seed"]) == (False, {"type": "json_object"}, 1)


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-pro"])
def test_an_image_url_that_cannot_be_fetched_is_refused(model: str) -> None:
    part = {"type": "image_url", "image_url": {"url": "file:///home/me/cat.png"}}
    with pytest.raises(InvalidRequestError, match=r"messages\[0\].content\[0\] has the image URL 'file:"):
        encode(model, [{"role": "user", "content": [part]}], {})


@pytest.mark.parametrize(
    ("model", "given", "wanted"),
    [
        ("claude-4-sonnet", {"max_completion_tokens": 9}, {"max_tokens": 9}),
        ("claude-4-sonnet", {"stop": "."}, {"stop_sequences": ["."]}),
        ("claude-4-sonnet", {"stop": [".", "!"], "top_k": 5}, {"stop_sequences": [".", "!"], "top_k": 5}),
        ("claude-4-sonnet", {"stop": None, "max_completion_tokens": None, "max_tokens": 3}, {"max_tokens": 3}),
        ("gemini-2.5-flash", {"max_completion_tokens": 9}, {"generationConfig": {"maxOutputTokens": 9}}),
        (
            "gemini-2.5-flash",
            {"max_tokens": 9, "stop": ".", "generationConfig": {"topK": 4}, "seed": 1},
            {"seed": 1, "generationConfig": {"topK": 4, "maxOutputTokens": 9, "stopSequences": ["."]}},
        ),
        ("gemini-2.5-flash", {"generationConfig": 5, "temperature": 0}, {"generationConfig": 5, "temperature": 0}),
        ("gpt-5.4-mini", {"max_completion_tokens": 9, "stop": "."}, {"max_completion_tokens": 9, "stop": "."}),
    ],
)  # fmt: skip
def test_bounds_and_stop_sequences_have_the_providers_names(
    model: str, given: dict[str, Any], wanted: dict[str, Any]
) -> None:
    got = body(model, "hi", **given)
    del got["messages"]
    assert got == wanted


@pytest.mark.parametrize(
    ("model", "given", "says"),
    [
        ("claude-4-sonnet", {"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens and max_completion_tokens"),
        ("claude-4-sonnet", {"stop": ".", "stop_sequences": ["."]}, "stop and stop_sequences are one parameter"),
        ("gemini-2.5-flash", {"generationConfig": {"maxOutputTokens": 1}, "max_tokens": 2}, "leave one out"),
    ],
)  # fmt: skip
def test_two_parameters_that_become_one_are_refused(model: str, given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        body(model, "hi", **given)


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash", "deepseek-chat"])
def test_messages_as_written_for_openai_are_taken_for_every_provider(model: str) -> None:
    url = f"data:image/png;base64,{INLINE}"
    rows = [
        {"role": "developer", "content": "be brief"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is it?"},
                {"type": "image_url", "image_url": {"url": url, "detail": "low"}},
            ],
        },
    ]
    text = json.dumps(body(model, rows))
    for part in ("be brief", "what is it?", INLINE):
        assert part in text
    assert ("image_url" in text) == (model in {"gpt-5.4-mini", "deepseek-chat"})
