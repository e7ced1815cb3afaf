"""`--labels` and `--instructions` of `classify`."""

from __future__ import annotations

from pathlib import Path

import typer

from ..._jobs.classify import LabelMode, Labels, read_definitions
from .text_file import is_file, read_text


def chosen_labels(labels: str, mode: LabelMode, instructions: str | None) -> Labels:
    """Return the labels of the options: names separated by commas, or those of a file with meanings.

    Raises typer.BadParameter for a file that cannot be read, ConfigurationError for labels that cannot work.
    """
    task = None if instructions is None else text_of("--instructions", instructions)
    if task is not None and not task.strip():
        raise typer.BadParameter("it is empty", param_hint="--instructions")
    path = Path(labels.removeprefix("@"))
    if "," in labels or not (labels.startswith("@") or path.suffix or is_file(path)):
        return Labels(labels.split(","), mode, task=task)
    defined = read_definitions(read_text("--labels", path), str(path))
    return Labels([*defined], mode, {name: text for name, text in defined.items() if text}, task)


def text_of(option: str, text: str) -> str:
    """Return the text of an option; `@FILE` stands for the text of a file."""
    return read_text(option, Path(text[1:])) if text.startswith("@") else text
