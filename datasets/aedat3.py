"""Decoding of AEDAT 3.1 recordings: polarity events in packets.

tonic 1.6 cannot read them: its `read_dvs_ibm` raises an exception, and the functions behind it ignore the kind of a
packet and the overflow of its times. Format: inivation, "AEDAT 3.1 file format".
"""

from __future__ import annotations

import struct

import numpy as np

from throughtime.datasets.event_recordings import EVENT
from throughtime.errors import UsageError

VERSION, END_OF_HEADER = b"#!AER-DAT3.1\r\n", b"#!END-HEADER\r\n"
PACKET = struct.Struct("<hhiiiiii")
"""Header of a packet: kind and source of its events, bytes of an event, position of the time within an event, overflow
of the times, events that have space in the packet, events in it, valid events in it."""
POLARITY = 1
"""Kind of the packets with changes of brightness; others hold frames, inertial measurements or external signals."""
POLARITY_BYTES = 8


def read_aedat3(content: bytes, where: str) -> np.ndarray:
    """Return the valid polarity events of a recording, of type EVENT, in the order of the file.

    An event is two 32-bit words. The first has, from its lowest bit: whether the event is valid, the polarity, 15 bits
    of y and 15 bits of x. The second is the time in microseconds; the overflow of the packet counts multiples of 2³¹.

    Args:
        content: the bytes of the file.
        where: the path of the file, for error messages.

    Raises:
        UsageError: it is not an AEDAT 3.1 file, is truncated or damaged.
    """
    header = content.find(END_OF_HEADER)
    if not content.startswith(VERSION) or header < 0:
        raise UsageError("not an AEDAT 3.1 file: no such header", where=where)
    offset = header + len(END_OF_HEADER)
    packets = [np.empty(0, EVENT)]
    while offset < len(content):
        if len(content) - offset < PACKET.size:
            raise UsageError(f"truncated: the packet at byte {offset} has no whole header", where=where)
        kind, _, size, _, overflow, capacity, number, _ = PACKET.unpack_from(content, offset)
        first, offset = offset, offset + PACKET.size
        if not (size > 0 and 0 <= number <= capacity and (kind != POLARITY or size == POLARITY_BYTES)):
            raise UsageError(f"damaged: the packet at byte {first} has an impossible header", where=where)
        if offset + capacity * size > len(content):
            raise UsageError(f"truncated: the packet at byte {first} ends behind the file", where=where)
        if kind == POLARITY:
            words = np.frombuffer(content, "<u4", 2 * number, offset).reshape(number, 2)
            packets.append(_polarity_events(words, overflow))
        offset += capacity * size
    return np.concatenate(packets)


def _polarity_events(words: np.ndarray, overflow: int) -> np.ndarray:
    """Decode the valid events among words [events, 2]."""
    address, time = words[words[:, 0] & 1 == 1].T
    events = np.empty(len(address), EVENT)
    events["x"], events["y"], events["p"] = address >> 17, (address >> 2) & 0x7FFF, (address >> 1) & 1
    events["t"] = time.astype(np.int64) + (overflow << 31)
    return events
