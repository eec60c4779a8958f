"""Which of the texts that stand under a text's keys are worth confirming, as a plain function over arrays that numba can
compile too."""

from __future__ import annotations

from typing import Any

import numpy as np


def choose_top_candidates(
    ends: Any, bucket_sizes: Any, text_ids: Any, limits: Any, min_evidence: float, out_candidates: Any, out_counts: Any
) -> None:
    """The candidates of each text, those first that most of its keys propose, then the earliest.

    Text t has the keys up to ends[t]; under key i stand numbers[i] texts, one key's after the other's in `text_ids`. `limits` is
    (stories, proposed, candidates): a key with more stories proposes nothing, any other its first so many texts, and so many
    candidates are chosen. A key of many stories holds a phrase, and says little of each: 1 / stories; what all of a
    candidate's say must come to `min_evidence`. Those of text t are chosen[t·candidates:][:chosen_numbers[t]].
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
        shared_counts = np.empty(max_candidates, np.int64)  # in how many keys each of those chosen was met
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
