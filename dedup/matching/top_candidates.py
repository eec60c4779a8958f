"""Choose the candidates of a text among the texts that share its fingerprints."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dedup.index.hashtable import to_kernel_array
from dedup.index.passages import MAX_BUCKET
from dedup.similarity import jit

MAX_PROPOSED = 4
"""Texts that one bucket proposes: the earliest."""
MAX_CANDIDATES = 16
"""Candidates of one text: those that share most fingerprints."""
MIN_EVIDENCE = 0.49
"""Evidence that a candidate needs. A shared fingerprint contributes 1 / (texts in its bucket): one bucket of two is enough, or three of
six."""

Int64Array = NDArray[np.int64]


def choose_candidates(ends: Int64Array, bucket_sizes: Int64Array, text_ids: Int64Array) -> list[list[int]]:
    """Return the candidates of each text, best first; see `choose_candidates_kernel` for the arrays."""
    candidates = np.zeros(len(ends) * MAX_CANDIDATES, np.int64)
    candidate_counts = np.zeros(len(ends), np.int64)
    limits = np.array([MAX_BUCKET, MAX_PROPOSED, MAX_CANDIDATES], np.int64)
    jit.compiled(choose_candidates_kernel)(
        to_kernel_array(ends),
        to_kernel_array(bucket_sizes),
        to_kernel_array(text_ids),
        to_kernel_array(limits),
        MIN_EVIDENCE,
        to_kernel_array(candidates),
        to_kernel_array(candidate_counts),
    )
    flat: list[int] = candidates.tolist()
    return [flat[i * MAX_CANDIDATES : i * MAX_CANDIDATES + count] for i, count in enumerate(candidate_counts.tolist())]


def choose_candidates_kernel(
    ends: Any, bucket_sizes: Any, text_ids: Any, limits: Any, min_evidence: float, out_candidates: Any, out_counts: Any
) -> None:
    """Choose the candidates of each text: first those in most of its buckets, then by text id. Runs as Python or compiled by numba.

    Text t has the fingerprints up to ends[t]. The bucket of fingerprint i has bucket_sizes[i] texts; `text_ids` holds the buckets one
    after the other. `limits` is (max_bucket, max_proposed, max_candidates). A bucket of more than max_bucket texts proposes nothing; any
    other proposes its first max_proposed texts, each with the evidence 1 / bucket size: a fingerprint that many texts have is a phrase,
    and says little about each of them. A candidate needs `min_evidence` in total. The candidates of text t are
    out_candidates[t·max_candidates:][:out_counts[t]].
    """
    max_bucket, max_proposed, max_candidates = limits[0], limits[1], limits[2]
    fingerprint = offset = 0
    for t in range(len(ends)):
        first, bucket_start, proposal_count = fingerprint, offset, 0
        while fingerprint < ends[t]:
            if bucket_sizes[fingerprint] <= max_bucket:
                proposal_count += min(bucket_sizes[fingerprint], max_proposed)
            offset += bucket_sizes[fingerprint]
            fingerprint += 1
        if proposal_count == 0:
            continue
        proposals = np.empty(proposal_count, np.int64)
        weights = np.empty(proposal_count, np.float64)
        proposal_count, position = 0, bucket_start
        for i in range(first, fingerprint):
            if bucket_sizes[i] <= max_bucket:
                for k in range(min(bucket_sizes[i], max_proposed)):
                    proposals[proposal_count] = text_ids[position + k]
                    weights[proposal_count] = 1 / bucket_sizes[i]
                    proposal_count += 1
            position += bucket_sizes[i]
        by_text = np.argsort(proposals, kind="mergesort")
        shared_counts = np.empty(max_candidates, np.int64)  # fingerprints shared with each chosen candidate
        chosen_count = i = 0
        while i < proposal_count:
            other, shared, weight = proposals[by_text[i]], 0, 0.0
            while i < proposal_count and proposals[by_text[i]] == other:
                weight += weights[by_text[i]]
                shared += 1
                i += 1
            if weight < min_evidence:
                continue
            position = chosen_count
            while position > 0 and shared_counts[position - 1] < shared:
                position -= 1
            if position == max_candidates:
                continue
            chosen_count = min(chosen_count + 1, max_candidates)
            for k in range(chosen_count - 1, position, -1):
                shared_counts[k] = shared_counts[k - 1]
                out_candidates[t * max_candidates + k] = out_candidates[t * max_candidates + k - 1]
            shared_counts[position] = shared
            out_candidates[t * max_candidates + position] = other
        out_counts[t] = chosen_count
