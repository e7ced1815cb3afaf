"""The figures of a client as metrics: their text in Prometheus' form."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from segmind_async import KeyStatistics, Limits, SegmindClient, Statistics
from segmind_async.telemetry import METRICS, prometheus_text
from segmind_async.testing import ScriptedTransport
from tests.support import KEY, status

KNOWN = Statistics(
    in_flight=3,
    waiting=7,
    limit=64,
    requests_per_minute=59.5,
    closed_for=1.25,
    rate_limited=2,
    balance=Decimal("1E+2"),
    floor=Decimal("0.5"),
    held=Decimal("0.0000000001"),
    spent=Decimal("1.25"),
    estimate=Decimal("0.000543"),
    outage=9.0,
)


def values(text: str) -> dict[str, float]:
    """Read the text as Prometheus does."""
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_prometheus_reads_all_figures() -> None:
    assert values(prometheus_text(KNOWN)) == {
        "segmind_in_flight": 3,
        "segmind_waiting": 7,
        "segmind_limit": 64,
        "segmind_pace_per_minute": 59.5,
        "segmind_closed_seconds": 1.25,
        "segmind_outage_seconds": 9,
        "segmind_rate_limited_total": 2,
        "segmind_balance_credits": 100,
        "segmind_floor_credits": 0.5,
        "segmind_held_credits": 1e-10,
        "segmind_estimate_credits": 0.000543,
        "segmind_cost_credits_total": 1.25,
    }


def test_each_figure_has_its_help_and_its_type() -> None:
    families = list(text_string_to_metric_families(prometheus_text(KNOWN)))
    assert [family.type for family in families] == [metric.kind for metric in METRICS]
    assert [family.documentation for family in families] == [metric.description for metric in METRICS]


def test_figures_that_are_not_known_are_left_out() -> None:
    names = values(prometheus_text(Statistics()))
    assert "segmind_balance_credits" not in names
    assert "segmind_pace_per_minute" not in names
    assert names["segmind_outage_seconds"] == 0


def test_amounts_have_no_exponent() -> None:
    assert "segmind_held_credits 0.0000000001\n" in prometheus_text(KNOWN)
    assert "segmind_balance_credits 100\n" in prometheus_text(KNOWN)


def test_labels_are_escaped() -> None:
    labels = {"client": 'a"b\\c\nd', "team": "x"}
    text = prometheus_text(KNOWN, labels)
    [family] = [one for one in text_string_to_metric_families(text) if one.name == "segmind_waiting"]
    assert family.samples[0].labels == labels


def test_names_are_those_that_prometheus_takes() -> None:
    assert all(re.fullmatch(r"segmind(_[a-z]+)+", metric.prometheus_name) for metric in METRICS)
    assert len({metric.name for metric in METRICS}) == len(METRICS)


async def test_statistics_count_429s_and_name_the_floor() -> None:
    transport = ScriptedTransport([status(429, retry_after="1")])
    async with SegmindClient(KEY, transport=transport, limits=Limits(floor=0.5)) as client:
        await client.chat("hello")
        found = values(prometheus_text(client.statistics()))
    assert found["segmind_rate_limited_total"] == 1
    assert found["segmind_floor_credits"] == pytest.approx(0.5)
    assert found["segmind_cost_credits_total"] == float(client.statistics().spent) > 0


def test_figures_of_several_keys_have_the_key_as_a_label() -> None:
    keys = (
        KeyStatistics("…aaaa", "in use", in_flight=2, balance=Decimal(3), spent=Decimal("0.5")),
        KeyStatistics("…bbbb", "refused", takes_calls=False),
    )
    text = prometheus_text(replace(KNOWN, keys=keys), {"service": "mails"})
    found = {
        (sample.name, sample.labels["key"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "key" in sample.labels and sample.labels["service"] == "mails"
    }
    assert found["segmind_key_in_use", "…aaaa"] == 1
    assert found["segmind_key_in_use", "…bbbb"] == 0
    assert found["segmind_key_balance_credits", "…aaaa"] == 3
    assert ("segmind_key_balance_credits", "…bbbb") not in found
    assert found["segmind_key_cost_credits_total", "…aaaa"] == 0.5
    assert "segmind_key" not in prometheus_text(KNOWN)
