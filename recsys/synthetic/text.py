"""Arrow strings of a fixed width, built without a Python object per value: public ids and times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recsys.synthetic.hashing import Bools, Ints

Chars = npt.NDArray[np.uint8]

_OFFSET = "+00:00"


def _hex_table(digits: str) -> Chars:
    """Return the two characters of every byte, shape (256, 2)."""
    return np.array([[ord(digits[byte >> 4]), ord(digits[byte & 15])] for byte in range(256)], dtype=np.uint8)


_LOWER, _UPPER = _hex_table("0123456789abcdef"), _hex_table("0123456789ABCDEF")


def fixed_strings(prefix: str, body: Chars, suffix: str = "", missing: Bools | None = None) -> pa.StringArray:
    """Join an ASCII prefix, ``body`` of shape (n, width) and a suffix into strings; null where ``missing``."""
    count = len(body)
    before, after = (np.frombuffer(part.encode(), np.uint8) for part in (prefix, suffix))
    chars = np.hstack([np.tile(before, (count, 1)), body, np.tile(after, (count, 1))])
    offsets = np.arange(count + 1, dtype=np.int32) * chars.shape[1]
    present = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(chars), present)


def hex_ids(
    prefix: str, numbers: Ints, digits: int, *, upper: bool = False, missing: Bools | None = None
) -> pa.StringArray:
    """Return public ids: a prefix and the last ``digits`` (even) hexadecimal digits of each number.

    Examples
    --------
    >>> hex_ids("s-", np.array([255, 4096]), 4).to_pylist()
    ['s-00ff', 's-1000']
    """
    octets = np.ascontiguousarray(numbers, dtype=">i8").view(np.uint8).reshape(-1, 8)[:, 8 - digits // 2 :]
    body = (_UPPER if upper else _LOWER)[octets].reshape(len(octets), digits)
    return fixed_strings(prefix, body, missing=missing)


def iso_times(milliseconds: Ints) -> pa.StringArray:
    """Return ISO-8601 times with milliseconds and the offset of UTC.

    Examples
    --------
    >>> iso_times(np.array([1_704_067_200_005])).to_pylist()
    ['2024-01-01T00:00:00.005+00:00']
    """
    text = np.datetime_as_string(milliseconds.astype("datetime64[ms]"), unit="ms")
    return fixed_strings("", text.astype("S23").view(np.uint8).reshape(len(text), 23), _OFFSET)
