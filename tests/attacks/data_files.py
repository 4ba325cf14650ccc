"""Attacks on the readers of data: damaged bytes, fields and members, and what a format itself allows."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.attacks.basics import Attack, Attempt, FaultError, damaged, fork, reworded
from throughtime.datasets.aedat import AedatReader
from throughtime.datasets.files import archive
from throughtime.datasets.spoken_digits import PATTERN, SAMPLE, samples
from throughtime.registry import DATASETS

Change = Callable[[bytes, random.Random], bytes]
NUMBERS = [0, -1, 1, 127, 255, 256, 65535, 2**31 - 1, -(2**31), 2**62, float("nan"), float("inf"), -1e300]
ENTITIES = "<!DOCTYPE a [" + "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12)) + "]>"
HEADS = [
    '<?xml version="1.0" encoding="{}"?>',
    '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
    ENTITIES.replace('"&e0;', '"boom&e0;'),
    "<object>" * 10_000,
]
ENCODINGS = ["utf-16", "utf-7", "cp037", "x-none", "", "latin-1", "idna", "shift_jis"]


def any_array(array: np.ndarray, dice: random.Random) -> np.ndarray:
    """Return an array of another type or shape, or with other numbers."""
    kinds = ["complex128", "str", "S3", "bool", "datetime64[s]", "float16", "int8", "uint64", "float64", "O"]
    with np.errstate(all="ignore"):
        if dice.random() < 0.5:
            array = array.astype(dice.choice(kinds))
        elif dice.random() < 0.5:
            array = dice.choice([array[:0], array[..., None], array.ravel(), array.T, array[:1], np.array(5)])
        else:
            array = array.astype(dice.choice([np.float64, np.int64]))
            np.put(array, dice.randrange(max(1, array.size)), np.array(dice.choice(NUMBERS)).astype(array.dtype))
    return array


def any_npz(content: bytes, dice: random.Random) -> bytes:
    """Return an npz file with another array, another name, a damaged member, or a member that is no array."""
    if dice.random() < 0.3:
        return packed("x.zip", content, dice, damaged)
    with np.load(io.BytesIO(content)) as file:
        arrays = dict(file)
    name = dice.choice(sorted(arrays))
    if dice.random() < 0.2:
        arrays[dice.choice(["x", "z", "../x", "length"])] = arrays.pop(name)
    else:
        arrays[name] = any_array(arrays[name], dice)
    out = io.BytesIO()
    np.savez(out, **arrays)
    if dice.random() < 0.1:
        with zipfile.ZipFile(out, "a") as added:
            added.writestr(dice.choice(["x", "note.txt", "y.npy"]), "no array")
    return out.getvalue()


def any_npy(content: bytes, dice: random.Random) -> bytes:
    out = io.BytesIO()
    np.save(out, any_array(np.load(io.BytesIO(content)), dice))
    return out.getvalue()


def any_mat(content: bytes, dice: random.Random) -> bytes:
    """Return a MATLAB file in which one variable is another array, a structure, a text or a sparse matrix."""
    import scipy.io
    import scipy.sparse

    variables = {k: v for k, v in scipy.io.loadmat(io.BytesIO(content)).items() if not k.startswith("_")}
    name = dice.choice(sorted(variables))
    array = np.zeros((3, 4)) if variables[name].dtype.kind == "O" else variables[name]
    others = [any_array(array, dice), {"a": 1}, "text", scipy.sparse.csc_matrix((3, 4)), np.empty((1, 2), object)]
    out = io.BytesIO()
    try:
        scipy.io.savemat(out, {**variables, name: dice.choice(others)})
    except Exception:  # it cannot write such an array
        return damaged(content, dice)
    return out.getvalue()


def any_text(content: bytes, dice: random.Random) -> bytes:
    """Return a text whose numbers, words or lines are others."""
    text = content.decode()
    if dice.random() < 0.5:
        lines = text.splitlines(keepends=True)
        dice.shuffle(lines)
        return "".join(lines[: dice.randint(1, len(lines))]).encode()
    for separator in (",", ":", "\n"):
        if dice.random() < 0.5:
            text = reworded(text.replace(separator, f" {separator} "), dice).replace(f" {separator} ", separator)
    return text.encode()


def any_xml(content: bytes, dice: random.Random) -> bytes:
    """Return XML with a declared encoding, entities, a deep nesting, or other numbers in boxes."""
    text, head = content.decode(), dice.choice(HEADS).format(dice.choice(ENCODINGS))
    if dice.random() < 0.5:
        return (head + text.replace("<name>", "<name>&e;" if "SYSTEM" in head else "<name>&e12;", 1)).encode()
    words = text.replace(">", "> ").replace("<", " <").split(" ")
    numbers = [i for i, word in enumerate(words) if word.strip() and "<" not in word]
    if numbers:
        words[dice.choice(numbers)] = str(dice.choice([*NUMBERS, "", "\x00", "١٢", "1_0", "<b/>"]))
    return "".join(words).encode()


def any_image(content: bytes, dice: random.Random) -> bytes:
    """Return an image of another kind, format or size, or a damaged PNG with right checksums."""
    from PIL import Image

    out = io.BytesIO()
    try:
        image = Image.open(io.BytesIO(content)).convert(dice.choice(["1", "L", "P", "RGB", "RGBA", "I;16", "CMYK"]))
        if dice.random() < 0.2:
            image = image.resize((dice.choice([1, 4000]), dice.choice([1, 4000])))
        image.save(out, dice.choice(["PNG", "PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM"]))
    except (OSError, ValueError):  # that format has no such images
        return content
    if dice.random() < 0.5:
        return damaged(out.getvalue(), dice)
    return _with_field(out.getvalue(), dice) if out.getvalue().startswith(b"\x89PNG") else out.getvalue()


def _with_field(png: bytes, dice: random.Random) -> bytes:
    """Change a byte of a chunk of a PNG file, and its checksum."""
    import zlib

    chunks, start = [], 8
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        chunks.append(png[start + 4 : end - 4])
        start = end
    i = dice.randrange(len(chunks))
    chunks[i] = chunks[i][:4] + damaged(chunks[i][4:], dice)
    parts = ((len(c) - 4).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big") for c in chunks)
    return png[:8] + b"".join(parts)


def any_hdf5(content: bytes, dice: random.Random) -> bytes:
    """Return an HDF5 file in which an array is another one, a group, or lies in another file."""
    import h5py

    name = dice.choice(["labels", "extra/speaker", "spikes/times", "spikes/units"])
    out, elsewhere = io.BytesIO(content), Path(tempfile.gettempdir(), "elsewhere.h5").as_posix()
    Path(elsewhere).write_bytes(content)
    with h5py.File(out, "r+") as file:
        old = file[name]
        shape, kind = old.shape, old.dtype
        values = None if kind.kind == "O" else old[:]
        del file[name]
        way = dice.randrange(6)
        if way == 0:
            file[name] = h5py.ExternalLink(elsewhere, name)
        elif way == 1:
            file.create_dataset(name, shape, "u2", external=[(elsewhere, 0, h5py.h5f.UNLIMITED)])
        elif way == 2:
            layout = h5py.VirtualLayout(shape, "u2")
            layout[:] = h5py.VirtualSource(elsewhere, "labels", shape)
            file.create_virtual_dataset(name, layout)
        elif way == 3:
            file[name] = h5py.SoftLink(dice.choice(["/labels", "/", f"/{name}", "/extra"]))
        elif way == 4:
            size = dice.choice([0, 1, 2**20, 2**40])
            file.create_dataset(name, (size,), kind if dice.random() < 0.5 else "f8", maxshape=(None,))
        else:
            try:
                file[name] = any_array(values if values is not None else np.zeros(shape), dice)
            except TypeError:  # h5py cannot store it
                file[name] = "text"
    return out.getvalue()


def dataset_files(name: str, pattern: str, *changes: Change, forbidden: bytes | None = None) -> Attack:
    """Return an attack on files of a dataset's tiny variant.

    Args:
        name: the dataset.
        pattern: of the names of the files.
        *changes: of a file or, if it is packed, of a member, beside damaged bytes.
        forbidden: bytes of a file that may not be read as data.
    """

    def attack(dice: random.Random, folder: Path) -> Iterator[Attempt]:
        raw, ready = folder / "raw", folder / "ready"
        raw.mkdir()
        ready.mkdir()
        dataset = DATASETS[name].factory.tiny()
        paths = dataset.write_files(raw)
        files = sorted(path for path in raw.rglob(pattern) if path.is_file())
        dataset.build(paths, ready)  # imports what the forks need

        def build() -> None:
            dataset.build(paths, ready)
            if forbidden and any(forbidden in path.read_bytes() for path in files):
                raise FaultError(f"a file with {forbidden!r} was read")

        while True:
            shutil.rmtree(ready)
            ready.mkdir()
            path = dice.choice(files)
            content = path.read_bytes()
            if dice.random() < 0.2:
                path.write_bytes(damaged(content, dice))
            else:
                path.write_bytes(packed(path.name, content, dice, dice.choice([damaged, *changes])))
            yield lambda: fork(build)
            path.write_bytes(content)

    return attack


def packed(name: str, content: bytes, dice: random.Random, change: Change) -> bytes:
    """Return a file with a change in its content or, of an archive, in one member."""
    out = io.BytesIO()
    if name.endswith(".tar.gz"):
        with (
            tarfile.open(fileobj=io.BytesIO(content)) as old,
            tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as new,
        ):
            chosen = dice.choice(old.getnames())
            for member in old:
                read: Any = old.extractfile(member)
                body = change(read.read(), dice) if member.name == chosen else read.read()
                member.size = len(body)
                new.addfile(member, io.BytesIO(body))
    elif name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
            chosen = dice.choice(old.namelist())
            for member in old.namelist():
                new.writestr(member, change(old.read(member), dice) if member == chosen else old.read(member))
    elif name.endswith(".gz"):
        out.write(gzip.compress(change(gzip.decompress(content), dice)))
    else:
        return change(content, dice)
    return out.getvalue()


def wav(dice: random.Random, folder: Path) -> Iterator[Attempt]:
    """Damaged recordings of spoken digits."""
    sounds = [content for _, content in archive.read(SAMPLE, PATTERN)]
    while True:
        content = damaged(dice.choice(sounds), dice)
        yield lambda content=content: fork(lambda: samples(content, "sound"))


def aedat4(dice: random.Random, folder: Path) -> Iterator[Attempt]:
    """Damaged recordings in AEDAT4, read by one decoder, which is a process of its own."""
    (path,) = DATASETS["cifar10dvs"].factory.tiny().write_files(folder)
    recordings = [content for _, content in archive.read(path, "*/*.aedat4")]
    with AedatReader() as reader:
        while True:
            content = damaged(dice.choice(recordings), dice)

            yield lambda content=content: reader.events(content, "recording")


FORMATS: dict[str, Attack] = {
    "ts": dataset_files("ts", "*.ts", any_text),
    "idx": dataset_files("mnist", "*-ubyte.gz"),
    "aedat3": dataset_files("dvsgesture_official", "*.tar.gz"),
    "aedat4": aedat4,
    "bin": dataset_files("nmnist", "*.zip"),
    "npy": dataset_files("dvsgesture", "*.tar.gz", any_npy),
    "npz": dataset_files("npz", "*.npz", any_npz),
    "mat": dataset_files("qtdb", "*.mat", any_mat),
    "music": dataset_files("jsb_chorales", "*.mat", any_mat),
    "hdf5": dataset_files("shd", "*.h5", any_hdf5, forbidden=b"/elsewhere."),
    "wav": wav,
    "xml": dataset_files("voc", "*.xml", any_xml),
    "lists": dataset_files("voc", "*.txt", any_text),
    "images": dataset_files("voc", "*.jpg", any_image),
}
