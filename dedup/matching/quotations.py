"""The quoted characters of a text whose bodies differ in quotation marks: those that every body quotes.

Bodies of one normalised text differ in punctuation only. The quoted characters must not depend on which body arrived first.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import TYPE_CHECKING

from dedup.similarity.overlap import prepare_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def pack_common_quotations(bodies: Iterable[str], packed: bytes | None = None) -> bytes | None:
    """Return the mask of the normalised characters that all these bodies of one text quote, as packed bits.

    `packed` is such a mask of further bodies. Returns None if all bodies, and `packed`, quote the same characters."""
    import numpy as np

    masks = [prepare_text(body).is_quoted for body in bodies]
    if packed is not None:
        masks.append(unpack_mask(packed, len(masks[0])))
    common_mask = reduce(np.logical_and, masks)
    return None if all(np.array_equal(mask, common_mask) for mask in masks) else np.packbits(common_mask).tobytes()


def unpack_mask(packed: bytes, length: int) -> NDArray[np.bool_]:
    """Return the mask of a text of `length` normalised characters."""
    import numpy as np

    return np.unpackbits(np.frombuffer(packed, np.uint8), count=length).astype(np.bool_)
