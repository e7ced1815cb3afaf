"""The figures of a client for monitoring: as text in Prometheus' form, without any package."""

from __future__ import annotations

from ._prometheus import METRICS, PROMETHEUS_CONTENT_TYPE, Metric, prometheus_text

__all__ = ["METRICS", "PROMETHEUS_CONTENT_TYPE", "Metric", "prometheus_text"]
