"""A seed for every name, the same in every program and for ever; tests/model/names.json holds examples to check by."""

import hashlib
import unicodedata

from .sampling import MAX_SEED, check_seed

# Unicode's White_Space, which JavaScript writes \p{White_Space}; str.strip() would take a few control characters more.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def seed_of(name: str | int) -> int:
    """The seed of a name, in [0, 2**32 - 1].

    Surrounding spaces do not count, case does. The digits 0 to 9 alone are that seed, as everywhere; anything else is a
    name, whose seed is the first four bytes, big-endian, of the SHA-256 of its NFC form in UTF-8. This never changes.

    Raises:
        ValueError: nothing but spaces; digits past 2**32 - 1; half a surrogate pair, which has no UTF-8.
    """
    if not isinstance(name, str):
        return check_seed(name)
    text = unicodedata.normalize("NFC", name).strip(SPACES)
    if not text:
        raise ValueError("name: it is empty; give a name or a whole number")
    if text.isascii() and text.isdigit():
        digits = text.lstrip("0") or "0"
        if len(digits) > len(str(MAX_SEED)) or int(digits) > MAX_SEED:
            raise ValueError(f"seed: {text:.40} is not an integer from 0 to {MAX_SEED}")
        return int(digits)
    try:
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    except UnicodeEncodeError:
        raise ValueError("name: it holds half of a character (a lone surrogate)") from None
