"""Nearest neighbors in feature space."""

import numpy as np

from pandacat.metrics.arrays import FloatArray, IntArray

BLOCK = 1024


def neighbor_similarity(
    queries: FloatArray,
    references: FloatArray,
    neighbors: int,
    query_groups: IntArray | None = None,
    reference_groups: IntArray | None = None,
) -> FloatArray:
    """Return `(N,)`: the cosine of each query with its k-th nearest reference.

    Args:
        queries: `(N, D)` features.
        references: `(M, D)` features.
        neighbors: k, from 1; the farthest reference where there are fewer.
        query_groups: `(N,)`; with `reference_groups`, a query's own group (itself and its
            near-duplicates) is left out of its references.
        reference_groups: `(M,)`.

    Source: Sun et al., Out-of-distribution detection with deep nearest neighbors, ICML 2022.
    """
    queries = unit_length(queries)
    references = unit_length(references)
    rank = min(neighbors, len(references))
    similarities = np.empty(len(queries))
    for start in range(0, len(queries), BLOCK):
        block = slice(start, start + BLOCK)
        cosines = queries[block] @ references.T
        if query_groups is not None and reference_groups is not None:
            cosines[query_groups[block, None] == reference_groups] = -1
        similarities[block] = np.partition(cosines, -rank, axis=1)[:, -rank]
    return similarities


def unit_length(features: FloatArray) -> FloatArray:
    """Return `(N, D)` features scaled to length 1; those of length 0 stay."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12))
