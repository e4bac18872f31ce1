"""Decide what is held out from training, by a stable hash: the same on every machine and in every release."""

from hashlib import blake2b


def is_held_out(concept_id: str, normalised_name: str, share: float) -> bool:
    """Whether a name of a concept, or a document (with ``""`` as its name), is held out from training.

    What is held out at one share is held out at every larger one.
    """
    return uniform("held out", concept_id, normalised_name) < share


def uniform(*parts: str) -> float:
    """Return a number in [0, 1) that depends on ``parts`` alone and is uniform over them."""
    # Python's ``hash`` is salted in every process. The separator keeps ("ab", "c") apart from ("a", "bc").
    digest = blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
