"""`--labels` and `--instructions` of `classify`."""

from __future__ import annotations

from pathlib import Path

import typer

from ..._jobs.classify import LabelMode, Labels, read_definitions


def chosen_labels(labels: str, mode: LabelMode, instructions: str | None) -> Labels:
    """Return the labels of the options: names separated by commas, or those of a file with meanings.

    Raises typer.BadParameter for a file that cannot be read, ConfigurationError for labels that cannot work.
    """
    task = None if instructions is None else text_of("--instructions", instructions)
    if task is not None and not task.strip():
        raise typer.BadParameter("it is empty", param_hint="--instructions")
    path = Path(labels.removeprefix("@"))
    if "," in labels or not (labels.startswith("@") or path.suffix or path.is_file()):
        return Labels(labels.split(","), mode, task=task)
    defined = read_definitions(_read("--labels", path), str(path))
    return Labels([*defined], mode, {name: text for name, text in defined.items() if text}, task)


def text_of(option: str, text: str) -> str:
    """Return the text of an option; `@FILE` stands for the text of a file."""
    return _read(option, Path(text[1:])) if text.startswith("@") else text


def _read(option: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise typer.BadParameter(f"file {str(path)!r} cannot be read: {reason}", param_hint=option) from error
