"""Files are written whole or not at all, and what is damaged is named."""

import errno
import os
import resource

import numpy as np
import pytest

from lightning_skills import files
from lightning_skills.csv_file import FIRST_COLUMNS, CsvFile
from lightning_skills.errors import InputError


@pytest.fixture
def full_disk():
    """No file may grow beyond 1 kB, as on a disk that is full."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path, full_disk):
    files.write(tmp_path / "file", "old")
    with pytest.raises(InputError, match=r"cannot write .*file: File too large"):
        files.write(tmp_path / "file", "x" * 2000)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"
    files.write(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"


def test_an_array_that_does_not_fit_leaves_nothing_and_says_why(tmp_path, full_disk):
    message = r"cannot write .*npy: no room is left: \d+ requested and \d+ written"
    with pytest.raises(InputError, match=message), files.whole(tmp_path / "array.npy") as beside:
        np.save(beside.open("wb"), np.zeros(1000))
    assert not list(tmp_path.iterdir())


def test_a_folder_takes_the_place_of_another(tmp_path):
    for name in ("old", "new"):
        with files.whole(tmp_path / "folder") as beside:
            beside.mkdir()
            (beside / name).touch()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["new"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_renamed_into_place_is_on_disk(kind, tmp_path, monkeypatch):
    """Everything in it is, before the rename, and the folder that names it after that."""
    synced, place = [], tmp_path / kind
    original = os.fsync

    def fsync(descriptor):
        synced.append((os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), tmp_path), place.exists()))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if kind == "file":
        files.write(place, "content")
        assert synced == [("file.tmp", False), (".", True)]
    else:
        with files.whole(place) as beside:
            (beside / "below").mkdir(parents=True)
            (beside / "below" / "file").touch()
        assert {name for name, _ in synced[:-1]} == {"folder.tmp", "folder.tmp/below", "folder.tmp/below/file"}
        assert [there for _, there in synced] == [False, False, False, True]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV])
def test_without_hard_links_there_are_copies(number, tmp_path, monkeypatch):
    def link(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    (tmp_path / "file").write_text("content")
    files.link(tmp_path / "file", tmp_path / "second")
    assert (tmp_path / "second").read_text() == "content"
    assert (tmp_path / "second").stat().st_ino != (tmp_path / "file").stat().st_ino


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe\x00", None])
def test_json_that_is_no_object_is_named(content, tmp_path):
    file = tmp_path / "file.json"
    if content is not None:
        file.write_bytes(content)
    said = "is missing" if content is None else r"is damaged \("
    with pytest.raises(InputError, match=rf"file\.json {said}.*; mend it") as error, files.advised("mend it"):
        files.read_json(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\x00\xfe\n" * 20, "decode"),
        (b"phase,loss\nrl,1.0\n", "no column updates"),
        (b"phase,updates\nrl,1\nrl\n", "line 3 has 1 cells for 2 columns"),
        (b"phase,updates\nrl,1,2\n", "line 2 has 3 cells for 2 columns"),
        (b"phase,updates\nrl,\n", "line 2: updates is no number"),
        (b"phase,updates,loss\nrl,1,\nrl,2,x\n", "line 3: loss is no number"),
        (b'phase,updates\n"rl,1\nrl,2\n', "unexpected end"),
    ],
)
def test_a_table_that_is_none_is_named(content, said, tmp_path):
    (tmp_path / "file.csv").write_bytes(content)
    with pytest.raises(files.DamagedError, match=rf"file\.csv is damaged \(.*{said}"):
        files.read_rows(tmp_path / "file.csv", ("phase", "updates"))


def test_what_is_not_written_yet_is_no_damage(tmp_path):
    file = tmp_path / "file.csv"
    assert files.read_rows(file, ("phase",)) == []
    file.write_text("phase,updates\nrl,1\nrl,")
    assert files.read_rows(file, ("phase",)) == [{"phase": "rl", "updates": "1"}]


def test_a_row_that_does_not_fit_is_not_begun(tmp_path):
    path, head = tmp_path / "metrics.csv", {"phase": "rl", "env_frames": 1, "updates": 1, "wall_s": 0.5}
    table = CsvFile(path, FIRST_COLUMNS)
    for _ in range(10):
        table.append({**head, "loss": 1 / 3})
    before, old = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, old[1]))
        with pytest.raises(InputError, match=r"cannot write .*metrics\.csv: File too large"):
            table.append({**head, "loss": 1 / 3})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert path.read_bytes() == before
    assert table.rows == CsvFile(path, FIRST_COLUMNS).rows == 10
    table.append({**head, "loss": 1 / 3})
    assert len(table.read()) == 11
