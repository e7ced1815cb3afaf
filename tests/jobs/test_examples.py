"""Labelled rows that a model is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

import segmind_async as sa
from segmind_async._jobs.classify import Labels, fingerprint, read_examples
from segmind_async._jobs.rows import Row

LABELS = Labels(["Spam", "ham"])


def read(path: Path, content: str) -> list[tuple[str, str]]:
    path.write_text(content)
    return list(read_examples(path, LABELS, "text", "label"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "label,text\nSPAM,win now\nham,noon?\n"),
        ("a.jsonl", '{"text": "win now", "label": " spam "}\n\n{"text": "noon?", "label": "ham"}\n'),
    ],
)
def test_examples_are_read_from_any_form_and_their_labels_are_those_of_the_job(
    tmp_path: Path, name: str, content: str
) -> None:
    assert read(tmp_path / name, content) == [("win now", "Spam"), ("noon?", "ham")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,label\na,ham\nb,eggs\n", "line 3: 'eggs' in column 'label' is none of Spam, ham"),
        ("text,label\na\n", "line 2: None in column 'label' is none of"),
        ("body,label\na,ham\n", "line 2: no text in column 'text', only 'body', 'label'"),
        ("text,label\n", "has no rows; leave it out"),
    ],
)
def test_an_example_that_is_wrong_is_an_error_that_names_its_line(
    tmp_path: Path, content: str, says: str
) -> None:
    with pytest.raises(sa.ConfigurationError, match=says) as caught:
        read(tmp_path / "a.csv", content)
    assert "a.csv'" in str(caught.value)


def test_other_examples_have_another_fingerprint() -> None:
    one = [("a", "ham"), ("b", "Spam")]
    assert fingerprint(one) == fingerprint(list(one))
    assert str(fingerprint(one)).startswith("2 rows, ")
    assert len({fingerprint(one), fingerprint(one[::-1]), fingerprint([("a", "ham"), ("b", "ham")])}) == 3
    assert fingerprint([]) is None


@pytest.mark.parametrize(
    ("value", "label"),
    [(1, "1"), (0.0, "0"), (" TRUE ", "true"), (True, "true"), (0.5, None), (None, None), ([1], None)],
    ids=str,
)
def test_a_label_may_stand_in_a_column_of_numbers(value: object, label: str | None) -> None:
    known = Labels(["0", "1", "true"])
    columns: dict[str, object] = {"text": "a", "label": value}
    row = Row(0, 1, "0", has_id=False, columns=columns, request=None)
    assert known.truth_in("label")(row) == label


def test_examples_may_have_numbers_for_labels(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "win", "label": 1}\n{"text": "noon?", "label": 0}\n')
    found = read_examples(tmp_path / "a.jsonl", Labels(["0", "1"]), "text", "label")
    assert found == [("win", "1"), ("noon?", "0")]
