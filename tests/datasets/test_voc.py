"""Images with boxes: folders in the layout of PASCAL VOC, BCCD, augmentation, and errors that name the file."""

from __future__ import annotations

import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from tests.real_data import real_source  # noqa: F401
from throughtime.commands.main import main
from throughtime.datasets.detection.augmentation import Picture, augmented, clipped, mirrored, placed
from throughtime.datasets.detection.generated import BLOOD_CELLS, write_voc, zipped_blood_cells
from throughtime.datasets.detection.voc import BCCD, VOC
from throughtime.datasets.detection.voc_files import boxes_of, rows_of
from throughtime.datasets.files import fetch
from throughtime.errors import UsageError

SPLITS = ("train", "validation", "test")
ALL = ("flip", "jitter", "colour", "mosaic")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A generated folder VOC2007, and an empty cache."""
    monkeypatch.setenv(fetch.DATA, "")
    monkeypatch.setenv(fetch.CACHE, str(tmp_path / "cache"))
    write_voc(tmp_path / "VOC2007", ("cat", "dog"))
    return tmp_path / "VOC2007"


def huge(side: int) -> bytes:
    """The start of a PNG image of a bit per pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def in_order(data, split="train", batch=100):
    (result,) = data.batches(split, batch)
    return result


# --- reading


def test_a_folder_has_its_classes_splits_and_counts(folder):
    data = VOC(root=str(folder), size=64, steps=3)
    assert [data.size(split) for split in SPLITS] == [14, 8, 8]
    assert data.task.classes == ("cat", "dog") and data.outputs == 3 * (5 + 2)
    batch = in_order(data)
    assert batch.x.shape == (3, 14, 3 * 64 * 64) and data.layout == (3, 64, 64)
    assert batch.x.stride(0) == 0, "the presentations share their memory"
    assert batch.target.shape == (14, 3, 6)
    total = (folder / "Annotations" / "000000.xml").read_text().count("<object>")
    assert (batch.target[0, :, 0] >= 0).sum() == total - 1, "the box without width and height is dropped"
    assert data.remark().startswith("1 of ") and data.remark().endswith("no width or height and were dropped")
    assert batch.target[1, :, 5].tolist().count(1) == 1, "one difficult box"


def test_pixels_and_boxes_agree(folder):
    """The centre of a box that nothing covers has the colour of its class: red for cats, green for dogs."""
    data = VOC(root=str(folder), size=96, steps=1)
    batch = in_order(data)
    seen = 0
    for x, boxes in zip(batch.x[0].view(-1, 3, 96, 96), batch.target, strict=True):
        kind, across, down = boxes[boxes[:, 0] >= 0][-1, :3].tolist()  # the last rectangle is on top
        colour = x[:, int(down * 96), int(across * 96)]
        assert colour.argmax() == kind and colour.max() > 0.7
        seen += 1
    assert seen == 14


def test_boxes_are_clipped_and_degenerate_ones_dropped():
    form = "<object><name>a</name><bndbox>{}</bndbox></object>"
    corners = [(-10, 5, 50, 20), (30, 30, 30, 40), (90, 0, 120, 25), (100, 0, 120, 25)]
    text = "".join(
        form.format("".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), c, strict=True)))
        for c in corners
    )
    rows = rows_of(boxes_of(f"<a>{text}</a>".encode(), "here"), ["a"], (100, 50), "here")
    assert rows[:, :5].tolist() == pytest.approx(np.array([[0, 0.25, 0.25, 0.5, 0.3], [0, 0.95, 0.25, 0.1, 0.5]]))


def test_years_are_used_together(folder):
    write_voc(folder.parent / "VOC2012", ("bird", "cat"), seed=5)
    for path in folder.parent.glob("VOC2012/*/*"):
        if path.suffix in (".xml", ".jpg"):
            path.rename(path.with_name(f"b{path.name}"))
    for path in folder.parent.glob("VOC2012/ImageSets/Main/*.txt"):
        path.write_text("".join(f"b{name}\n" for name in path.read_text().split()))
    data = VOC(root=str(folder.parent), years=["2007", "2012"], size=32, steps=1)
    assert [data.size(split) for split in SPLITS] == [28, 16, 16]
    assert data.task.classes == ("bird", "cat", "dog")


def test_a_year_is_named_once(folder):
    with pytest.raises(UsageError, match="VOC2007: a year that `years` names twice"):
        VOC(root=str(folder.parent), years=["2007", "2007"], size=32).prepare()


def test_an_archive_and_a_folder_have_one_digest(folder):
    (folder.parent / "packed").mkdir()
    (packed,) = zipped_blood_cells(folder.parent / "packed")
    file = BCCD.files[0]
    unpacked = packed.with_suffix("")
    shutil.unpack_archive(packed, unpacked)
    assert fetch.content_sha256(file, packed) == fetch.content_sha256(file, unpacked)
    path = next(unpacked.rglob("*.xml"))
    path.write_text(path.read_text().replace("RBC", "WBC", 1) + " ")
    assert fetch.content_sha256(file, packed) != fetch.content_sha256(file, unpacked)


def test_limit_takes_the_first_images(folder):
    few = VOC(root=str(folder), size=32, steps=1, limit={"train": 3})
    assert few.size("train") == 3 and few.size("test") == 8
    assert torch.equal(in_order(few).x, in_order(VOC(root=str(folder), size=32, steps=1)).x[:, :3])


def declare(folder, encoding):
    (folder / "Annotations/000003.xml").write_text(f'<?xml version="1.0" encoding="{encoding}"?><annotation/>')


@pytest.mark.parametrize(
    "harm, what",
    [
        (lambda f: (f / "Annotations/000003.xml").write_text("<annotation><obj"), "000003.xml: broken XML: unclosed"),
        (lambda f: (f / "Annotations/000003.xml").unlink(), "no Annotations/000003.xml, an image that train.txt names"),
        (lambda f: (f / "JPEGImages/000015.jpg").unlink(), "no image JPEGImages/000015.jpg, which Main/val.txt names"),
        (
            lambda f: (f / "JPEGImages/000002.jpg").write_bytes(huge(30_000)),
            "000002.jpg: an image of more than 89478485",
        ),
        (
            lambda f: (f / "JPEGImages/000002.jpg").write_bytes(huge(10_000)),
            "000002.jpg: an image of more than 89478485",
        ),
        (lambda f: Image.new("RGB", (9, 9)).save(f / "JPEGImages/000002.jpg", "GIF"), "000002.jpg: not a JPEG or PNG"),
        (
            lambda f: (f / "JPEGImages/000002.jpg").write_bytes(b"\xff\xd8"),
            "000002.jpg: not a JPEG or PNG image, or truncated",
        ),
        (lambda f: (f / "ImageSets/Main/test.txt").unlink(), "no image in the test split: ImageSets/Main/test.txt"),
        (lambda f: (f / "ImageSets/Main/val.txt").write_text("000001\n"), "000001 is twice in the lists of splits"),
        (
            lambda f: (f / "ImageSets/Main/val.txt").write_bytes(b"\xff\n"),
            "no Annotations/\ufffd.xml, an image that val",
        ),
        (
            lambda f: (f / "Annotations/000003.xml").write_text(
                "<annotation><object><name>cat</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
            ),
            "000003.xml: object 1 has no box of four numbers",
        ),
        (lambda f: declare(f, "x-none"), "000003.xml: broken XML: unknown encoding"),
        (lambda f: declare(f, "utf-7"), "000003.xml: broken XML: multi-byte encodings are not supported"),
    ],
)
def test_errors_are_one_line_and_name_the_file(folder, harm, what, capsys):
    harm(folder)
    assert main(["data", "fetch", "voc", "--option", f"root={folder}", "--option", "size=32"]) == 2
    first = capsys.readouterr().err.splitlines()[0]
    assert str(folder) in first and what in first
    assert not [path for path in (folder.parent / "cache" / "prepared").glob("*") if path.is_dir()]


def test_a_class_that_bccd_lacks_is_an_error(folder):
    with pytest.raises(UsageError, match='a box of class "cat"; the classes are Platelets, RBC, WBC'):
        rows_of(boxes_of((folder / "Annotations/000001.xml").read_bytes(), "x"), BLOOD_CELLS, (96, 72), "x")


# --- augmentation


def one_red_box() -> Picture:
    pixels = np.full((64, 64, 3), 60, np.uint8)
    pixels[20:40, 10:22] = (250, 0, 0)
    return Picture(Image.fromarray(pixels), np.array([[0, 16 / 64, 30 / 64, 12 / 64, 20 / 64, 0]], np.float32))


def test_mirrored_twice_is_the_picture():
    once = mirrored(one_red_box())
    assert once.boxes[0, 1:5].tolist() == pytest.approx([48 / 64, 30 / 64, 12 / 64, 20 / 64])
    assert np.array_equal(mirrored(once).image, one_red_box().image)


def test_placed_by_hand():
    """Half as large, at (8, 16) of 64 pixels; then so far to the left that a third of the box is left."""
    half = placed(one_red_box(), (0.5, 0.5), (8 / 64, 16 / 64))
    assert half.boxes[0, 1:5].tolist() == pytest.approx([16 / 64, 31 / 64, 6 / 64, 10 / 64])
    assert np.asarray(half.image)[50, 50].tolist() == [128, 128, 128]
    left = placed(one_red_box(), (1, 1), (-18 / 64, 0))
    assert left.boxes[0, 1:5].tolist() == pytest.approx([2 / 64, 30 / 64, 4 / 64, 20 / 64])
    assert len(placed(one_red_box(), (1, 1), (-21 / 64, 0)).boxes) == 0, "a pixel is left: dropped"


def test_clipped_by_hand():
    boxes = np.array([[0, 0.1, 0.5, 0.4, 0.4, 0], [1, 1.04, 0.5, 0.1, 0.1, 0], [1, -0.1, 0.1, 0.1, 0.1, 0]])
    result = clipped(boxes, 0.02)
    assert result.tolist() == pytest.approx(np.array([[0, 0.15, 0.5, 0.3, 0.4, 0]]))


@pytest.mark.parametrize("changes", [("flip",), ("jitter",), ("mosaic",), ("flip", "jitter", "mosaic")])
def test_boxes_follow_their_pixels(changes):
    random, seen, moved = np.random.RandomState(1), 0, 0
    for _ in range(40):
        result = augmented(one_red_box(), one_red_box, changes, random)
        red = np.asarray(result.image)[..., 0] > 180
        outside = red.copy()
        for _, x, y, w, h, _ in result.boxes:
            left, right, top, bottom = (round(64 * edge) for edge in (x - w / 2, x + w / 2, y - h / 2, y + h / 2))
            inside = red[top:bottom, left:right]
            if inside.shape[0] > 4 and inside.shape[1] > 4:  # of smaller ones, resampling blurs the edge
                assert inside[1:-1, 1:-1].mean() > 0.9
                seen += 1
            outside[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2] = False
        moved += not np.array_equal(result.boxes, one_red_box().boxes)
        assert outside.mean() < 0.01, "no red pixels outside boxes"
    assert seen > 15 and moved > 10


def test_colour_moves_pixels_and_no_box():
    result = augmented(one_red_box(), one_red_box, ("colour",), np.random.RandomState(2))
    assert np.array_equal(result.boxes, one_red_box().boxes)
    assert not np.array_equal(result.image, one_red_box().image)


def test_augmentation_is_seeded_and_in_training_alone(folder):
    data = VOC(root=str(folder), size=32, steps=1, changes=ALL)

    def drawn(split, seed, batch):
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        batches = list(data.batches(split, batch, generator))
        boxes = [image[image[:, 0] >= 0] for part in batches for image in part.target]
        return torch.cat([part.x[0] for part in batches]), torch.cat(boxes)

    x, boxes = drawn("train", 1, 5)
    for other in (drawn("train", 1, 5), drawn("train", 1, 14)):
        assert torch.equal(x, other[0]) and torch.equal(boxes, other[1])
    assert not torch.equal(x.sum(1).sort().values, drawn("train", 2, 5)[0].sum(1).sort().values)
    plain = VOC(root=str(folder), size=32, steps=1)
    for split, seed in (("train", None), ("validation", 1), ("test", 1)):
        sums = [torch.stack(list(b.x[0])).sum(1).sort().values for b in plain.batches(split, 100)]
        assert torch.equal(drawn(split, seed, 100)[0].sum(1).sort().values, sums[0])


# --- the real files, and `data show`


def test_real_blood_cells(real_source):  # noqa: F811
    data = BCCD(size=32, steps=1)
    assert [data.size(split) for split in SPLITS] == [205, 87, 72]
    assert data.remark() == "2 of 4888 boxes have no width or height and were dropped"
    kinds = torch.cat([in_order(data, split, 300).target[..., 0].flatten() for split in SPLITS])
    assert [int((kinds == k).sum()) for k in range(3)] == [361, 4153, 372]


def test_data_show_draws_boxes_and_prints_the_dropped_ones(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert main(["data", "show", "voc", "--option", f"root={folder}", "--option", "size=64"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("voc.png: train 14, validation 8, test 8 sequences")
    assert "boxes have no width or height and were dropped" in out
    assert (folder.parent / "voc.png").stat().st_size > 10_000
