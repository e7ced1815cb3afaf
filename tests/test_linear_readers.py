"""Readers of text from models, services and tools take time linear in its length, whatever the text is.

Nothing counts the steps of a regular expression, so the CPU time of this thread stands for them: only the
growth over three doublings in one process is compared, with a bound halfway to that of quadratic readers.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from segmind_async import ChatRequest, count_tokens
from segmind_async._jobs.known_rows import excerpt_of
from segmind_async._structured.docstrings import parameters_of, summary_of
from segmind_async._structured.json_text import only_value
from segmind_async._wire import failures
from segmind_async._wire.failures import error_text, refusal
from segmind_async._wire.redaction import Redactor

DOUBLINGS = 3
MOST_PER_DOUBLING = 2.8
"""2 for linear time and 4 for quadratic."""

LEAST_SECONDS = 0.006
"""Of CPU, for the shortest text: less is noise."""

MOST_CHARACTERS = 2_000_000
"""Of the shortest text: a reader that is not busy with so many is bounded, or fast enough."""


def cpu_seconds(read: Callable[[str], object], text: str) -> float:
    """Return the CPU time of this thread for one reading, the least of three: load can only add to it."""
    least = float("inf")
    for _ in range(3):
        begins = time.thread_time()
        read(text)
        least = min(least, time.thread_time() - begins)
    return least


def growth(read: Callable[[str], object], text_of: Callable[[int], str]) -> float:
    """Return the factor by which reading takes longer for twice the text, the mean of three doublings."""
    size = 250
    while (first := cpu_seconds(read, text_of(size))) < LEAST_SECONDS:
        size *= 2
        if len(text_of(size)) > MOST_CHARACTERS:
            break
    last = cpu_seconds(read, text_of(size << DOUBLINGS))
    return float((last / max(first, LEAST_SECONDS)) ** (1 / DOUBLINGS))


def read_refusal(text: str) -> object:
    return refusal(406, {}, text.encode(), None)


def read_error(text: str) -> object:
    return error_text(text.encode())


def read_excerpt(text: str) -> object:
    return excerpt_of(ChatRequest([{"role": "user", "content": [{"type": "text", "text": text}]}]))


def count_estimated(text: str) -> object:
    return count_tokens(text, "claude-4.5-sonnet")


CASES: list[tuple[str, Callable[[str], object], Callable[[int], str]]] = [
    ("an opened fence and blanks", only_value, lambda n: "```json\n{" + " " * n),
    ("an opened fence and lines", only_value, lambda n: "```json\n{" + "\n" * n),
    ("a fence with a long language", only_value, lambda n: "```" + "a" * n + " " * n),
    ("fences", only_value, lambda n: "```\n" * n),
    ("fences of values", only_value, lambda n: "```json\n{}\n```\n" * n),
    ("braces", only_value, lambda n: "{ " * n),
    ("braces that open values", only_value, lambda n: '{"a":' * n),
    ("brackets and blanks", only_value, lambda n: "[" * n + " " * n),
    ("titles that do not end", failures._without_markup, lambda n: "<title" * n),
    ("titles without a closing tag", failures._without_markup, lambda n: "<title>" * n),
    ("tags that do not end", failures._without_markup, lambda n: "<" * n),
    ("tags", failures._without_markup, lambda n: "<p> " * n),
    ("an error page", read_error, lambda n: "<title" * n),
    ("an error's message", read_error, lambda n: '{"error": "' + "need " * n + '"}'),
    ("half characters in an error", read_error, lambda n: '{"error": "' + "\\ud83d" * n + '"}'),
    ("a refusal for want of credits", read_refusal, lambda n: '{"error": "credits ' + "need" * n + '"}'),
    ("a refusal of a team", read_refusal, lambda n: '{"error": "' + "team" * n + '"}'),
    ("keys in an answer", Redactor("SG_0123456789abcdef").text, lambda n: "SG_" * n + " SG_a" * n),
    ("a Google item", parameters_of, lambda n: "Args:\n    a" + " " * n + "!"),
    ("a Google item's type", parameters_of, lambda n: "Args:\n    a" + "(" * n + "!"),
    ("a Google item's lines", parameters_of, lambda n: "Args:\n    a: b\n" + "        c\n" * n),
    ("Google headings", parameters_of, lambda n: "Args:\n" * n),
    ("a NumPy item", parameters_of, lambda n: "Parameters\n---\na" + " " * n + "!"),
    ("NumPy names", parameters_of, lambda n: "Parameters\n---\na" + " , a" * n + "!"),
    ("NumPy headings", parameters_of, lambda n: "Parameters\n---\n" * n),
    ("a Sphinx item", parameters_of, lambda n: ":param" + " " * n + "!"),
    ("a Sphinx item's type", parameters_of, lambda n: ":param" + " a" * n + "!"),
    ("a summary", summary_of, lambda n: "a\n" + " " * n + "b"),
    ("words that are counted", count_estimated, lambda n: "word é " * n),
    ("an excerpt of blanks", read_excerpt, lambda n: " " * n + "a"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("read", "text_of"), [pytest.param(read, text_of, id=name) for name, read, text_of in CASES]
)
def test_twice_the_text_takes_about_twice_the_time(
    read: Callable[[str], object], text_of: Callable[[int], str]
) -> None:
    assert growth(read, text_of) < MOST_PER_DOUBLING


@pytest.mark.slow
def test_a_quadratic_reader_is_noticed() -> None:
    def read(text: str) -> int:
        return sum(len(text[n:].lstrip(" ")) for n in range(len(text)))

    assert growth(read, lambda n: " " * n) > MOST_PER_DOUBLING
