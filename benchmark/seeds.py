"""Seeds that have nothing in common: of numbers that differ by one, the mixtures differ in every bit."""

from __future__ import annotations

import hashlib


def mixed(*numbers: int) -> int:
    """A seed, 63 bits, that follows from some numbers."""
    words = " ".join(map(str, numbers))
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1
