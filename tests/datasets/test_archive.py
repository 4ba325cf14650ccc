"""Zip and tar archives, folders and packed files: the same members and digests, and messages about broken ones."""

import gzip
import hashlib
import io
import shutil
import tarfile
import zipfile

import pytest

from throughtime.datasets.files import archive
from throughtime.errors import UsageError

CONTENT = {"Train/1/a.bin": b"one", "Train/0/b.bin": b"two" * 1000, "Train/readme.txt": b"not asked for"}
PATTERN = "Train/*/*.bin"


def zipped(path, content=CONTENT, prefix=""):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in content.items():
            out.writestr(prefix + name, data)
    return path


def tarred(path, content=CONTENT, prefix=""):
    with tarfile.open(path, "w:gz") as out:
        for name, data in content.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return path


def folder(path, content=CONTENT, prefix=""):
    for name, data in content.items():
        (path / (prefix + name)).parent.mkdir(parents=True, exist_ok=True)
        (path / (prefix + name)).write_bytes(data)
    return path


FORMS = {"a.zip": zipped, "a.tar.gz": tarred, "a": folder}


@pytest.mark.parametrize("prefix", ["", "someone/v1.0/"])
@pytest.mark.parametrize("form", FORMS)
def test_members_and_contents_are_the_same_in_every_form(form, prefix, tmp_path):
    path = FORMS[form](tmp_path / form, prefix=prefix)
    assert archive.members(path, PATTERN) == ["Train/0/b.bin", "Train/1/a.bin"]
    assert dict(archive.read(path, PATTERN)) == {name: CONTENT[name] for name in ("Train/0/b.bin", "Train/1/a.bin")}
    lines = "".join(
        f"{hashlib.sha256(CONTENT[name]).hexdigest()}  {name}\n" for name in ("Train/0/b.bin", "Train/1/a.bin")
    )
    assert archive.digest(path, PATTERN) == hashlib.sha256(lines.encode()).hexdigest()


def test_a_folders_own_name_counts(tmp_path):
    assert archive.members(folder(tmp_path) / "Train", PATTERN) == ["Train/0/b.bin", "Train/1/a.bin"]


def test_archives_in_an_archive(tmp_path):
    inner = zipped(tmp_path / "cat.zip", {"cat/0.bin": b"0", "cat/1.bin": b"1"}).read_bytes()
    path = zipped(tmp_path / "all.zip", {"cat.zip": inner, "dog/2.bin": b"2"})
    assert dict(archive.read(path, "*/*.bin")) == {"cat/0.bin": b"0", "cat/1.bin": b"1", "dog/2.bin": b"2"}


def test_what_macs_add_is_passed_over(tmp_path):
    path = zipped(tmp_path / "a.zip", {"x/1.wav": b"1", "__MACOSX/x/1.wav": b"resource fork"})
    assert dict(archive.read(path, "*.wav")) == {"1.wav": b"1"}


@pytest.mark.parametrize("name", ["../Train/1/a.bin", "/Train/1/a.bin", "x/../../Train/1/a.bin", "C:\\Train\\a.bin"])
@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz"])
def test_a_member_that_leads_out_of_the_archive(name, form, tmp_path):
    path = FORMS[form](tmp_path / form, {**CONTENT, name: b"evil"})
    for look in (archive.members, archive.digest, lambda *a: list(archive.read(*a))):
        with pytest.raises(UsageError, match="a member leads out of the archive"):
            look(path, PATTERN)


def test_one_that_leads_out_of_an_inner_archive(tmp_path):
    inner = zipped(tmp_path / "cat.zip", {"../../cat/0.bin": b"0"}).read_bytes()
    with pytest.raises(UsageError, match="leads out"):
        archive.members(zipped(tmp_path / "all.zip", {"cat.zip": inner}), "*/*.bin")


@pytest.mark.parametrize("form", ["a.zip", "a.tar.gz"])
def test_truncated_archive(form, tmp_path):
    path = FORMS[form](tmp_path / form)
    whole = path.read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(UsageError, match=r"a\.(zip|tar\.gz): (truncated|damaged or truncated|cannot be read)"):
            archive.digest(path, PATTERN)


def test_damaged_member(tmp_path):
    path = zipped(tmp_path / "a.zip")
    content = bytearray(path.read_bytes())
    content[content.find(b"Train/0/b.bin") + 15] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UsageError, match="damaged or truncated"):
        archive.digest(path, PATTERN)


def test_member_whose_name_is_no_text(tmp_path):
    path = zipped(tmp_path / "a.zip", {"Train/é/b.bin": b"two"})
    content = path.read_bytes()
    path.write_bytes(content.replace("é".encode(), b"\xff\xff", 1))  # in the member's own header
    with pytest.raises(UsageError, match=r"a\.zip: damaged or truncated archive: 'utf-8' codec can't decode"):
        archive.digest(path, PATTERN)


def test_encrypted_member(tmp_path):
    path = zipped(tmp_path / "a.zip", {"Train/0/b.bin": b"two"})
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag, in the member's own header and in the directory at the end
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.zip: an archive that cannot be read: File .* is encrypted"):
        archive.digest(path, PATTERN)


def test_no_archive_and_nothing_that_matches_and_twice_the_same(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(UsageError, match=r"a\.zip: damaged or truncated archive: File is not a zip file"):
        archive.members(tmp_path / "a.zip", PATTERN)
    with pytest.raises(UsageError, match=r"b\.zip: holds no Test/\*/\*\.bin"):
        archive.members(zipped(tmp_path / "b.zip"), "Test/*/*.bin")
    with pytest.raises(UsageError, match=r"c\.zip: holds a\.bin twice"):
        archive.members(zipped(tmp_path / "c.zip", {"1/a.bin": b"", "2/a.bin": b""}), "*.bin")


# --- single files


@pytest.mark.parametrize("name", ["h5", "h5.gz", "h5.zip"])
def test_single_file_packed_or_not(name, tmp_path):
    path = tmp_path / name
    if name.endswith("zip"):
        zipped(path, {"h5": b"content"})
    else:
        path.write_bytes(gzip.compress(b"content") if name.endswith("gz") else b"content")
    with archive.single(path) as stream:
        assert stream.read() == b"content"
    unpacked = archive.unpack(path, tmp_path / "out")
    assert unpacked.read_bytes() == b"content"
    assert (unpacked == path) == (name == "h5")


def test_archive_of_several_where_one_is_expected(tmp_path):
    with (
        pytest.raises(UsageError, match="an archive of 3 files; expected one"),
        archive.single(zipped(tmp_path / "a.zip")),
    ):
        pass


def test_folder_that_is_not_there(tmp_path):
    shutil.rmtree(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        archive.members(tmp_path / "a.zip", PATTERN)


def sparse_tar(path):
    """A member of 10 TB in 10 KiB, in the old GNU format of sparse files."""
    header = bytearray(tarfile.TarInfo("Train/0/b.bin").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:410] = b"00000000000\0" * 2  # a piece of no length at the start
    header[483:495] = b"\x80" + (10**13).to_bytes(11, "big")  # the real size
    header[148:156] = b"%06o\0 " % sum(header[:148] + b" " * 8 + header[156:])
    path.write_bytes(bytes(header) + bytes(9728))


def long_header(path):
    """A name of 8 GB, of which gzip makes few bytes; the test ends with its first."""
    header = bytearray(tarfile.TarInfo("././@LongLink").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_LONGNAME
    header[124:136] = b"\x80" + (8 * 10**9).to_bytes(11, "big")
    header[148:156] = b"%06o\0 " % sum(header[:148] + b" " * 8 + header[156:])
    with gzip.open(path, "wb") as out:
        out.write(bytes(header) + bytes(1 << 22))


def zip_of_zeros(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out, out.open("Train/0/b.bin", "w") as member:
        for _ in range(3):
            member.write(bytes(1 << 20))


def zip_in_zip_in_zip(path):
    content = {"Train/0/b.bin": b"one"}
    for _ in range(3):
        zipped(path, content)
        content = {"Train.zip": path.read_bytes()}


@pytest.mark.parametrize(
    "make, name, problem",
    [
        (sparse_tar, "a.tar", r"Train/0/b\.bin has more than 1 MiB"),
        (long_header, "a.tar.gz", "a header of more than 1 MiB"),
        (zip_of_zeros, "a.zip", r"Train/0/b\.bin has more than 1 MiB"),
        (zip_in_zip_in_zip, "a.zip", r"Train\.zip is nested too deeply"),
    ],
)
def test_what_would_not_fit_into_memory_is_refused(make, name, problem, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MEMBER_BYTES", 1 << 20)
    make(tmp_path / name)
    with pytest.raises(UsageError, match=problem):
        list(archive.read(tmp_path / name, PATTERN))


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "NESTED_BYTES", 20)
    zipped(tmp_path / "a.zip", {"Train.zip": b"a" * 21})
    with pytest.raises(UsageError, match=r"Train\.zip has more than 0 GiB"):
        archive.members(tmp_path / "a.zip", PATTERN)
