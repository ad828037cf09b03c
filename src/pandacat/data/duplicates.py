"""Groups of near-duplicate photos, by their perceptual hashes."""

from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def group_near_duplicates(
    fingerprints: Collection[str], mirrored: Collection[str], max_bits: int
) -> np.ndarray:
    """Return a group number for each photo, `(N,) int64`, counted from 0 in order of appearance.

    Two photos share a group when a fingerprint of one and the plain or the mirrored fingerprint
    of the other differ in at most `max_bits` bits, directly or through others.

    Fingerprints so close agree exactly in at least one of `max_bits + 1` bands of bits, so only
    photos that share a band are compared (Norouzi, Punjani and Fleet, "Fast Search in Hamming
    Space with Multi-Index Hashing", CVPR 2012): time grows near-linearly with the photos.
    """
    count = len(fingerprints)
    both = np.concatenate([_bytes_of(fingerprints), _bytes_of(mirrored)])
    codes, code_of = np.unique(both.view(f"V{both.shape[1]}").ravel(), return_inverse=True)
    packed = codes.view(np.uint8).reshape(len(codes), -1)
    words = packed.view(np.uint64)
    edges = [code_of.reshape(2, count)]
    for band in np.array_split(np.arange(packed.shape[1] * 8), max_bits + 1):
        for first, second in _equal_pairs(_bits(packed, band[0], band[-1] + 1)):
            distance = np.bitwise_count(words[first] ^ words[second]).sum(axis=1)
            near = distance <= max_bits
            edges.append(np.stack([first[near], second[near]]))
    first, second = np.concatenate(edges, axis=1)
    shape = (len(codes), len(codes))
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=shape)
    group_of_code = connected_components(graph, directed=False)[1]
    return pd.factorize(group_of_code[code_of[:count]])[0].astype(np.int64)


def _bytes_of(fingerprints: Collection[str]) -> np.ndarray:
    raw = np.frombuffer(b"".join(map(bytes.fromhex, fingerprints)), np.uint8)
    return raw.reshape(len(fingerprints), -1)


def _bits(packed: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return the bits from `start` to `end` of each row, packed again."""
    first_byte = start // 8
    bits = np.unpackbits(packed[:, first_byte : (end + 7) // 8], axis=1)
    return np.packbits(bits[:, start - 8 * first_byte : end - 8 * first_byte], axis=1)


def _equal_pairs(rows: np.ndarray, block: int = 1 << 15) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield index pairs of equal rows of bytes, in blocks of bounded size.

    Rows are sorted; each is paired with its neighbors at growing offsets while they are equal.
    """
    keys = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}").ravel()
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    left = np.flatnonzero(ordered[1:] == ordered[:-1])
    offset = 1
    while len(left):
        for start in range(0, len(left), block):
            part = left[start : start + block]
            yield order[part], order[part + offset]
        offset += 1
        left = left[left + offset < len(order)]
        left = left[ordered[left] == ordered[left + offset]]
