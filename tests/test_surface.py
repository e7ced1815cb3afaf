"""What users hold in their hands: settings, errors, models, messages, and what importing costs."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import segmind_async as sa
from segmind_async import errors

ROOT = Path(__file__).parents[1]


def test_all_that_is_named_is_there_and_nothing_more_is_promised() -> None:
    assert all(hasattr(sa, name) for name in sa.__all__)
    assert sorted(sa.__all__) == sa.__all__
    assert {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    } <= set(sa.__all__)
    # pytest adds names with @ where it rewrites assertions, as in every package that has a plugin.
    public = {name for name in vars(sa) if not name.startswith(("_", "@"))}
    modules = {
        "agent_result",
        "client",
        "config",
        "errors",
        "hooks",
        "transport",
        "messages",
        "models",
        "emulator",
        "engines",
        "gateway",
        "ray",
        "sync",
        "telemetry",
        "testing",
        "tokens",
        "jobs",
        "cli",
        "tools",
    }
    assert public - set(sa.__all__) <= modules | {"annotations", "logging"}


@pytest.mark.slow
def test_importing_takes_none_of_the_extras() -> None:
    script = (
        "import sys, segmind_async\n"
        "print([m for m in ('typer', 'rich', 'pydantic_settings', 'uvloop', 'bpe_openai', 'opentelemetry', 'segmind_async.emulator') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"


def made(kind: Any, **settings: Any) -> Any:
    """Make settings that a type checker would refuse."""
    return kind(**settings)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sa.Limits(max_in_flight=0), "max_in_flight=0 must be a whole number of at least 1"),
        (lambda: sa.Limits(max_in_flight=True), "max_in_flight=True"),
        (lambda: made(sa.Limits, max_in_flight=1.5), "max_in_flight=1.5"),
        (lambda: sa.Limits(requests_per_minute=0), "requests_per_minute=0 must be a finite number above 0"),
        (lambda: sa.Limits(requests_per_minute=float("nan")), "requests_per_minute=nan"),
        (lambda: sa.Limits(floor=-1), "floor=-1 must be a finite number of at least 0"),
        (lambda: made(sa.Limits, floor="5"), "floor='5'"),
        (lambda: sa.Limits(first_cost=0), "first_cost=0"),
        (lambda: sa.Limits(first_cost=Decimal("Infinity")), r"first_cost=Decimal\('Infinity'\)"),
        (lambda: sa.Limits(max_response_bytes=10), "max_response_bytes=10 must be a whole number of at least 1024"),
        (lambda: sa.Timeouts(total=0), "total=0"),
        (lambda: sa.Timeouts(idle=-1), "idle=-1"),
        (lambda: sa.Timeouts(queue=float("inf")), "queue=inf"),
        (lambda: sa.RetryPolicy(retries=-1), "retries=-1"),
        (lambda: made(sa.RetryPolicy, server_error_retries=0.5), "server_error_retries=0.5"),
        (lambda: made(sa.RetryPolicy, resend_in_doubt=None), "resend_in_doubt=None"),
        (lambda: sa.RetryPolicy(base=-1), "base=-1"),
        (lambda: made(sa.RetryPolicy, cap="x"), "cap='x'"),
        (lambda: sa.RetryPolicy(max_retry_after=float("nan")), "max_retry_after=nan"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_work_is_refused_by_name_and_value(make: Any, says: str) -> None:
    with pytest.raises(sa.ConfigurationError, match=says) as caught:
        make()
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "value",
    [
        sa.Limits(floor=Decimal("0.5"), first_cost=0.1),
        sa.Timeouts(total=None, queue=5),
        sa.RetryPolicy(retries=0),
        sa.ChatRequest([sa.user("hi")], model="gpt-5", id="7", temperature=0),
        sa.Usage(1, 2, 3),
        sa.ChatCompletion("hi", parsed=sa.Usage(1)),
        sa.Outcome(0, "0", sa.Status.OK, sa.ChatCompletion("hi", parsed=5)),
    ],
)
def test_settings_and_requests_survive_pickle_and_copy(value: Any) -> None:
    for twin in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value), copy.copy(value)):
        assert twin == value


def _all_errors() -> list[type[sa.SegmindError]]:
    found, todo = [], [sa.SegmindError]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += [kind for kind in one.__subclasses__() if kind.__module__ == errors.__name__]
    return found


@pytest.mark.parametrize("kind", _all_errors(), ids=lambda kind: kind.__name__)
def test_an_error_survives_pickle_and_copy_with_class_and_fields(kind: type[sa.SegmindError]) -> None:
    details = sa.ErrorDetails(429, b"body", {"a": "b"}, "r-1", "gpt-5", 3, 1, 2.5, 7.0, Decimal("0.1"))
    extra: list[Any] = []
    if kind in (sa.InsufficientCreditsError, sa.BudgetExceededError):
        extra = [Decimal(1), Decimal(2), Decimal(3)]
    if kind is sa.BudgetExceededError:
        extra.append("budget-1")
    if kind is sa.AgentLimitError:
        run = sa.ToolRun(1, "f", "{}", "x", False, 0.5)
        extra = [sa.AgentResult("hi", "timeout", 2, Decimal(1), (run,), (sa.user("x"),))]
    if issubclass(kind, sa.OutputError):
        extra = [("first", "second")]
    error = kind("it failed", details, *extra)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert (twin.message, twin.details, str(twin)) == ("it failed", details, "it failed")
        assert (twin.status, twin.body, twin.headers, twin.request_id, twin.model) == (
            429,
            b"body",
            {"a": "b"},
            "r-1",
            "gpt-5",
        )
        assert (twin.attempts, twin.elapsed, twin.retry_after) == (3, 2.5, 7.0)
        assert vars(twin) == vars(error)
    assert repr(error) == f"{kind.__name__}('it failed', status=429, attempts=3)"
    assert str(kind("")) == kind.__name__
    assert kind.__doc__


def test_errors_are_also_what_python_calls_them() -> None:
    assert issubclass(sa.APITimeoutError, TimeoutError)
    assert issubclass(sa.APIConnectionError, ConnectionError)
    assert issubclass(sa.InvalidRequestError, ValueError)
    assert issubclass(sa.ClientClosedError, RuntimeError)


def test_the_tree_in_the_docs_is_the_tree_in_the_code() -> None:
    assert errors.__doc__ is not None
    for kind in _all_errors():
        assert f" {kind.__name__}" in errors.__doc__


def test_a_request_compares_by_value_and_shows_itself_briefly() -> None:
    one = sa.ChatRequest("x" * 1000, temperature=0)
    assert one == sa.ChatRequest("x" * 1000, temperature=0)
    assert one != sa.ChatRequest("x" * 1000, temperature=1)
    assert one != "x"
    assert len(repr(one)) < 200
    assert "parameters=['temperature']" in repr(one)
    with pytest.raises(TypeError):
        hash(one)


def test_parameters_of_any_name_are_possible() -> None:
    assert sa.ChatRequest.of("hi", None, {"model_version": 1, "id": 2}).parameters == {
        "model_version": 1,
        "id": 2,
    }


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (None, "no API key"),
        ("", "no API key"),
        (" ", "non-printable characters"),
        ("SG_abc\n", "non-printable characters"),
        ("SG_abc def", "non-printable characters"),
        ("SG_äbc", "non-printable characters"),
    ],
)
def test_a_key_that_cannot_be_sent_is_refused_and_not_repeated(key: str | None, says: str) -> None:
    with pytest.raises(sa.ConfigurationError, match=says) as caught:
        sa.SegmindClient(key)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("api.segmind.com", "must look like https://"),
        ("ftp://x/v1", "must look like"),
        ("https://", "must look like"),
        ("https://x/v1?a=b", "must look like"),
        ("https://x/v1#a", "must look like"),
        ("https://[::1/v1", "must look like"),
        ("https://[zz::1]/v1", "must look like"),
        ("https://a..b/v1", "must look like"),
        (f"https://{'a' * 64}.example/v1", "must look like"),
        ("https://a<b/v1", "no host name has"),
        ("https://a b/v1", "blanks"),
        ("https://a\n.example/v1", "non-printable"),
        ("https://x:99999/v1", "must look like"),
        ("https://x:0/v1", "port"),
        ("https://x:y/v1", "must look like"),
        ("https://me:secret@x/v1", "must not hold a user name"),
        ("http://api.example.com/v1", "plain text; use https, or pass allow_http=True"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused(url: str, says: str) -> None:
    with pytest.raises(sa.ConfigurationError, match=says) as caught:
        sa.SegmindClient("k", url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://localhost:1/v1", "http://127.0.0.1/v1/", "http://[::1]:5/v1", "https://x/v1"]
)
def test_addresses(url: str) -> None:
    assert repr(url.rstrip("/")) in repr(sa.SegmindClient("k", url))


def test_key_and_address_come_from_the_argument_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", "from-environment")
    monkeypatch.setenv("SEGMIND_BASE_URL", "https://elsewhere/v1")
    assert "elsewhere" in repr(sa.SegmindClient())
    assert "here" in repr(sa.SegmindClient(base_url="https://here/v1"))
    with pytest.raises(sa.ConfigurationError, match="no API key"):
        sa.SegmindClient("")
    assert "far" in repr(sa.SegmindClient("k", "http://far/v1", allow_http=True))


def test_making_a_client_needs_no_loop_and_does_no_io() -> None:
    client = sa.SegmindClient("k")
    statistics = client.statistics()
    assert (statistics.in_flight, statistics.waiting, statistics.limit, statistics.balance) == (
        0,
        0,
        64,
        None,
    )
    assert statistics.estimate == Decimal("0.000543")
    assert client.closed is False


def test_a_client_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="make one in each process"):
        pickle.dumps(sa.SegmindClient("k"))


def test_a_model_that_is_no_slug_is_refused_at_once() -> None:
    with pytest.raises(sa.InvalidRequestError, match="is not a slug"):
        sa.SegmindClient("k", model="../x")
    with pytest.raises(sa.InvalidRequestError, match="is not a slug"):
        sa.SegmindClient("k").with_options(model="a b")


def test_messages() -> None:
    assert sa.user("hi") == {"role": "user", "content": "hi"}
    assert sa.user("a", "b")["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert sa.system("s")["role"] == "system"
    assert sa.assistant("a")["role"] == "assistant"
    with pytest.raises(sa.InvalidRequestError, match="at least one"):
        sa.user()


def test_a_balance_adds_up() -> None:
    assert sa.Balance(Decimal("1.5"), Decimal("0.5")).total == 2


def test_the_package_is_typed() -> None:
    assert (ROOT / "segmind_async" / "py.typed").is_file()


def test_the_changelog_knows_the_version_or_what_comes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in text or f"## {sa.__version__}" in text
