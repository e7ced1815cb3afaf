"""Names of images in rows reach the files of one folder, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from segmind_async._media.image_folder import ImageFolder
from tests.pictures import drawn


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pictures = tmp_path / "pictures"
    (pictures / "dogs").mkdir(parents=True)
    (pictures / "dogs" / "a.png").write_bytes(drawn("PNG"))
    (pictures / "link.png").symlink_to("dogs/a.png")
    (tmp_path / "secret.png").write_bytes(drawn("PNG"))
    (pictures / "out.png").symlink_to(tmp_path / "secret.png")
    (pictures / "up").symlink_to(tmp_path)
    (pictures / "circle.png").symlink_to("circle.png")
    return pictures


@pytest.mark.parametrize("name", ["dogs/a.png", "./dogs/a.png", "link.png"])
def test_a_file_of_the_folder_is_loaded(folder: Path, name: str) -> None:
    part = ImageFolder(folder).image(name)
    held = part.load()
    assert part.part is not None
    assert held is not None


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(folder)
    assert ImageFolder(tmp_path / "elsewhere").image("dogs/a.png")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../secret.png", "not named by its path within"),
        ("dogs/../dogs/a.png", "not named by its path within"),
        ("/etc/passwd", "not named by its path within"),
        ("", "not named by its path within"),
        ("file:///etc/passwd", "not in the folder"),
        ("dogs/b.png", "not in the folder"),
        ("a\0.png", "not in the folder"),
        ("x" * 5000, "not in the folder"),
        ("circle.png", "not in the folder"),
        ("out.png", "a link out of the folder"),
        ("up/secret.png", "a link out of the folder"),
        ("dogs", "not a file"),
    ],
    ids=lambda text: text[:20].replace("\0", "NUL"),
)
def test_any_other_name_is_refused(folder: Path, name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        ImageFolder(folder).image(name)
    assert len(str(caught.value)) < 200
