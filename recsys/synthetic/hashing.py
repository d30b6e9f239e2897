"""Counter-based randomness: every draw is a hash of what it is for, never the state of a generator.

A value depends only on the seed, a purpose and integer keys, so it is the same in any partition, batch or
order. The mixing step is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014), a bijection of 64-bit words.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_FIELD_SD = 65535.0 / np.sqrt(12.0)


def salt(seed: int, purpose: str) -> int:
    """Return the 64-bit start value of one purpose, in [0, 2**64)."""
    digest = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def splitmix(words: Bits) -> Bits:
    """Mix 64-bit words; distinct words stay distinct."""
    out = words + _GOLDEN
    out = (out ^ (out >> np.uint64(30))) * _MIX_1
    out = (out ^ (out >> np.uint64(27))) * _MIX_2
    return out ^ (out >> np.uint64(31))


def mix(seed: int, purpose: str, *keys: Ints) -> Bits:
    """Hash integer keys, which broadcast against each other, for one purpose.

    With a single key the result is unique per key.
    """
    out = np.full((), salt(seed, purpose), dtype=np.uint64)
    for key in keys:
        out = splitmix(out ^ np.asarray(key).astype(np.uint64))
    return out


def unit(words: Bits) -> Floats:
    """Turn words into uniform numbers in [0, 1)."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(seed: int, purpose: str, *keys: Ints) -> Floats:
    """Return uniform numbers in [0, 1) for the keys."""
    return unit(mix(seed, purpose, *keys))


def normal(seed: int, purpose: str, *keys: Ints) -> Floats:
    """Return standard normal numbers for the keys (Box-Muller)."""
    words = mix(seed, purpose, *keys)
    radius = np.sqrt(-2.0 * np.log1p(-unit(words)))
    angle: Floats = radius * np.cos(2.0 * np.pi * unit(splitmix(words)))
    return angle


def fields(words: Bits) -> Floats:
    """Split each word into four numbers of mean 0 and variance 1 (uniform), in a new last axis."""
    shifts = np.array([0, 16, 32, 48], dtype=np.uint64)
    parts = (words[..., None] >> shifts) & np.uint64(0xFFFF)
    scaled: Floats = (parts.astype(np.float64) - 32767.5) / _FIELD_SD
    return scaled


def below(words: Bits, bound: Ints | int) -> Ints:
    """Return integers in [0, bound) from words; ``bound`` must be at least 1."""
    scaled = np.floor(unit(words) * bound).astype(np.int64)
    return np.minimum(scaled, np.asarray(bound, dtype=np.int64) - 1)


def pick(draws: Floats, cumulative: Floats) -> Ints:
    """Return the index each uniform draw selects.

    Parameters
    ----------
    draws
        Uniform numbers in [0, 1), any shape.
    cumulative
        Cumulative probabilities in the last axis, ending at 1; leading axes broadcast with ``draws``.
    """
    hits: Ints = np.minimum((draws[..., None] >= cumulative).sum(axis=-1), cumulative.shape[-1] - 1)
    return hits.astype(np.int64)
