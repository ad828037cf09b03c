"""Nearest neighbors in feature space."""

import numpy as np

BLOCK = 1024


def neighbor_similarity(
    queries: np.ndarray,
    references: np.ndarray,
    neighbors: int,
    query_groups: np.ndarray | None = None,
    reference_groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return `(N,)`: the cosine of each query `(N, D)` with its k-th nearest reference `(M, D)`.

    Where there are fewer than k (`neighbors`), the farthest counts. With groups `(N,)` and `(M,)`,
    references of the query's own group, such as near-duplicates, are left out.

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


def unit_length(features: np.ndarray) -> np.ndarray:
    """Return `(…, D)` features scaled to length 1; those of length 0 stay."""
    length = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.asarray(features / np.maximum(length, 1e-12))
