"""Descriptions of parameters in docstrings of the three usual styles."""

from __future__ import annotations

import pytest

from segmind_async._structured.docstrings import parameters_of, summary_of

GOOGLE = """Look up a city.

    At length.

    Args:
        name: The city,
            as people call it.
        days (int): How many days.

        *rest: Others.
            note that this is: no parameter
    Returns:
        text: nothing of interest
    """

NUMPY = """Look up a city.

    Parameters
    ----------
    name : str
        The city,
        as people call it.
    days, hours : int
        How long.
    odd one out

    also

    Returns
    -------
    text : str
        Nothing of interest.
    """

SPHINX = """Look up a city.

    :param name: The city,
        as people call it.
    :param int days: How many days.
    :returns: text
        of no interest
    """


@pytest.mark.parametrize(
    ("docstring", "descriptions"),
    [
        pytest.param(GOOGLE, {"name": "The city, as people call it.", "days": "How many days.", "rest": "Others. note that this is: no parameter"}, id="google"),
        pytest.param("x\n\nArguments:\n    a: A.\nb: no\n", {"a": "A."}, id="google, by its other name"),
        pytest.param("x\n\nArgs:\n", {}, id="google, empty"),
        pytest.param(NUMPY, {"name": "The city, as people call it.", "days": "How long.", "hours": "How long."}, id="numpy"),
        pytest.param("x\n\nParameters\n---\na : int\n    A.", {"a": "A."}, id="numpy, nothing after"),
        pytest.param("x\n\nParameters\nwithout a line below", {}, id="no numpy"),
        pytest.param(SPHINX, {"name": "The city, as people call it.", "days": "How many days."}, id="sphinx"),
        pytest.param("Just words: and a colon.", {}, id="none"),
        pytest.param(None, {}, id="no docstring"),
    ],
)  # fmt: skip
def test_descriptions_of_parameters(docstring: str | None, descriptions: dict[str, str]) -> None:
    assert parameters_of(docstring) == descriptions


@pytest.mark.parametrize(
    ("docstring", "summary"),
    [
        (GOOGLE, "Look up a city."),
        ("Over\n    two lines.\n\n    More.", "Over two lines."),
        (None, ""),
        ("", ""),
    ],
)
def test_the_first_paragraph_is_the_summary(docstring: str | None, summary: str) -> None:
    assert summary_of(docstring) == summary
