"""Generated images with boxes in the layout of PASCAL VOC, for tests and contract checks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

BLOOD_CELLS = ("Platelets", "RBC", "WBC")
COUNTS = {"train": 14, "val": 8, "test": 8}
WIDTH, HEIGHT = 96, 72

OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>\
<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"""


def write_voc(folder: Path, classes: Sequence[str], seed: int = 0) -> None:
    """Write 30 images of grey noise with one to three rectangles each, whose colour is that of their class.

    The second image has a difficult box too, and the first one a box without width and height.
    """
    from PIL import Image

    random, colours = np.random.RandomState(seed), np.eye(3) * 255
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    number = 0
    for split, count in COUNTS.items():
        names = [f"{number + i:06}" for i in range(count)]
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            image, objects = random.randint(90, 160, (HEIGHT, WIDTH, 3)), []
            for i in range(random.randint(1, 4)):
                kind, (left, top) = random.randint(len(classes)), random.randint(0, (WIDTH - 40, HEIGHT - 40))
                right, bottom = left + random.randint(12, 40), top + random.randint(12, 40)
                image[top:bottom, left:right] = colours[kind % 3]
                difficult = int(number == 1 and i == 0)
                objects.append((classes[kind], left, top, right, bottom, difficult))
            if number == 0:
                objects.append((classes[0], 9, 9, 9, 9, 0))
            fields = ("name", "left", "top", "right", "bottom", "difficult")
            xml = "".join(OBJECT.format(**dict(zip(fields, values, strict=True))) for values in objects)
            (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{xml}</annotation>")
            Image.fromarray(image.astype(np.uint8)).save(folder / "JPEGImages" / f"{name}.jpg")
            number += 1


def voc_folder(folder: Path) -> list[Path]:
    """Write a folder with boxes of two classes; return it, for `with_synthetic_files`."""
    write_voc(folder / "VOC2007", ("cat", "dog"))
    return [folder / "VOC2007"]


def zipped_blood_cells(folder: Path) -> list[Path]:
    """Write a zip archive with the classes of BCCD; return it, for `with_synthetic_files`."""
    write_voc(folder / "BCCD", BLOOD_CELLS)
    return [Path(shutil.make_archive(str(folder / "bccd"), "zip", folder, "BCCD"))]
