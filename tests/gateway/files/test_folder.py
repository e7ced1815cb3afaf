"""Files are written whole or not at all, for their user alone, and under names of the gateway's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from segmind_async.errors import ConfigurationError
from segmind_async.gateway._files.folder import Folder, writing

NAME = f"file-{'0' * 32}.content.jsonl"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with closing(Folder(tmp_path / "files")) as opened:
        yield opened


def test_a_file_appears_when_it_is_kept(folder: Folder, tmp_path: Path) -> None:
    with writing(folder.new(NAME)) as file:
        file.write(b"half")
        assert not folder.path(NAME).exists()
        file.keep()
    assert folder.path(NAME).read_bytes() == b"half"
    folder.write(NAME, b"another")
    with folder.open(NAME) as content:
        assert content.read() == b"another"
    assert folder.names(".content.jsonl") == [NAME]
    for path in (tmp_path / "files", folder.path(NAME)):
        assert path.stat().st_mode & 0o077 == 0
    folder.remove(NAME)
    folder.remove(NAME)
    assert folder.names(".content.jsonl") == []


def test_what_is_not_kept_is_gone(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing(folder.new(NAME)) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["lock"]


def test_what_a_dead_process_was_writing_is_deleted(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"half")
    with closing(Folder(tmp_path)):
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("name", ["../x", "file-1.json", f"file-{'0' * 32}/../a.json", "", f"{NAME}\n"])
def test_no_name_of_a_caller_is_a_path(folder: Folder, name: str) -> None:
    with pytest.raises(ValueError, match="names no file"):
        folder.path(name)


def test_links_are_not_followed(folder: Folder, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    folder.path(NAME).symlink_to(target)
    with pytest.raises(OSError, match="ymbolic"):
        folder.open(NAME)
    folder.path(NAME).with_name(f"{NAME}.part").symlink_to(target)
    with pytest.raises(FileExistsError):
        folder.new(NAME)
    assert target.read_text() == "mine"


def test_one_gateway_at_a_time(tmp_path: Path) -> None:
    first = Folder(tmp_path)
    with pytest.raises(ConfigurationError, match=r"process \d+ is using"):
        Folder(tmp_path)
    first.close()
    Folder(tmp_path).close()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        Folder(path)
