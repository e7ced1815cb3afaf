"""The display of a running job: what it says, how often, and that nothing shown can steer a terminal."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import anyio
import pytest
from rich.console import Console

from segmind_async._jobs.files.ending import Stage
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.progress import JobProgress, Recent
from segmind_async._jobs.report.samples import Samples
from segmind_async._text.wait_reasons import Wait, WaitReason
from segmind_async.cli.live import Live, can_draw
from segmind_async.cli.view.frame import frame, line, state_of
from segmind_async.models import StopReason
from tests.jobs.journals import progress

STOPPING = "stopping: 64 calls in flight, at most 1:00 min more; Ctrl-C again cancels them"

PROGRESS = progress(
    elapsed=312.0,
    rows=5200,
    total=10_000,
    ok=5098,
    failed=22,
    invalid=1,
    resumed=2000,
    in_flight=64,
    waiting=12,
    limit=64,
    limit_reason="as many as asked for",
    requests_per_minute=1000.0,
    pace_reason="accepted in the last minute before a 429",
    wait=Wait(WaitReason.PACE, left=0.2),
    balance=Decimal("7.1838"),
    held=Decimal("0.0348"),
    spent=Decimal("2.7814"),
    floor=Decimal(1),
    attempts=5120,
    rate_limited=7,
    latency_p50=3.1,
    latency_p95=8.9,
    latency_p99=14.2,
)
EVIL = "[bold red]x[/]\x1b]0;owned\x07\x1b[2J\r\n[link=http://a]\u202e"


def samples() -> Samples:
    found = Samples()
    for n in range(6):
        for _ in range(9 - n):
            found.add(
                Record(
                    f"id r{n}",
                    b"",
                    "failed",
                    error_type=f"Kind{n}Error",
                    message=f"HTTP 400: {EVIL}",
                    seconds=1.0 + n,
                )
            )
    found.add(Record(f"id {EVIL}", b"", "ok", seconds=88.0, excerpt=EVIL + "日本語" * 90))
    return found


def recent() -> Recent:
    seen = Recent()
    seen.add(progress(PROGRESS, elapsed=302.0, ok=4934, spent=Decimal("2.6814"), balance=Decimal("7.2838")))
    seen.add(PROGRESS)
    return seen


def show(live: Live, snapshot: JobProgress, found: Samples | None = None) -> None:
    live.samples = found or Samples()
    live(snapshot)


def screen(width: int = 80, height: int = 24, **options: Any) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=width,
        height=height,
        legacy_windows=False,
        _environ={},
        **options,
    )


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 59, 60, 80, 120, 129, 130, 200, 300])
def test_no_line_is_longer_than_the_terminal_is_wide(width: int) -> None:
    lines = frame(PROGRESS, recent(), samples(), width)
    assert max(text.cell_len for text in lines) <= width
    assert len(lines) < 20


FACTS = {
    60: [
        "━━━━━━━━━━━━━━━━━━━━━━━━─────────── 7 121 of 10 000 · 71.2 %",
        "rows      5 098 ok · 22 failed · 1 invalid · 2 879 to go",
        "rate      16.4 a second · 7 × 429",
        "in flight 64 of 64 · 12 waiting",
        "credits   2.7814 spent · 7.1838 left · 1.5640 needed",
        "time      5:12 min so far · all done in about 2:56 min",
        "latency   p50 3.1 s · p95 8.9 s · p99 14 s",
    ],
    80: [
        "━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━──────────────── 7 121 of 10 000 · 71.2 %",
        "rows      5 098 ok · 22 failed · 1 invalid · 2 879 to go",
        "rate      16.4 a second · at most 1 000 calls a minute · 7 × 429",
        "in flight 64 of 64 · 12 waiting · the pace allows the next start in 1 s",
        "credits   2.7814 spent · 0.0348 held · 7.1838 left · 1.5640 needed · floor 1",
        "time      5:12 min so far · all done in about 2:56 min",
        "latency   p50 3.1 s · p95 8.9 s · p99 14 s",
    ],
    120: [
        "━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━────────────────────────────"
        " 7 121 of 10 000 · 71.2 %",
        "rows      5 098 ok · 22 failed · 1 invalid · 2 000 from earlier runs · 2 879 to go",
        "rate      16.4 a second · at most 1 000 calls a minute · 7 × 429 · "
        "accepted in the last minute before a 429",
        "in flight 64 of 64 · as many as asked for · 12 waiting · the pace allows the next start in 1 s",
        "credits   2.7814 spent · 0.0348 held · 7.1838 left · 1.5640 needed · floor 1",
        "time      5:12 min so far · all done in about 2:56 min",
        "latency   p50 3.1 s · p95 8.9 s · p99 14 s",
    ],
}


@pytest.mark.parametrize("width", FACTS)
def test_the_display_says_as_much_as_fits_and_cuts_no_fact(width: int) -> None:
    lines = [text.plain for text in frame(PROGRESS, recent(), samples(), width)]
    assert lines[:7] == FACTS[width]
    assert lines[7].startswith("errors    9 × Kind0Error  HTTP 400: [bold red]x[/]\\x1b]0;ow")
    assert lines[11] == "          9 more of 2 other classes"
    assert lines[12].startswith("slowest     88 s  [bold red]x[/]")


@pytest.mark.parametrize(
    ("width", "changes", "shown"),
    [
        pytest.param(59, {}, "7 121/10 000 · 7.18 left · 2:56 min to go · 22 failed", id="59"),
        pytest.param(50, {}, "7 121/10 000 · 7.18 left · 2:56 min to go", id="50"),
        pytest.param(30, {}, "7 121/10 000 · 7.18 left", id="30"),
        pytest.param(20, {}, "7 121/10 000", id="20"),
        pytest.param(10, {}, "7 121/10 …", id="10"),
        pytest.param(
            50, {"floor": Decimal(7)}, "7 121/10 000 · 7.18 left · floor in 18 s", id="the-floor-is-sooner"
        ),
        pytest.param(
            50,
            {"total": None, "counted": 12_000},
            "7 121/12 000+ · 7.18 left · floor in 10:18 min",
            id="counting",
        ),
        pytest.param(
            50,
            {"stop_reason": StopReason.INTERRUPTED},
            "7 121/10 000 · stopping: 64 in flight · 7.18 left",
            id="ctrl-c",
        ),
        pytest.param(
            50,
            {"wait": Wait(WaitReason.ASKED, 7.0, 38.0), "in_flight": 0},
            "7 121/10 000 · waiting 38 s (asked) · 7.18 left",
            id="a-wait",
        ),
        pytest.param(
            50,
            {"wait": Wait(WaitReason.OUTAGE, 7.0)},
            "7 121/10 000 · waiting (outage) · 7.18 left",
            id="an-outage-with-calls-in-flight",
        ),
    ],
)
def test_below_60_columns_it_is_one_line(width: int, changes: dict[str, Any], shown: str) -> None:
    seen = Recent()
    before = progress(PROGRESS, elapsed=302.0, ok=4934, spent=Decimal("2.6814"), balance=Decimal("7.2838"))
    seen.add(before)
    seen.add(now := progress(PROGRESS, **changes))
    assert [text.plain for text in frame(now, seen, samples(), width)] == [shown]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({}, "all done in about 2:56 min", id="the-last-row"),
        pytest.param({"floor": Decimal("6.7")}, "floor reached in about 48 s", id="the-floor"),
        pytest.param(
            {"floor": Decimal(0), "total": 900_000}, "credits used up in about 11:58 min", id="empty"
        ),
        pytest.param(
            {"max_credits": Decimal(3)}, "--max-credits reached in about 22 s", id="the-bound-of-the-job"
        ),
        pytest.param({"floor": Decimal("7.18")}, "floor reached in a moment", id="at-once"),
        pytest.param({"total": 7130}, "all done in a moment", id="the-last-rows"),
    ],
)
def test_what_ends_the_job_first_is_said_alone(changes: dict[str, Any], says: str) -> None:
    seen = Recent()
    seen.add(progress(PROGRESS, elapsed=302.0, ok=4934, spent=Decimal("2.6814"), balance=Decimal("7.2838")))
    seen.add(now := progress(PROGRESS, **changes))
    times = [text.plain for text in frame(now, seen, samples(), 80) if text.plain.startswith("time")]
    assert times == [f"time      5:12 min so far · {says}"]
    assert line(now, seen).count(says) == 1


@pytest.mark.parametrize("reason", [WaitReason.OUTAGE, WaitReason.TOP_UP])
def test_a_job_that_waits_for_others_does_not_say_when_it_ends(reason: WaitReason) -> None:
    waiting = progress(PROGRESS, wait=Wait(reason, 7.0), in_flight=0)
    times = [text.plain for text in frame(waiting, recent(), samples(), 80) if text.plain.startswith("time")]
    assert times == ["time      5:12 min so far"]


def test_a_wide_terminal_has_details_beside_the_facts() -> None:
    lines = [text.plain for text in frame(PROGRESS, recent(), samples(), 200)]
    assert len(lines) == 9
    assert lines[1].index("errors") == 110
    assert lines[6].startswith("latency")
    assert "slowest     88 s" in lines[6]


def test_a_job_that_just_began_claims_to_know_nothing() -> None:
    lines = [text.plain for text in frame(JobProgress(), Recent(), Samples(), 80)]
    assert lines == [
        "─" * 73 + " 0 rows",
        "rows      0 ok · 0 failed",
        "in flight 0 of 0",
        "credits   0 spent",
        "time      0 s so far",
    ]


def test_the_line_of_a_job_that_just_began_claims_nothing_either() -> None:
    assert line(JobProgress(), Recent()) == ("0 rows done, 0 failed; 0 in flight, limit 0; 0 credits spent")


def test_while_rows_are_counted_the_total_is_at_least_so_many() -> None:
    counting = progress(PROGRESS, total=None, counted=12_000)
    assert frame(counting, recent(), Samples(), 80)[0].plain.endswith("─ 7 121 of 12 000+ rows")
    assert line(counting, recent()).startswith("7 121 of 12 000+ rows done, 22 failed")


async def test_something_turns_until_the_first_record() -> None:
    console = screen(color_system=None)
    with Live(console) as live:
        live.begin(lambda: "reading in.csv")
        await anyio.sleep(0.35)
        assert written(console).split("\r\x1b[1A\x1b[J") == [f"{sign} reading in.csv\n" for sign in "⠋⠙⠹⠸"]
        show(live, JobProgress())
        await anyio.sleep(1)
    assert written(console).count("reading") == 4
    assert "0 rows" in written(console)


async def test_without_a_terminal_nothing_turns() -> None:
    console = Console(file=io.StringIO(), width=80)
    with Live(console) as live:
        live.begin(lambda: "reading in.csv")
        await anyio.sleep(1)
    assert not written(console)


def test_text_of_a_model_or_server_is_neither_markup_nor_control() -> None:
    console = screen(200, color_system="truecolor")
    show(Live(console), PROGRESS, samples())
    shown = written(console)
    assert "[bold red]x[/]\\x1b]0;owned\\x07\\x1b[2J" in shown
    for steering in ("\x1b]", "\x07", "\x1b[2J", "\r", "\u202e"):
        assert steering not in shown
    assert state_of(
        progress(PROGRESS, stop_reason=StopReason.CREDITS, stop_message=f"credits: {EVIL}"), Recent()
    ) == (
        "no more is sent, what is in flight ends: credits: "
        "[bold red]x[/]\\x1b]0;owned\\x07\\x1b[2J [link=http://a]\\u202e"
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"stop_reason": StopReason.INTERRUPTED, "stop_message": "interrupted"}, STOPPING),
        (
            {"stop_reason": StopReason.INTERRUPTED, "in_flight": 1},
            "stopping: 1 call in flight, at most 1:00 min more; Ctrl-C again cancels them",
        ),
        (
            {"stop_reason": StopReason.INTERRUPTED, "in_flight": 0},
            "stopping: nothing in flight any more",
        ),
        (
            {"stop_reason": StopReason.CREDITS, "stop_message": "interrupted"},
            "no more is sent, what is in flight ends: interrupted",
        ),
        (
            {"wait": Wait(WaitReason.OUTAGE, 40.0, 5.0)},
            "the service fails for all calls, for 40 s now; the next try is in 5 s",
        ),
        (
            {"wait": Wait(WaitReason.ASKED, 7.0, 38.0), "in_flight": 0},
            "closed for 45 s: the service asked for it, 38 s left",
        ),
        ({"wait": Wait(WaitReason.CREDITS, available=Decimal("0.02"))}, None),
        ({"wait": None, "in_flight": 0}, None),
        ({"wait": Wait(WaitReason.PACE, left=4.9), "in_flight": 0}, None),
        (
            {"wait": Wait(WaitReason.PACE, left=12.0), "in_flight": 0},
            "the pace allows the next start in 12 s",
        ),
        (
            {"wait": Wait(WaitReason.SCOPE_SLOT), "in_flight": 0},
            "as many calls are in flight as its own --max-in-flight allows",
        ),
    ],
)
def test_what_is_remarkable_is_said_under_the_bar(changes: dict[str, Any], says: str | None) -> None:
    snapshot = progress(PROGRESS, **changes)
    assert state_of(snapshot, recent()) == says
    if says is not None:
        assert frame(snapshot, recent(), Samples(), 200)[1].plain == says
        assert line(snapshot, recent()).endswith(says)


def test_it_is_drawn_four_times_a_second_at_most_and_at_once_after_ctrl_c() -> None:
    console = screen()
    live = Live(console)
    for tick in range(100):
        show(live, progress(PROGRESS, elapsed=tick / 50))
    assert written(console).count("of 10 000") == 8  # at once, 0.26 s, 0.52 s, … of two seconds
    show(live, progress(PROGRESS, elapsed=99 / 50, stop_reason=StopReason.INTERRUPTED))
    assert STOPPING in written(console)


def test_a_drawing_begins_where_the_last_one_began_and_the_last_one_goes() -> None:
    console = screen(color_system=None)
    with Live(console) as live:
        show(live, PROGRESS)
        assert not written(console).startswith("\x1b")
        show(live, progress(PROGRESS, elapsed=313.0))
        assert written(console).count("\r\x1b[7A\x1b[J━") == 1
    assert written(console).endswith("\n\r\x1b[7A\x1b[J")


def test_a_narrower_terminal_is_wiped_and_a_low_one_is_not_overrun() -> None:
    console = screen(200)
    live = Live(console)
    show(live, PROGRESS, samples())
    console.width, console.height = 80, 6
    show(live, progress(PROGRESS, elapsed=313.0), samples())
    _, after = written(console).split("\x1b[H\x1b[2J")
    assert after.count("\n") == 5


@pytest.mark.parametrize(
    ("environment", "draws", "colours"),
    [
        pytest.param({"TERM": "xterm-256color"}, True, True, id="a-terminal"),
        pytest.param({"TERM": "xterm-256color", "NO_COLOR": "1"}, True, False, id="no-colour"),
        pytest.param({"TERM": "dumb"}, False, False, id="dumb"),
    ],
)
def test_a_terminal_gets_what_it_can_show(environment: dict[str, str], draws: bool, colours: bool) -> None:
    console = Console(
        file=io.StringIO(), force_terminal=True, width=80, legacy_windows=False, _environ=environment
    )
    assert can_draw(console) == draws
    show(Live(console), PROGRESS, samples())
    shown = written(console)
    assert ("\x1b[32m" in shown or "\x1b[38" in shown) == colours
    if not draws:
        assert "\x1b" not in shown
    # Without colours the bar still tells what is done from what is not.
    assert ("━" in shown and "─" in shown) == draws


def test_without_a_terminal_there_is_a_line_every_ten_seconds() -> None:
    console = Console(file=io.StringIO(), width=20)
    assert not can_draw(console)
    with Live(console) as live:
        for second in range(35):
            show(live, progress(PROGRESS, elapsed=float(second), ok=second, attempts=second + 22))
        show(live, progress(PROGRESS, elapsed=35.0, stop_reason=StopReason.INTERRUPTED))
    told = written(console).splitlines()
    assert told[0] == (
        "2 033 of 10 000 rows done, 22 failed, 2 000 from earlier runs, 7 967 to go; 1.0 a second; "
        "64 in flight, limit 64; 2.7814 credits spent, 7.1838 left, 692.4817 needed to finish; all done in about 2:13 h"
    )
    assert [text[:5] for text in told[1:3]] == ["2 043", "2 053"]
    assert told[3:] == [STOPPING]


def test_a_long_reason_is_wrapped_and_not_cut() -> None:
    reason = (
        "credits: needs 0.0005 credits, 1.0002 left, of which 1 must stay; a top-up or a lower floor helps"
    )
    snapshot = progress(PROGRESS, stop_reason=StopReason.CREDITS, stop_message=reason)
    lines = [text.plain for text in frame(snapshot, recent(), Samples(), 80)]
    assert " ".join(lines[1:3]) == f"no more is sent, what is in flight ends: {reason}"


def test_a_terminal_that_is_gone_ends_no_job() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("Input/output error")

    console = Console(file=Gone(), force_terminal=True, width=80, legacy_windows=False, _environ={})
    with Live(console) as live:
        show(live, PROGRESS)


def test_after_ctrl_c_it_counts_down_what_is_in_flight_and_its_time() -> None:
    console = screen(color_system=None)
    live, stopped = Live(console), progress(PROGRESS, stop_reason=StopReason.INTERRUPTED)
    for second, in_flight in ((0, 64), (1, 64), (2, 12), (3, 1)):
        show(live, progress(stopped, elapsed=312.0 + second, in_flight=in_flight))
    told = [text for text in written(console).splitlines() if text.startswith("stopping")]
    assert [text.split(";")[0] for text in told] == [
        "stopping: 64 calls in flight, at most 1:00 min more",
        "stopping: 64 calls in flight, at most 59 s more",
        "stopping: 12 calls in flight, at most 58 s more",
        "stopping: 1 call in flight, at most 57 s more",
    ]


def test_it_shows_how_many_rows_of_the_results_are_written() -> None:
    console = screen(color_system=None)
    live = Live(console)
    show(live, PROGRESS)
    live.tell(Stage.ENDING, 0)
    for stage, rows in ((Stage.WRITING, 0), (Stage.WRITING, 512), (Stage.WRITING_LAST, 1024)):
        live.tell(stage, rows)
    drawn = written(console).split("\x1b[J")
    assert [text.splitlines()[0] for text in drawn[1:]] == [
        "writing the results: 0 of 10 000 rows",
        "writing the results: 512 of 10 000 rows",
        "writing the results: 1 024 of 10 000 rows; Ctrl-C again leaves them unwritten",
    ]


def test_without_a_terminal_long_writing_is_a_line_every_ten_seconds() -> None:
    console = Console(file=io.StringIO(), width=20)
    live = Live(console)
    live.tell(Stage.WRITING, 0)
    assert not written(console)
    for quarter in range(81):
        live.tell(Stage.WRITING, 256 * (quarter + 1))
    live.tell(Stage.WRITING_LAST, 0)
    assert written(console).splitlines() == [
        "writing the results: 256 rows",
        "writing the results: 10 496 rows",
        "writing the results: 20 736 rows",
        "writing the results: 0 rows; Ctrl-C again leaves them unwritten",
    ]
