"""The emulated service on loopback: binds `ServiceState`, the queue and the shapes to aiohttp.web."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter, deque
from collections.abc import Awaitable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import format_datetime
from types import TracebackType
from typing import Literal, TypedDict, Unpack

import anyio
from aiohttp import web

from . import faults, http_responses, provider_shapes, queued, tools
from .brains import Brain, EchoBrain, MeasuredAnswer, Question
from .service_state import (
    Amount,
    CallFacts,
    Config,
    Cost,
    Latency,
    Refusal,
    Reserve,
    Running,
    ServiceState,
    Settled,
)
from .tools import BadRequestError

_NO_KEY = "Missing Authorization or x-api-key in header"
_BEARER = "Unauthorized. API key is invalid or may have expired. Check your API key"

_METHOD_PAGE = "<html><head><title>405 Method Not Allowed</title></head><body><h1>405</h1></body></html>"


class EmulatorOptions(TypedDict, total=False):
    """The options of an emulator: the fields of `Config` and of `Http`."""

    balance: Amount
    free_credits: Amount
    key: str
    seed: int
    cost: Cost
    latency: Latency
    reserve: Reserve
    requests_per_minute: int | None
    window: Literal["sliding", "fixed"]
    count_refused: bool
    max_in_flight: int | None
    spend_limit: Amount | None
    retired: frozenset[str]
    forbidden: frozenset[str]
    slugs: frozenset[str]
    reset_header: Literal["iso", "epoch", "ms", "garbage"] | None
    retry_after: Literal["seconds", "date", "ms"] | None
    cost_header: bool
    balance_header: bool
    headers_on_errors: bool
    queue_time: float
    results_ttl: float
    ignore_tools: bool
    count_polls: bool


@dataclass(frozen=True, slots=True)
class Http:
    """The HTTP behaviour of the service where its published documentation leaves it open."""

    reset_header: Literal["iso", "epoch", "ms", "garbage"] | None = "iso"
    retry_after: Literal["seconds", "date", "ms"] | None = None
    cost_header: bool = True
    balance_header: bool = True
    headers_on_errors: bool = False
    queue_time: float = 0.0
    """Seconds that a `/v2` submission waits before it runs."""
    results_ttl: float = 3600.0
    """Seconds for which the result of a submission is kept."""
    ignore_tools: bool = False
    """Whether `tools` are dropped before they reach the model."""
    count_polls: bool = False
    """Whether polls of queued calls count in the rate window."""


@dataclass(slots=True)
class CallRecord:
    """One request that reached the service."""

    arrived_at: float
    path: str
    slug: str
    prompt: str = ""
    status: int | None = None
    """None: no answer was sent, or none yet."""
    cost: Decimal | None = None
    """Credits that were billed; None if nothing was."""
    ended_at: float | None = None
    key: str = ""
    """The key it came with; empty without one."""


class Emulator:
    """Segmind's service on 127.0.0.1, as far as known; `async with Emulator(balance=5) as emulator`.

    Point a client at `emulator.url` with `emulator.key`. `brain` answers (default: an echo). The options
    are the fields of `Config` and `Http`. `script()` sets faults for the next calls, `faults` draws them for
    others at random; `state` holds the accounts. `keep_calls=False` keeps no record of single calls.
    """

    def __init__(
        self,
        brain: Brain | None = None,
        *,
        port: int = 0,
        keep_calls: bool = True,
        **options: Unpack[EmulatorOptions],
    ) -> None:
        named: dict[str, object] = dict(options)
        http_fields = {f.name for f in fields(Http)}
        http = {name: value for name, value in named.items() if name in http_fields}
        config = {name: value for name, value in named.items() if name not in http_fields}
        self.http: Http = Http(**http)  # type: ignore[arg-type]  # as EmulatorOptions says
        self.state: ServiceState = ServiceState(Config(**config))  # type: ignore[arg-type]  # same
        self.brain: Brain = brain or EchoBrain()
        self.key: str = self.state.config.key
        self.url: str = ""
        self.faults: faults.RandomFaults | None = None
        self.calls: list[CallRecord] = []
        self.requests: int = 0
        """Requests to run a model, refused ones included."""
        self.polls: int = 0
        """Requests for status or result of a queued call."""
        self._billed: Counter[str] = Counter()
        self._port = port
        self._keep = keep_calls
        self._script: deque[faults.Fault | None] = deque()
        self._script_of_polls: deque[int | None] = deque()
        self._submissions = queued.SubmissionStore(self.state.config.seed, self.http.results_ttl)
        self._runner: web.AppRunner | None = None

    def __repr__(self) -> str:
        return f"Emulator({self.url or 'not started'}, balance={self.state.account.balance})"

    async def __aenter__(self) -> Emulator:
        app = web.Application(client_max_size=512 * 1024 * 1024)
        app.router.add_get("/v1/get-user-credits", self._balance)
        app.router.add_get("/v2/requests/{id}", self._result)
        app.router.add_get("/v2/requests/{id}/status", self._status)
        app.router.add_post("/v1/{slug}", self._chat)
        app.router.add_post("/v2/{slug}", self._submit)
        app.router.add_route("*", "/{anything:.*}", self._no_method)
        # Connections survive any jump of virtual time; shutdown does not wait for calls that hang.
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=http_responses.FOREVER, shutdown_timeout=0.01
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(
        self,
        error_class: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def script(self, *next_faults: faults.Fault | None) -> None:
        """Set the faults of the next calls, in order of arrival; None means no fault."""
        self._script.extend(next_faults)

    def script_polls(self, *statuses: int | None) -> None:
        """Refuse the next polls of queued calls with these statuses; None means no refusal."""
        self._script_of_polls.extend(statuses)

    def billed(self) -> Counter[str]:
        """Return how often each prompt was billed; more than once means paid twice."""
        return self._billed

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        record = self._record(request)
        fault = self._next_fault()
        try:
            if isinstance(fault, faults.Delay):
                await anyio.sleep(fault.seconds)
            response = await self._answer(request, record, fault)
        except ConnectionError:  # the caller has gone
            response = http_responses.drop(request)
        finally:
            record.ended_at = http_responses.now()
        record.status = response.status
        return response

    async def _answer(
        self, request: web.Request, record: CallRecord, fault: faults.Fault | None
    ) -> web.StreamResponse:
        if isinstance(fault, faults.Answer) and fault.status != 200:
            return http_responses.of_fault(fault, {})
        if isinstance(fault, faults.Reset) and not fault.ran:
            return http_responses.drop(request)
        admitted = await self._admit(request, record, fault)
        if isinstance(admitted, web.Response):
            return admitted
        answer, running = admitted
        settled = await self._run(running, record)
        headers = self._headers_of(settled)
        if isinstance(fault, faults.Headers):
            changed = {**headers, **fault.changed}
            headers = {name: value for name, value in changed.items() if value is not None}
        if isinstance(fault, faults.Answer):
            return http_responses.of_fault(fault, headers)
        body = json.dumps(provider_shapes.body_of(record.slug, settled.number, answer)).encode()
        if fault is not None and not isinstance(fault, faults.Headers | faults.Delay | faults.Twist):
            return await http_responses.misbehave(request, fault, body, headers)
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _run(self, running: Running, record: CallRecord) -> Settled:
        """Wait for the model's latency, then bill the call, even if the caller has disconnected."""
        if running.latency > 0:
            await anyio.sleep(running.latency)
        settled = self.state.finish(running, http_responses.now())
        record.cost = settled.cost
        if self._keep:
            self._billed[record.prompt] += 1
        return settled

    async def _admit(
        self, request: web.Request, record: CallRecord, fault: faults.Fault | None
    ) -> tuple[MeasuredAnswer, Running] | web.Response:
        """Parse a request and start its call; returns the response if it is refused."""
        refused = self._refuse_key(request)
        if refused is not None:
            return refused
        if request.content_type != "application/json":
            return self._refuse(406, "Invalid content type")
        slug = record.slug
        raw = await request.read()
        try:
            body = json.loads(raw)
            if not isinstance(body, dict):
                raise BadRequestError("The body must be a JSON object")
            offer = tools.offer_of(slug, {} if self.http.ignore_tools else body)
            is_known = slug in self.state.config.slugs
            question = provider_shapes.question_of(slug, body, offer) if is_known else _empty_question(slug)
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
            return self._refuse(400, "Malformed JSON in the request body")
        except BadRequestError as error:
            return self._refuse(400, str(error))
        record.prompt = question.prompt
        given = self.brain.answer(question)
        given = tools.with_required_call(offer, await given if isinstance(given, Awaitable) else given)
        answer = provider_shapes.measured(question, given, fault)
        facts = CallFacts(slug, answer.prompt_tokens, answer.completion_tokens)
        running = self.state.arrive(request.headers["x-api-key"], facts, http_responses.now())
        if isinstance(running, Refusal):
            return self._refuse(running.status, running.text, running.reset_after)
        return answer, running

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        record = self._record(request)
        fault = self._next_fault()
        if isinstance(fault, faults.Answer) and fault.status != 200:
            return http_responses.of_fault(fault, {})
        admitted = await self._admit(request, record, fault)
        if isinstance(admitted, web.Response):
            record.status = admitted.status
            return admitted
        answer, running = admitted
        fails = isinstance(fault, faults.Answer)
        body = None if fails else provider_shapes.body_of(record.slug, running.number, answer)
        submitted = self._submissions.submit(running, body, self.http.queue_time)
        asyncio.get_running_loop().call_later(
            self.http.queue_time + running.latency, self._end_queued, submitted, record
        )
        record.status = 200
        if isinstance(fault, faults.Reset):
            return http_responses.drop(request)
        return http_responses.as_json(200, queued.receipt(f"http://{request.host}", submitted))

    def _end_queued(self, submitted: queued.Submitted, record: CallRecord) -> None:
        record.ended_at = http_responses.now()
        submitted.ended = True
        if submitted.body is None:
            self.state.fail(submitted.running)
            return
        submitted.settled = self.state.finish(submitted.running, record.ended_at)
        record.cost = submitted.settled.cost
        if self._keep:
            self._billed[record.prompt] += 1

    async def _status(self, request: web.Request) -> web.Response:
        return self._poll(request, queued.status_of)

    async def _result(self, request: web.Request) -> web.Response:
        return self._poll(request, queued.result_of)

    def _poll(self, request: web.Request, respond: queued.Respond) -> web.Response:
        self.polls += 1
        scripted = self._script_of_polls.popleft() if self._script_of_polls else None
        refused = self._refuse_key(request) if scripted is None else self._refuse(scripted, "Not now")
        if refused is None and self.http.count_polls:
            full = self.state.count_poll(request.headers["x-api-key"], http_responses.now())
            refused = None if full is None else self._refuse(full.status, full.text, full.reset_after)
        if refused is not None:
            return refused
        found = self._submissions.find(request.match_info["id"], http_responses.now())
        if found is None or found.running.account is not self.state.accounts[request.headers["x-api-key"]]:
            return self._refuse(404, "Request not found or expired")
        return http_responses.as_json(*respond(found, http_responses.now()))

    async def _balance(self, request: web.Request) -> web.Response:
        refused = self._refuse_key(request)
        if refused is not None:
            return refused
        account = self.state.accounts[request.headers["x-api-key"]]
        headers = {"Date": http_responses.date()}
        # Written by hand: JSON's own number writing would round the tenth decimal away.
        text = f'{{"credits": {account.credits:f}, "free-credits": {account.free_credits:f}}}'
        return web.Response(text=text, content_type="application/json", headers=headers)

    async def _no_method(self, request: web.Request) -> web.Response:
        return web.Response(
            status=405, text=_METHOD_PAGE, content_type="text/html", headers={"Date": http_responses.date()}
        )

    def _refuse_key(self, request: web.Request) -> web.Response | None:
        key = request.headers.get("x-api-key")
        if key is None:
            return self._refuse(401, _BEARER if "Authorization" in request.headers else _NO_KEY)
        return None if key in self.state.accounts else self._refuse(401, _BEARER)

    def _refuse(self, status: int, text: str, reset_after: float | None = None) -> web.Response:
        headers = self._wait_headers(reset_after) if reset_after is not None else {}
        if self.http.headers_on_errors:
            headers["x-remaining-credits"] = f"{self.state.account.balance:f}"
        return web.Response(
            status=status,
            text=json.dumps({"error": text}),
            content_type="application/json",
            headers={"Date": http_responses.date(), **headers},
        )

    def _wait_headers(self, seconds: float) -> dict[str, str]:
        """Return the headers that say when the rate window has room, in the configured form."""
        at = http_responses.EPOCH + http_responses.now() + seconds
        moment = datetime.fromtimestamp(at, UTC)
        resets = {
            "iso": moment.isoformat(),
            "epoch": f"{at:.3f}",
            "ms": str(math.ceil(at * 1000)),
            "garbage": "in a while",
        }
        retries = {
            "seconds": str(math.ceil(seconds)),
            "date": format_datetime(datetime.fromtimestamp(math.ceil(at), UTC), usegmt=True),
            "ms": "",
        }
        headers: dict[str, str] = {}
        if self.http.reset_header is not None:
            headers["x-rate-limit-reset-at-utc"] = resets[self.http.reset_header]
        if self.http.retry_after == "ms":
            headers["retry-after-ms"] = str(math.ceil(seconds * 1000))
        elif self.http.retry_after is not None:
            headers["Retry-After"] = retries[self.http.retry_after]
        return headers

    def _headers_of(self, settled: Settled) -> dict[str, str]:
        headers = {
            "Date": http_responses.date(),
            "x-request-id": f"req-{settled.number:08d}",
            "x-generation-time": f"{settled.seconds:.3f}",
        }
        if self.http.cost_header:
            headers["x-cost"] = f"{settled.cost:f}"
        if self.http.balance_header:
            headers["x-remaining-credits"] = f"{settled.balance:f}"
        return headers

    def _record(self, request: web.Request) -> CallRecord:
        self.requests += 1
        record = CallRecord(http_responses.now(), request.path, request.match_info["slug"])
        record.key = request.headers.get("x-api-key", "")
        if self._keep:
            self.calls.append(record)
        return record

    def _next_fault(self) -> faults.Fault | None:
        if self._script:
            return self._script.popleft()
        return None if self.faults is None else self.faults.draw()


def _empty_question(slug: str) -> Question:
    return Question(slug, "", (), {})
