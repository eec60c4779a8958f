"""The innermost loops of the indexes, as plain functions over arrays that numba can also compile.

A slot is a 63-bit number: 35 bits of a hash, then 28 bits of a text id. 0 is an empty slot. An entry is in the first free slot from its
home on (linear probing; Knuth, *The Art of Computer Programming* 3, 6.4). Homes rise with the hash. Probing does not wrap around; there
is a tail after the last home instead. The entries of a bucket are therefore in the order of insertion, whatever size the table has
grown from.
"""

from __future__ import annotations

from typing import Any


def insert(table: Any, homes: int, hashes: Any, text_ids: Any, hashes_per_text: int, max_bucket: int) -> tuple[int, int]:
    """Enter each text under its hashes, unless it is already there or the bucket holds `max_bucket`. Text t has
    hashes[t·hashes_per_text:(t+1)·hashes_per_text].

    Return (entries made, what they add to the table's checksum). The first is -1 if the tail is full and the table must grow.
    """
    added = 0
    checksum = 0
    for t in range(len(text_ids)):
        text_id = text_ids[t]
        for i in range(t * hashes_per_text, (t + 1) * hashes_per_text):
            h = hashes[i]
            position = ((h >> 3) * homes) >> 32
            new_slot = (h << 28) | text_id
            bucket_size = 0
            while True:
                slot = table[position]
                if slot == 0:
                    if position >= len(table) - 1:
                        return -1, 0
                    if bucket_size < max_bucket:
                        table[position] = new_slot
                        added += 1
                        checksum += new_slot * (2 * position + 1)
                    break
                if slot >> 28 == h:
                    bucket_size += 1
                    if slot == new_slot or bucket_size >= max_bucket:
                        break
                position += 1
    return added, checksum


def query(
    table: Any, homes: int, local: Any, local_homes: int, hashes: Any, text_ids: Any, hashes_per_text: int, limits: Any,
    owners: Any, candidates: Any, shared_bands: Any, is_crowded: Any,
) -> int:  # fmt: skip
    """Find the candidates of each text: those in the table, and earlier texts of the batch, which are entered into `local` (empty at
    first).

    `limits` is (entries of a full bucket, candidates that a full bucket contributes). Candidate c is text candidates[c], belongs to
    text owners[c], and shares shared_bands[c] bands with it. is_crowded[t] is set if a bucket of text t is full. Return the number
    of candidates; -1 if the arrays for them are too short.
    """
    max_bucket, initial_limit = limits[0], limits[1]
    mask = (1 << 28) - 1
    count = 0
    for t in range(len(text_ids)):
        begin = count
        text_id = text_ids[t]
        for i in range(t * hashes_per_text, (t + 1) * hashes_per_text):
            h = hashes[i]
            first = count
            bucket_size = 0
            for pass_number in range(2):
                probed = table if pass_number == 0 else local
                position = ((h >> 3) * (homes if pass_number == 0 else local_homes)) >> 32
                while position < len(probed):
                    slot = probed[position]
                    if slot == 0:
                        break
                    if slot >> 28 == h:
                        bucket_size += 1
                        candidate = slot & mask
                        if candidate != text_id and bucket_size <= max_bucket:
                            if count >= len(candidates):
                                return -1
                            owners[count] = t
                            candidates[count] = candidate
                            count += 1
                        if bucket_size >= max_bucket:
                            break
                    position += 1
            if bucket_size >= max_bucket:
                is_crowded[t] = 1
                count = min(count, first + initial_limit)
            else:
                position = ((h >> 3) * local_homes) >> 32
                while local[position] != 0:
                    position += 1
                local[position] = (h << 28) | text_id
            # merge this bucket's candidates into the text's list, each candidate once
            unique_end = first
            for c in range(first, count):
                candidate = candidates[c]
                existing = -1
                for k in range(begin, first):
                    if candidates[k] == candidate:
                        existing = k
                        break
                if existing >= 0:
                    shared_bands[existing] += 1
                else:
                    candidates[unique_end] = candidate
                    owners[unique_end] = t
                    shared_bands[unique_end] = 1
                    unique_end += 1
            count = unique_end
    return count


def gather(table: Any, homes: int, hashes: Any, max_bucket: int, bucket_sizes: Any, out_texts: Any) -> int:
    """List the texts of each bucket, the earliest `max_bucket` entries. Hash i has bucket_sizes[i] texts; `out_texts` holds those of
    one hash after those of the other. Return their number; -1 if `out_texts` is too short."""
    mask = (1 << 28) - 1
    count = 0
    for i in range(len(hashes)):
        h = hashes[i]
        position = ((h >> 3) * homes) >> 32
        bucket_size = 0
        while position < len(table) and bucket_size < max_bucket:
            slot = table[position]
            if slot == 0:
                break
            if slot >> 28 == h:
                if count >= len(out_texts):
                    return -1
                out_texts[count] = slot & mask
                count += 1
                bucket_size += 1
            position += 1
        bucket_sizes[i] = bucket_size
    return count


def rehash(old: Any, new: Any, homes: int) -> tuple[int, int]:
    """Enter every entry of a table into a larger, empty one. Return (entries, the new table's checksum); the first is -1 if the new
    tail is too short."""
    count = 0
    checksum = 0
    for i in range(len(old)):
        slot = old[i]
        if slot != 0:
            position = (((slot >> 28) >> 3) * homes) >> 32
            while new[position] != 0:
                position += 1
            if position >= len(new) - 1:
                return -1, 0
            new[position] = slot
            count += 1
            checksum += slot * (2 * position + 1)
    return count, checksum
