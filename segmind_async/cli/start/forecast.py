"""The forecast of a job, as `--dry-run` and `--sample` print it."""

from __future__ import annotations

from decimal import Decimal

from ..._jobs.cost_estimate import Forecast
from ..._text.error_text import class_and_message
from ..._text.escaping import plain
from ...errors import SegmindError
from ..client_options import ClientOptions, number_of_keys, open_client
from ..wording import rough


async def balance_of(options: ClientOptions) -> Decimal | str:
    """Return the account's balance, or the reason why it cannot be read. Free of charge."""
    if options.emulate:
        return options.emulated_balance
    if not number_of_keys(options):
        return "no API key"
    try:
        async with open_client(options) as client:
            return (await client.balance()).total
    except SegmindError as error:
        return class_and_message(error)


def kept_on_all(floor: Decimal, options: ClientOptions) -> Decimal:
    """Return what a floor keeps on the accounts of all keys together."""
    return floor if options.emulate else floor * max(1, number_of_keys(options))


def show_forecast(found: Forecast, held: Decimal | str, floor: Decimal, max_credits: Decimal | None) -> None:
    """Print a forecast for people."""
    _line("rows", f"{found.rows}, {found.invalid} of them invalid, {found.duplicates} duplicates")
    if found.first_problem is not None:
        _line("", plain(found.first_problem))
    if found.garbled:
        _line("", f"{found.garbled} hold U+FFFD, as text in another encoding than UTF-8 does")
    if found.done:
        _line(
            "done",
            f"{found.done} rows for {rough(found.spent)} credits, {found.failed} failed{_failing(found)}",
        )
    _line("to send", f"{found.to_send} rows, about {found.input_tokens} tokens in")
    _line("credits", f"about {rough(found.expected)}{_basis(found)}")
    _line("", f"upper bound {rough(found.upper_bound)}: {found.upper_bound_basis}")
    if max_credits is not None and max_credits < found.upper_bound:
        _line("", f"at most {max_credits} by --max-credits")
    _line("time", f"{_about(found.duration)}{_lasting(found)}{_pace(found)}")
    _line("balance", _verdict(found, held, floor, max_credits))


def _line(name: str, text: str) -> None:
    print(f"{name:<13} {text}")


def _at_most(found: Forecast, max_credits: Decimal | None) -> Decimal:
    return found.upper_bound if max_credits is None else min(found.upper_bound, max_credits)


def _failing(found: Forecast) -> str:
    between = found.failing
    return "" if between is None else f"; {between.low:.1%} to {between.high:.1%} of all may fail"


def _basis(found: Forecast) -> str:
    between = found.expected_between
    if between is not None:
        low, high = map(rough, between)
        span = f"{low} to {high} " if low != high else ""
        return f", {span}with 95 % confidence, by {found.costs.count} answered rows"
    return f" at the published mean of {found.terms.model}"


def _lasting(found: Forecast) -> str:
    between = found.duration_between
    if between is None:
        return ""
    low, high = map(_minutes, between)
    return f", {low} to {high} by the same," if low != high else ""


def _about(seconds: float) -> str:
    return _minutes(seconds) if seconds < 1 else f"about {_minutes(seconds)}"


def _minutes(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s" if seconds else "0 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _pace(found: Forecast) -> str:
    terms = found.terms
    rate = "" if terms.requests_per_minute is None else f" and {terms.requests_per_minute:g} a minute"
    return f" with {terms.max_in_flight} calls at once{rate}"


def _verdict(found: Forecast, held: Decimal | str, floor: Decimal, max_credits: Decimal | None) -> str:
    if isinstance(held, str):
        return f"unknown ({plain(held)})"
    spendable, worst = held - floor, _at_most(found, max_credits)
    if worst <= spendable:
        return f"{held} credits: enough, also for the upper bound"
    return (
        f"{held} credits: {'enough for the expected cost' if found.expected <= spendable else 'not enough'}"
    )
