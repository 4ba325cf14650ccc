"""The official files of DVS-Gesture: AEDAT 3.1 byte by byte, and trials cut into gestures by their tables."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest

from throughtime.datasets.dvs_gesture_official import COLUMNS, NAME, OfficialGesture, aedat3_bytes, synthetic_trials
from throughtime.datasets.event_recordings import EVENT
from throughtime.errors import UsageError

HEADER = b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
# x = 5, y = 3, on: 5 · 2¹⁷ + 3 · 2² + 2 + 1 (valid); x = 127, y = 0, off: 127 · 2¹⁷ + 1; the third is not valid
ON, OFF, INVALID = 0x000A000F, 0x00FE0001, 0x000A000E


def packet(kind, overflow, capacity, words):
    """A packet, byte by byte: its header of 28 bytes, and 8 bytes for each event of its capacity."""
    body = b"".join(word.to_bytes(4, "little") for word in words)
    numbers = (8, 4, overflow, capacity, len(words) // 2, len(words) // 2)
    head = kind.to_bytes(2, "little") + b"\1\0" + b"".join(n.to_bytes(4, "little") for n in numbers)
    return head + body + bytes(max(0, 8 * capacity - len(body)))


def test_aedat3_by_hand():
    polarity = packet(1, 0, 3, [ON, 7, OFF, 2**31 - 1])  # one of three places is empty
    later = packet(1, 1, 2, [INVALID, 1, ON, 2])  # 2³¹ µs later
    read = OfficialGesture().events(HEADER + polarity + packet(3, 0, 1, [OFF, 9]) + later, "here")
    result = [tuple(int(event[field]) for field in ("x", "y", "t", "p")) for event in read]
    assert result == [(5, 3, 7, 1), (127, 0, 2**31 - 1, 0), (5, 3, 2**31 + 2, 1)]
    assert len(OfficialGesture().events(HEADER, "here")) == 0


START = len(HEADER)


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"#!AER-DAT2.0\r\n#!END-HEADER\r\n", "not an AEDAT 3.1 file"),
        (HEADER[:-4], "not an AEDAT 3.1 file"),
        (HEADER + packet(1, 0, 2, [ON, 7])[:20], f"truncated: the packet at byte {START} has no whole header"),
        (HEADER + packet(1, 0, 2, [ON, 7])[:-1], f"truncated: the packet at byte {START} ends behind the file"),
        (HEADER + packet(1, 0, 1, [ON, 7]) + b"\1", f"truncated: the packet at byte {START + 36} has no whole header"),
        (HEADER + packet(1, 0, 1, [ON, 7, OFF, 8]), f"damaged: the packet at byte {START} has an impossible header"),
        (HEADER + b"\1\0\1\0" + bytes(24), f"damaged: the packet at byte {START} has an impossible header"),
    ],
)
def test_broken_aedat3(content, problem):
    with pytest.raises(UsageError, match=f"^here: {problem}"):
        OfficialGesture().events(content, "here")


def rewritten(folder, changes):
    """Write the synthetic archive with other contents of some files; None: without the file."""
    (path,) = synthetic_trials(folder)
    with tarfile.open(path) as old:
        kept = {name: old.extractfile(name).read() for name in old.getnames()}
    contents = kept | {f"DvsGesture/{name}": content for name, content in changes.items()}
    with tarfile.open(path, "w:gz", compresslevel=1) as out:
        for name, content in contents.items():
            if content is not None:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                out.addfile(member, io.BytesIO(content))
    return [path]


def test_the_trials_of_the_lists_are_cut_into_their_gestures():
    dataset = OfficialGesture.tiny()
    # People 1 and 2, 20, 24; class 8 comes twice.
    assert [dataset.size(split) for split in ("train", "validation", "test")] == [24, 12, 12]
    assert dataset.arrays.target.tolist() == [*range(8), 7, *range(8, 11)] * 4
    made = np.zeros(6, EVENT)
    made["t"], made["x"] = [10, 20, 29, 30, 40, 50], range(6)
    table = f"{COLUMNS}\n3,20,30\n4,30,50\n".encode()
    changes = {"user24_led.aedat": aedat3_bytes(made), "user24_led_labels.csv": table}
    changes["user03_led.aedat"] = b"a trial that no list names is not read"
    small = OfficialGesture(steps=1, pool=1).with_synthetic_files(lambda folder: rewritten(folder, changes))
    (batch,) = small.batches("test", 9)
    assert batch.target.tolist() == [2, 3]
    columns = batch.x[0].reshape(2, 2, 128, 128).sum((1, 2)).nonzero().tolist()
    assert columns == [[0, 1], [0, 2], [1, 3], [1, 4]]  # 20 and 29 µs; 30 and 40 µs


@pytest.mark.parametrize(
    "changes, problem",
    [
        ({"trials_to_test.txt": None}, r"holds no trials_to_test\.txt with trials"),
        ({"trials_to_train.txt": b""}, r"holds no trials_to_train\.txt with trials"),
        ({"trials_to_test.txt": b"user01_led.aedat"}, "both official lists name user01_led"),
        ({"trials_to_test.txt": b"user\xff"}, "the official lists name user\ufffd, which has no recording"),
        ({"user02_led.aedat": None}, "the official lists name user02_led, which has no recording"),
        ({"user02_led_labels.csv": None}, "the official lists name user02_led, which has no table of gestures"),
        ({"user02_led_labels.csv": b""}, 'the first line is ""; expected "class,startTime_usec'),
        ({"user02_led_labels.csv": b"class;start"}, 'the first line is "class;start"; expected "class,startTime_usec'),
        ({"user02_led_labels.csv": f"{COLUMNS}\n1,2\n".encode()}, 'line 2 is "1,2"; expected three whole numbers'),
        (
            {"user02_led_labels.csv": f"{COLUMNS}\n1,9,8\n".encode()},
            "line 2: the gesture ends at 8 µs, before",
        ),
        ({"user02_led_labels.csv": f"{COLUMNS}\n12,1,90000\n".encode()}, r"label 11 is not among 0 \.\.\. 10"),
        ({"user02_led_labels.csv": f"{COLUMNS}\n1,1,2\n".encode()}, "gesture 1: 0 events are too few for 5 frames"),
    ],
)
def test_official_files_that_are_not_right(changes, problem):
    broken = OfficialGesture(steps=5, pool=16).with_synthetic_files(lambda folder: rewritten(folder, changes))
    with pytest.raises(UsageError, match=problem):
        next(broken.batches("test", 9))


def test_the_official_file_has_a_checksum_and_no_address(source):
    assert OfficialGesture.files[0].name == NAME
    assert OfficialGesture.files[0].origin().checksum == "md5:8a5c71fb11e24e5ca5b11866ca6c00a1"
    with pytest.raises(UsageError, match="there is no address to download it from"):
        OfficialGesture().prepare()
