"""Which of the texts that stand under a text's keys are worth confirming, as a plain function over arrays that numba can
compile too."""

from __future__ import annotations

from typing import Any

import numpy as np


def likeliest(ends: Any, numbers: Any, texts: Any, limits: Any, evidence: float, chosen: Any, chosen_numbers: Any) -> None:
    """The candidates of each text, those first that most of its keys propose, then the earliest.

    Text t has the keys up to ends[t]; under key i stand numbers[i] texts, one key's after the other's in `texts`. `limits` is
    (stories, proposed, candidates): a key with more stories proposes nothing, any other its first so many texts, and so many
    candidates are chosen. A key of many stories holds a phrase, and says little of each: 1 / stories; what all of a
    candidate's say must come to `evidence`. Those of text t are chosen[t·candidates:][:chosen_numbers[t]].
    """
    stories, proposed, candidates = limits[0], limits[1], limits[2]
    key = at = 0
    for t in range(len(ends)):
        first, begin, met = key, at, 0
        while key < ends[t]:
            if numbers[key] <= stories:
                met += min(numbers[key], proposed)
            at += numbers[key]
            key += 1
        if met == 0:
            continue
        others = np.empty(met, np.int64)
        said = np.empty(met, np.float64)
        met, place = 0, begin
        for i in range(first, key):
            if numbers[i] <= stories:
                for k in range(min(numbers[i], proposed)):
                    others[met] = texts[place + k]
                    said[met] = 1 / numbers[i]
                    met += 1
            place += numbers[i]
        order = np.argsort(others, kind="mergesort")
        top = np.empty(candidates, np.int64)  # in how many keys each of those chosen was met
        number = i = 0
        while i < met:
            other, keys, weight = others[order[i]], 0, 0.0
            while i < met and others[order[i]] == other:
                weight += said[order[i]]
                keys += 1
                i += 1
            if weight < evidence:
                continue
            place = number
            while place > 0 and top[place - 1] < keys:
                place -= 1
            if place == candidates:
                continue
            number = min(number + 1, candidates)
            for k in range(number - 1, place, -1):
                top[k] = top[k - 1]
                chosen[t * candidates + k] = chosen[t * candidates + k - 1]
            top[place] = keys
            chosen[t * candidates + place] = other
        chosen_numbers[t] = number
