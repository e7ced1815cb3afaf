"""The routes: each reads a request by a pure function, awaits the client, and forms the answer by another."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from decimal import Decimal
from functools import partial
from typing import NamedTuple
from uuid import uuid4

import anyio
from aiohttp import web
from pydantic_core import to_json

from .._hooks.trace import called_with, trace
from .._providers.answers import as_openai
from .._sending.call_queue import Priority
from .._version import __version__
from .._wire.response_headers import BUDGET, GATEWAY, TIMEOUT
from ..client import SegmindClient
from ..errors import BudgetExceededError, SegmindError
from ..models import ChatCompletion, ChatRequest, JsonDict
from ..telemetry import PROMETHEUS_CONTENT_TYPE, prometheus_text
from ._access import Tokens, chosen_budget, chosen_timeout, lowered_priority, token_in, within
from ._batches.calls import GatewayCalls
from ._batches.routes import BatchRoutes, refuse_all
from ._batches.storage import Storage
from ._budgets.amounts import answer_headers, cost_headers, credits_of, plain
from ._budgets.book import Attempt, BudgetBook
from ._budgets.budgets import Booked, Budgets
from ._budgets.rules import BudgetRule
from ._errors import GatewayError, budget_error, gateway_error_of, headers_of
from ._files.callers import Callers
from ._files.routes import FileRoutes
from ._load import Load
from ._openai.chat_request import ChatCall, read_chat
from ._openai.envelope import envelope
from ._openai.event_stream import HEADERS, HEARTBEAT, chat_events, error_event
from ._openai.model_list import model_list, one_model
from ._openai.responses.event_stream import response_error_event, response_events
from ._openai.responses.kept import CallersResponses, KeptResponses
from ._options import GatewayOptions
from ._page.routes import LivePage
from ._queue.routes import RESULT, STATUS, QueueRoutes
from ._queue.runs import QueuedRuns, Send
from ._repeats import Repeats
from ._segmind import form
from ._tool_support import ToolSupport
from ._waiting import ClientCalls, attempt_in, client_in

_log = logging.getLogger("segmind_async.gateway")

_REQUEST_ID = web.RequestKey("request_id", str)

_SEGMIND, _SUBMIT, _BALANCE = "segmind", "segmind-submit", "segmind-balance"
_OWN_FORM = frozenset({_SEGMIND, _SUBMIT, _BALANCE, RESULT, STATUS})
"""Names of the routes whose answers and errors are in Segmind's own form."""


class Access(NamedTuple):
    """What a request may do, by its token."""

    budget: str | None
    """The budget that the token stands for; None: it is one of the gateway, or none is needed."""


_ACCESS = web.RequestKey("access", Access)
"""There once the request's token was found right."""

_OPEN = {"/", "/healthz"}
"""Paths that need no token: neither tells anything."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CallScope(NamedTuple):
    """What a call counts in, as its caller has chosen."""

    budget: BudgetRule | None
    priority: Priority | None
    """If it is lower than that of its budget."""
    client: str | None
    """The id of the client of this library that sends it; None: another program does."""
    timeout: float | None
    """Seconds from when it is sent on, at most those of the gateway's client; None: those."""
    attempt: str | None
    """The id by which its client asks whether it was sent on; None: it will not ask."""


class AnswerForm(NamedTuple):
    """How an answer is written: whole, or as an event stream, which may end in an error."""

    whole: Callable[[ChatCompletion], JsonDict]
    stream: Callable[[ChatCompletion], bytes]
    error: Callable[[GatewayError], bytes]


class Handlers:
    """The routes of one gateway, over one client."""

    def __init__(
        self, client: SegmindClient, options: GatewayOptions, budgets: Budgets, book: BudgetBook | None
    ) -> None:
        self._client = client
        self._options = options
        rules = options.budgets
        self._tokens = Tokens(options.tokens, {one.token: one.name for one in rules if one.token is not None})
        self._budgets = budgets
        self._book = book
        self._load = Load(options.max_calls, options.max_bytes)
        self._repeats = Repeats(options.repeat_wait)
        self._tools = ToolSupport(options.tools_via)
        self._calls = ClientCalls()
        self._responses = KeptResponses(options.max_kept_bytes, options.max_body_bytes)
        self._page = LivePage(client, budgets, self._load)
        self.queue: QueuedRuns = QueuedRuns(client, budgets, book, self._page.ended)
        self.storage: Storage | None = None
        """Files and batches; None if they are not served."""
        if options.files is not None:
            calls = GatewayCalls(client, budgets, self._tools, self._page.ended)
            self.storage = Storage(options.files, options.file_limits, calls)

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=self._options.max_body_bytes, middlewares=[self._answering])
        app.router.add_get("/", self._page.show)
        app.router.add_get("/live", self._live, allow_head=False)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{model}", self._model)
        app.router.add_get("/v1/credits", self._credits)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/responses", self._respond)
        app.router.add_get("/v1/responses/{id}", self._response)
        app.router.add_delete("/v1/responses/{id}", self._forget_response)
        self._add_storage(app.router)
        app.router.add_get("/v1/waiting/{client}", self._waiting)
        app.router.add_get(
            r"/v1/attempts/{id:[A-Za-z0-9]{1,64}}/{age:\d{1,9}}", self._attempt, allow_head=False
        )
        app.router.add_get("/v1/get-user-credits", self._balance, name=_BALANCE)
        app.router.add_post(form.MODEL_PATH, self._model_call, name=_SEGMIND)
        app.router.add_post(form.QUEUED_PATH, self._submit, name=_SUBMIT)
        QueueRoutes(self.queue, self._callers()).add_to(app.router)
        # Before the handlers are waited for.
        app.on_shutdown.append(self._close_page)
        # After the handlers: what is left then has no caller.
        app.on_cleanup.append(self._cancel_left)
        return app

    def _add_storage(self, router: web.UrlDispatcher) -> None:
        if self.storage is None:
            refuse_all(router)
            return
        callers = self._callers()
        FileRoutes(self.storage.files, callers, self._options.body_timeout).add_to(router)
        BatchRoutes(self.storage, callers).add_to(router)

    def _callers(self) -> Callers:
        return Callers(self._owner_of, self._budget_of, self._body, _own_headers)

    def _owner_of(self, request: web.Request) -> str:
        return self._tokens.owner(request.headers)

    def _budget_of(self, request: web.Request) -> str | None:
        budget = self._scope_of(request).budget
        return None if budget is None else budget.name

    async def _close_page(self, _app: web.Application) -> None:
        self._page.close()

    async def _cancel_left(self, _app: web.Application) -> None:
        await self._repeats.aclose()
        await self.queue.aclose()

    @web.middleware
    async def _answering(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the caller's access, and mark each response as coming from a gateway."""
        request[_REQUEST_ID] = f"gw-{uuid4().hex}"
        response = await self._answer(request, handler)
        if not response.prepared:
            response.headers[GATEWAY] = __version__
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, and turn whatever is raised into an error in the form of its route."""
        try:
            if request.path != "/healthz":
                self._tokens.check_host(request.host)
            if request.path not in _OPEN:
                request[_ACCESS] = Access(self._tokens.check(request.headers))
            with called_with(request.headers):
                return await handler(request)
        except web.HTTPException as error:
            return self._refused(request, _http_problem(request, error))
        except Exception as error:  # noqa: BLE001  # whatever it is, its caller gets an answer without a traceback
            return self._refused(request, _error_of(request, error))

    def _refused(self, request: web.Request, problem: GatewayError) -> web.Response:
        self._note(request, problem)
        return _refusal(request, problem)

    def _note(self, request: web.Request, problem: GatewayError) -> None:
        """Show an error on the page, as one of the budget that the request's token stands for or names."""
        access = request.get(_ACCESS)
        if access is not None:
            named = request.headers.get(BUDGET)
            self._page.refused(
                request, problem, access.budget or (named if self._budgets.knows(named) else None)
            )
        # Without a token: that is how the page learns that it must ask for one.
        elif request.path != "/live" or token_in(request.headers):
            self._page.turned_away(problem)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        return await self._page.stream(request, request[_ACCESS].budget, _own_headers(request))

    async def _health(self, _request: web.Request) -> web.Response:
        return _json({"status": "ok", "version": __version__})

    async def _metrics(self, _request: web.Request) -> web.Response:
        text = prometheus_text(self._client.statistics())
        return web.Response(body=text.encode(), headers={"Content-Type": PROMETHEUS_CONTENT_TYPE})

    async def _models(self, _request: web.Request) -> web.Response:
        return _json(model_list())

    async def _model(self, request: web.Request) -> web.Response:
        return _json(one_model(request.match_info["model"]))

    async def _waiting(self, request: web.Request) -> web.Response:
        """Tell a client of this library how many of its calls wait here."""
        return _json(self._calls.told(request.match_info["client"], self._client.statistics().wait))

    async def _attempt(self, request: web.Request) -> web.Response:
        """Tell a client that has lost its connection whether an attempt was sent on; null if nobody knows."""
        asked = Attempt(request.match_info["id"], time.time())  # noqa: TID251  # kept over restarts
        age = float(request.match_info["age"])
        return _json({"sent": None if self._book is None else await self._book.was_sent(asked, age)})

    async def _credits(self, _request: web.Request) -> web.Response:
        balance = await self._client.balance()
        return _json(credits_of(balance, self._client.statistics()))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        call = read_chat(body)
        stream = partial(_chat_stream, with_usage=call.with_usage)
        return await self._answered(request, body, call, len(body), AnswerForm(_openai, stream, error_event))

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        body = await self._body(request)
        responses = self._responses_of(request)
        call = responses.read(body)

        def whole(completion: ChatCompletion) -> JsonDict:
            return responses.formed(call, _openai(completion))

        form_of = AnswerForm(whole, lambda got: response_events(whole(got)), response_error_event)
        return await self._answered(request, body, call.chat, call.size, form_of)

    async def _answered(
        self, request: web.Request, body: bytes, call: ChatCall, size: int, form_of: AnswerForm
    ) -> web.StreamResponse:
        """Make a call, or await the one that this request repeats, and answer as its caller wants it."""
        scope = self._scope_of(request)
        wanted = ChatRequest.of(call.messages, call.model, call.parameters)
        start = partial(self._completed, wanted, call.trace, scope, size, partial(self._sent, wanted))
        answer = partial(self._repeats.answer, request.path, request.headers, body, start)
        if call.stream:
            return await self._streamed(request, scope, answer, form_of)
        completion = await answer()
        return _json(form_of.whole(completion), self._headers(request, completion, scope))

    def _responses_of(self, request: web.Request) -> CallersResponses:
        return self._responses.of(token_in(request.headers))

    async def _response(self, request: web.Request) -> web.Response:
        return _json(self._responses_of(request).get(request.match_info["id"]))

    async def _forget_response(self, request: web.Request) -> web.Response:
        return _json(self._responses_of(request).delete(request.match_info["id"]))

    async def _balance(self, _request: web.Request) -> web.Response:
        balance = await self._client.balance()
        return web.Response(body=form.balance_body(balance), content_type="application/json")

    async def _model_call(self, request: web.Request) -> web.Response:
        """Pass a call in Segmind's own form on, and its answer back."""
        scope = self._scope_of(request)
        body = await self._body(request)
        wanted = form.read_request(request.match_info["slug"], body)
        start = partial(self._completed, wanted, "", scope, len(body), partial(self._sent, wanted))
        completion = await self._repeats.answer(request.path, request.headers, body, start)
        headers = {**form.answer_headers(completion), **self._headers(request, completion, scope)}
        return _json({**completion.raw}, headers)

    async def _submit(self, request: web.Request) -> web.Response:
        """Pass a request for the service's queue on, and answer as soon as it has an id."""
        # The time its caller names is that of a call; what is queued takes as long as it takes.
        scope = self._scope_of(request)._replace(timeout=None)
        body = await self._body(request)
        wanted = form.read_request(request.match_info["slug"], body)
        start = partial(self._completed, wanted, "", scope, len(body))
        name = await self.queue.submit(self._owner_of(request), wanted, start)
        return _json(form.receipt(str(request.url.origin()), name), {"x-request-id": name})

    def _scope_of(self, request: web.Request) -> CallScope:
        """Return the budget a call counts in and its priority, by its token and its headers."""
        name = chosen_budget(request[_ACCESS].budget, request.headers)
        rule = None if name is None else self._budgets.rule(name)
        client = self._client if rule is None else self._budgets.client_of(rule)
        own, headers = client._options.scope.priority, request.headers
        return CallScope(
            rule,
            lowered_priority(own, headers),
            client_in(headers),
            chosen_timeout(headers),
            attempt_in(headers),
        )

    def _headers(self, request: web.Request, completion: ChatCompletion, scope: CallScope) -> dict[str, str]:
        headers = answer_headers(completion, request[_REQUEST_ID])
        left = self._budgets.left(scope.budget)
        if left is not None:
            headers["x-segmind-budget-left"] = plain(left)
        return headers

    async def _streamed(
        self,
        request: web.Request,
        scope: CallScope,
        answer: Callable[[], Awaitable[ChatCompletion]],
        form_of: AnswerForm,
    ) -> web.StreamResponse:
        """Answer with an event stream: heartbeats while the answer is awaited, then all of it.

        Until the first heartbeat is due nothing is sent, so that an early error has its status.
        """
        ended: list[ChatCompletion | GatewayError] = []
        response: web.StreamResponse | None = None
        done = anyio.Event()

        async def complete() -> None:
            try:
                ended.append(await answer())
            except Exception as error:  # noqa: BLE001  # as in `_answering`
                ended.append(_error_of(request, error))
            done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(complete)
            response = await self._heartbeats(request, done)
            # Only if the caller has gone.
            tasks.cancel_scope.cancel()
        got = ended[0] if ended else None
        if isinstance(got, GatewayError):
            if response is None:
                return self._refused(request, got)
            self._note(request, got)
            await response.write(form_of.error(got))
        elif got is not None:
            response = response or await _begun(request, self._headers(request, got, scope))
            await response.write(form_of.stream(got))
        assert response is not None
        return response

    async def _heartbeats(self, request: web.Request, done: anyio.Event) -> web.StreamResponse | None:
        """Send heartbeats until *done*, or until the caller has gone; None if none was due."""
        response: web.StreamResponse | None = None
        while True:
            with anyio.move_on_after(self._options.heartbeat):
                await done.wait()
                return response
            try:
                response = response or await _begun(request, {})
                await response.write(HEARTBEAT)
            except ConnectionResetError:
                return response

    async def _completed(
        self, wanted: ChatRequest, traced_as: str, scope: CallScope, size: int, send: Send
    ) -> ChatCompletion:
        """Make a call by *send*, and count how it ended."""
        try:
            completion = await self._called(wanted, traced_as, scope, size, send)
        except Exception as error:
            self._page.ended(_cost_of(error), failed=True)
            raise
        self._page.ended(completion.cost, failed=False)
        return completion

    async def _called(
        self, wanted: ChatRequest, traced_as: str, scope: CallScope, size: int, send: Send
    ) -> ChatCompletion:
        assert wanted.model is not None
        with (
            self._load.taken(None if scope.budget is None else scope.budget.name, size),
            trace(traced_as) if traced_as else nullcontext(),
        ):
            async with self._budgets.booked(scope.budget, wanted.model, scope.attempt) as booked:
                try:
                    return await self._sent_in(scope, booked, send)
                except BudgetExceededError as error:
                    # Only a budget of the gateway has a limit here.
                    assert scope.budget is not None
                    daily = scope.budget.credits_per_day is not None
                    raise budget_error(error, scope.budget.name, daily=daily) from error

    async def _sent_in(self, scope: CallScope, booked: Booked, send: Send) -> ChatCompletion:
        """Make a booked call as its caller has chosen."""
        client = booked.client
        if scope.client is not None or scope.priority is not None:
            client = client.budget(priority=scope.priority)
        if scope.timeout is not None:
            client = client.with_options(timeouts=within(self._client._options.timeouts, scope.timeout))
        with self._calls.taken(scope.client, client._options.scope):
            return await send(booked, client)

    async def _sent(self, wanted: ChatRequest, _booked: Booked, client: SegmindClient) -> ChatCompletion:
        return await self._tools.chat(client, wanted)

    async def _body(self, request: web.Request) -> bytes:
        """Read the body of a request; raises GatewayError if it is not JSON, too long or too slow."""
        # Any website can post a form or plain text here without a CORS preflight, but not JSON.
        if request.content_type != "application/json":
            raise GatewayError(415, f"send Content-Type: application/json, not {request.content_type[:80]!r}")
        if (request.content_length or 0) > self._options.max_body_bytes:
            raise _too_large()
        if request.content.is_eof():
            # It has come with its headers, as most do: nothing is waited for, and no timer is needed.
            return await request.read()
        try:
            with anyio.fail_after(self._options.body_timeout):
                return await request.read()
        except TimeoutError as error:
            raise GatewayError(
                408, f"the request did not arrive within {self._options.body_timeout:g} s"
            ) from error


def _openai(completion: ChatCompletion) -> JsonDict:
    # The service sends no creation time, which OpenAI's format requires.
    return as_openai(completion, created=int(time.time()))  # noqa: TID251


def _chat_stream(completion: ChatCompletion, *, with_usage: bool) -> bytes:
    return chat_events(_openai(completion), with_usage=with_usage)


def _cost_of(error: Exception) -> Decimal | None:
    """Return what a failed call has cost; None if it is not known."""
    if isinstance(error, SegmindError):
        return error.details.cost
    return error.cost if isinstance(error, GatewayError) else None


def _own_headers(request: web.Request) -> dict[str, str]:
    """Return the headers of an answer that no call has made."""
    return {"x-request-id": request[_REQUEST_ID], GATEWAY: __version__}


async def _begun(request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
    """Send the head of an event stream."""
    response = web.StreamResponse(headers={**_own_headers(request), **headers, **HEADERS})
    await response.prepare(request)
    return response


def _error_of(request: web.Request, error: Exception) -> GatewayError:
    """Return what the caller is told of an exception; one that nobody expected is logged."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, SegmindError):
        return gateway_error_of(error, timed=TIMEOUT in request.headers)
    _log.error("gateway failed", exc_info=error, extra={"request_id": request[_REQUEST_ID]})
    return GatewayError(500, "the gateway has failed; its log says why", "api_error", final=True)


def _json(body: JsonDict, headers: dict[str, str] | None = None, status: int = 200) -> web.Response:
    return web.Response(body=to_json(body), status=status, headers=headers, content_type="application/json")


def _refusal(request: web.Request, problem: GatewayError) -> web.Response:
    headers = {
        "x-request-id": problem.request_id or request[_REQUEST_ID],
        **cost_headers(problem.cost, None),
        **headers_of(problem),
    }
    if request.match_info.route.name in _OWN_FORM:
        body = form.error_body(problem)
        response = web.Response(
            body=body, status=form.status_of(problem), headers=headers, content_type="application/json"
        )
    else:
        response = _json(envelope(problem), headers, problem.status)
    if not request.content.at_eof():
        # What is left of its body is not read: the connection cannot be used again.
        response.force_close()
    return response


def _too_large() -> GatewayError:
    return GatewayError(413, "the request is longer than this gateway takes", code="too_large")


def _http_problem(request: web.Request, error: web.HTTPException) -> GatewayError:
    """Return aiohttp's own refusals: an unknown path, a wrong method, a body that is too long."""
    if error.status == 404:
        message = f"this gateway does not serve {request.method} {request.path[:200]!r}"
        return GatewayError(404, message, code="unknown_url")
    if error.status == 413:
        return _too_large()
    allowed = error.headers.get("Allow")
    return GatewayError(error.status, error.reason, headers={"Allow": allowed} if allowed else {})
