"""Which settings a job may change, and what then becomes of its finished rows."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest

import segmind_async as sa
from segmind_async._jobs.journal.journal import Journal, OtherSettingsError
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.journal.settings import changes, may_change
from segmind_async.testing import ScriptedTransport
from tests.support import client


def test_what_one_side_does_not_know_was_off_there() -> None:
    assert changes({"a": 1, "b": None}, {"a": 1, "c": False, "d": []}) == {}
    assert changes({"a": ["x"]}, {"a": ("x",), "b": 2}) == {"b": (None, 2)}


@pytest.mark.parametrize(
    ("names", "options", "allowed"),
    [
        pytest.param({"prompt", "emulate"}, {"paid": False}, True, id="nothing-was-paid"),
        pytest.param({"max_tokens", "parameters"}, {}, True, id="parameters"),
        pytest.param({"max_tokens", "prompt"}, {}, False, id="prompt"),
        pytest.param({"max_tokens", "prompt"}, {"keep_finished": True}, True, id="prompt-keep-finished"),
        pytest.param({"emulate"}, {"keep_finished": True}, False, id="emulate"),
        pytest.param({"max_tokens"}, {"dedupe": True}, False, id="dedupe"),
    ],
)
def test_what_may_change(names: set[str], options: dict[str, bool], allowed: bool) -> None:
    given = {"paid": True, "keep_finished": False, "dedupe": False, **options}
    assert may_change(dict.fromkeys(names, (1, 2)), **given) == allowed


async def test_a_refusal_has_its_fields_and_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    transport = ScriptedTransport()
    requests = [sa.ChatRequest(f"row {n}") for n in range(3)]
    async with client(transport) as opened:
        async with opened.run_job(requests, journal=tmp_path / "j", settings={"prompt": "a"}) as outcomes:
            assert len([outcome async for outcome in outcomes]) == 3
        with pytest.raises(OtherSettingsError, match="keep_finished") as caught:
            async with opened.run_job(requests, journal=tmp_path / "j", settings={"prompt": "b"}):
                pass
        for error in (caught.value, pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
            assert (error.changed, error.finished) == ({"prompt": ("a", "b")}, 3)
        with JournalReader(tmp_path / "j") as reader:
            settings = reader.settings()
        assert settings["prompt"] == "a"
        with Journal(tmp_path / "j", {**settings, "prompt": "b"}, keep_finished=True) as journal:
            assert (journal.kept, journal.changed) == (3, {"prompt": ("a", "b")})
        keep = sa.JobOptions(keep_finished=True)
        job = opened.run_job(
            [*requests, "more"], journal=tmp_path / "j", settings={"prompt": "b"}, options=keep
        )
        async with job as outcomes:
            assert len([outcome async for outcome in outcomes]) == 4
        assert len(transport.requests) == 4


async def test_a_row_that_was_never_sent_is_not_in_the_journal(tmp_path: Path) -> None:
    async with client() as opened:
        job = opened.run_job([sa.ChatRequest([]), "fine"], journal=tmp_path / "j")
        async with job as outcomes:
            got = sorted([outcome.status.value async for outcome in outcomes])
        assert got == ["failed", "ok"]
        with JournalReader(tmp_path / "j") as reader:
            assert reader.counts() == {"ok": 1}
