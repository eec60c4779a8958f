"""The innermost loops of the indexes, as plain functions over arrays that numba can compile too.

A slot is a 63-bit number: 35 bits of a hash, then 28 bits of the text's key; 0 is an empty slot. An entry stands at
the first free slot from its home on (linear probing; Knuth, *The Art of Computer Programming* 3, 6.4), which rises with
the hash; there is no way round from the end to the beginning, but a tail beyond the last home. Entries of one bucket
therefore stand in the order in which they came, whatever the table has grown from.
"""

from __future__ import annotations

from typing import Any


def add(table: Any, homes: int, hashes: Any, texts: Any, bands: int, cap: int) -> tuple[int, int]:
    """Enter each text under its `bands` hashes, unless it is there or the bucket holds `cap`; text t has
    hashes[t·bands:(t+1)·bands].

    Gives (entries made, what they add to the table's sum); the first is -1 where the tail is full and the table must grow.
    """
    made = 0
    sum_ = 0
    for t in range(len(texts)):
        text = texts[t]
        for i in range(t * bands, (t + 1) * bands):
            h = hashes[i]
            at = ((h >> 3) * homes) >> 32
            own = (h << 28) | text
            there = 0
            while True:
                slot = table[at]
                if slot == 0:
                    if at >= len(table) - 1:
                        return -1, 0
                    if there < cap:
                        table[at] = own
                        made += 1
                        sum_ += own * (2 * at + 1)
                    break
                if slot >> 28 == h:
                    there += 1
                    if slot == own or there >= cap:
                        break
                at += 1
    return made, sum_


def meet(
    table: Any, homes: int, local: Any, local_homes: int, hashes: Any, texts: Any, bands: int, limits: Any,
    owners: Any, candidates: Any, shared: Any, crowded: Any,
) -> int:  # fmt: skip
    """The candidates of each text: those of the table and those before it in the batch, which `local` (empty before) takes in.

    `limits` is (entries a bucket holds, how many of a full one are given). Candidate c belongs to text owners[c], is text
    candidates[c], and met it in shared[c] bands; crowded[t] is set where a bucket of text t was full. Returns their number;
    -1 where the arrays for them are too short.
    """
    cap, few = limits[0], limits[1]
    mask = (1 << 28) - 1
    number = 0
    for t in range(len(texts)):
        begin = number
        text = texts[t]
        for i in range(t * bands, (t + 1) * bands):
            h = hashes[i]
            first = number
            there = 0
            for turn in range(2):
                probed = table if turn == 0 else local
                at = ((h >> 3) * (homes if turn == 0 else local_homes)) >> 32
                while at < len(probed):
                    slot = probed[at]
                    if slot == 0:
                        break
                    if slot >> 28 == h:
                        there += 1
                        other = slot & mask
                        if other != text and there <= cap:
                            if number >= len(candidates):
                                return -1
                            owners[number] = t
                            candidates[number] = other
                            number += 1
                        if there >= cap:
                            break
                    at += 1
            if there >= cap:
                crowded[t] = 1
                number = min(number, first + few)
            else:
                at = ((h >> 3) * local_homes) >> 32
                while local[at] != 0:
                    at += 1
                local[at] = (h << 28) | text
            # what this bucket gave becomes part of the text's own list, each candidate once
            met = first
            for c in range(first, number):
                other = candidates[c]
                known = -1
                for k in range(begin, first):
                    if candidates[k] == other:
                        known = k
                        break
                if known >= 0:
                    shared[known] += 1
                else:
                    candidates[met] = other
                    owners[met] = t
                    shared[met] = 1
                    met += 1
            number = met
    return number


def gather(table: Any, homes: int, hashes: Any, cap: int, numbers: Any, found: Any) -> int:
    """What stands under each hash, the earliest `cap` entries: hash i has numbers[i] texts, one hash's after the other's in
    `found`. Returns how many; -1 where `found` is too short."""
    mask = (1 << 28) - 1
    all_ = 0
    for i in range(len(hashes)):
        h = hashes[i]
        at = ((h >> 3) * homes) >> 32
        there = 0
        while at < len(table) and there < cap:
            slot = table[at]
            if slot == 0:
                break
            if slot >> 28 == h:
                if all_ >= len(found):
                    return -1
                found[all_] = slot & mask
                all_ += 1
                there += 1
            at += 1
        numbers[i] = there
    return all_


def move(old: Any, new: Any, homes: int) -> tuple[int, int]:
    """Enter everything of one table into a larger, empty one; gives (entries, the new table's sum), the first -1 where the
    new tail is too short."""
    number = 0
    sum_ = 0
    for i in range(len(old)):
        slot = old[i]
        if slot != 0:
            at = (((slot >> 28) >> 3) * homes) >> 32
            while new[at] != 0:
                at += 1
            if at >= len(new) - 1:
                return -1, 0
            new[at] = slot
            number += 1
            sum_ += slot * (2 * at + 1)
    return number, sum_
