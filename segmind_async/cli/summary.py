"""What a command says of a job that has ended, and the commands to go on with."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path, PurePath

from .._jobs.report.row_counts import JobReport
from .._text.quantities import credits_text
from ..models import FanOutReport, KeyStatistics
from .console import say

JOURNALS = ".journals"
"""End of the name of the folder of journals of a job on an engine, which stands beside its results."""

RESULTS_ONLY = "--results-only"

_BEFORE_A_VALUE = frozenset({"--sample", "--retry-only"})

_NOT_AGAIN = _BEFORE_A_VALUE | {"--restart", "--yes", "--retry-failed", RESULTS_ONLY}
"""Options that a command which goes on with a job must not repeat, or need not."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a job that has ended."""

    journal: Path
    output: Path | None
    """None: standard output."""

    @property
    def results(self) -> str:
        """Where the results are."""
        return "on standard output" if self.output is None else f"in {self.output}"


def command_again(*more: str, argv: Sequence[str] | None = None) -> str:
    """Return this command as it is typed, with *more* options and without those that begin anew."""
    program, *words = sys.argv if argv is None else argv
    name = PurePath(program).name
    start = ["python", "-m", "segmind_async"] if name == "__main__.py" else [name]
    kept = [
        word
        for before, word in pairwise(["", *words])
        if before not in _BEFORE_A_VALUE and word.partition("=")[0] not in _NOT_AGAIN
    ]
    return shlex.join([*start, *kept, *more])


def print_results_only(report: JobReport, files: Files) -> None:
    """Say what the results hold that were written without sending anything."""
    counts = report.counts
    say(f"{counts['ok']} ok, {counts['failed']} failed, {counts['unsent']} unsent; nothing was sent now")
    say(f"results {files.results}; the same command without {RESULTS_ONLY} resumes the job")


def print_summary(report: JobReport, files: Files, *, written: bool = True) -> None:
    """Say what has become of the rows; unless the results are *written*, also how to get them."""
    fan_out, counts = report.fan_out, report.counts
    assert fan_out is not None
    earlier = f" ({report.resumed} by earlier runs)" if report.resumed else ""
    unsent = f", {counts['unsent']} unsent" if written else ""
    known = fan_out.credits_remaining
    left = "" if known is None else f", {credits_text(known)} left"
    say(
        f"{counts['ok']} ok, {counts['failed']} failed{unsent}{earlier}; "
        f"{_rate(fan_out)}; {credits_text(fan_out.spent)} credits spent{left}"
    )
    _print_earlier(report)
    _print_details(report)
    if fan_out.stop_reason is not None:
        say(f"stopped early: {fan_out.stop_message}")
        without = ", without --restart," if "--restart" in sys.argv else ""
        say(f"the same command{without} resumes the job; its journal is {files.journal}")
    if not written:
        say(f"results not written {files.results}; this writes them, and sends nothing:")
        say(f"  {command_again(RESULTS_ONLY)}", wraps=False)
        return
    say(f"results {files.results}; for details: segmind-async report {files.journal}")


def _print_earlier(report: JobReport) -> None:
    """Say what of the results goes back to earlier runs, or to earlier rows."""
    if report.damaged:
        say(f"{report.damaged} answers in the journal were damaged, and their rows were asked again")
    if report.recovered:
        say(f"{report.recovered} requests were in the service's queue from an earlier run")
    if report.resubmitted:
        say(f"{report.resubmitted} of them had expired: they were sent again, and may be paid twice")
    if report.kept:
        say(f"{report.kept} finished rows stay as earlier settings made them; the others follow the new ones")
    if report.repeated:
        say(f"{report.repeated} rows repeat the request of an earlier row and share its answer")


def _print_details(report: JobReport) -> None:
    for name, count in report.errors.most_common(5):
        say(f"  {count} x {name}, such as: {report.examples[name][:200]}")
    if report.asked_again:
        say(
            f"{report.asked_again} of the failed rows met an outage or a refusal: the same command asks again"
        )
    if report.given_up:
        say(f"{report.given_up} of the failed rows are not asked again; --retry-failed does that")
    if report.accuracy is not None:
        say(f"accuracy {report.accuracy:.1%} of {report.judged} rows with a known label")
    assert report.fan_out is not None
    if report.fan_out.cancelled:
        say(f"{report.fan_out.cancelled} calls were cancelled on their way: they may be billed all the same")
    if report.fan_out.maybe_paid_twice:
        say(f"{report.fan_out.maybe_paid_twice} attempts may have been paid twice: their answers were lost")


def _rate(fan_out: FanOutReport) -> str:
    return f"{fan_out.ok / fan_out.elapsed if fan_out.elapsed else 0.0:.1f} a second"


def print_keys(keys: Sequence[KeyStatistics]) -> None:
    """Say what this run has spent with each of several keys, and how each stands."""
    for key in keys:
        left = "balance unknown" if key.balance is None else f"{credits_text(key.balance)} left"
        say(f"{key.name}: {credits_text(key.spent)} credits spent, {left}; {key.state}")


def as_json_of(report: JobReport) -> dict[str, object]:
    """Return the summary of a job for `--json`."""
    assert report.fan_out is not None
    return {
        "rows": report.counts,
        "errors": report.errors,
        "accuracy": report.accuracy,
        "resumed": report.resumed,
        "recovered": report.recovered,
        "resubmitted": report.resubmitted,
        "damaged": report.damaged,
        "repeated": report.repeated,
        "asked_again": report.asked_again,
        "kept": report.kept,
        "fan_out": asdict(report.fan_out),
    }
