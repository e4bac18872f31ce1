"""What is kept from training: a stable hash decides, the same on every machine and in every release."""

from hashlib import blake2b


def is_held_out(concept_id: str, normalised_name: str, share: float) -> bool:
    """Whether a name of a concept (or, with ``""``, a document) is kept from training.

    The same on every machine and in every release; what is held out at a share stays so at a larger one.
    """
    return uniform("held out", concept_id, normalised_name) < share


def uniform(*parts: str) -> float:
    """A number in [0, 1) that depends on ``parts`` alone and is uniform over them."""
    """A number in [0, 1) that depends on nothing but ``parts``."""
    digest = blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
