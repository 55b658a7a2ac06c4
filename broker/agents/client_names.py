"""The name that a stranger gives itself, made fit to stand before people."""

import unicodedata

MAX_CHARS = 60


def shown_name(given: str, otherwise: str) -> str:
    """Return ``given`` if it is a plain, short name in one alphabet, else ``otherwise``.

    Without this: a client could call itself by an address, by a name with letters that only look like
    others, or by text that turns around what stands beside it (O51).
    """
    name = " ".join(given.split())
    is_fit = (
        0 < len(name) <= MAX_CHARS
        and unicodedata.normalize("NFKC", name) == name
        and not any(unicodedata.category(one).startswith("C") for one in name)
        and "://" not in name
        and "@" not in name
        and len(_alphabets(name)) <= 1
    )
    if is_fit and not _names_a_host(name):
        return name
    return otherwise or "An application without a name"


def _alphabets(name: str) -> set[str]:
    return {unicodedata.name(one, "?").partition(" ")[0] for one in name if one.isalpha()}


def _names_a_host(name: str) -> bool:
    """A word such as ``accounts.google.com`` would be read as where the client comes from."""
    return any(
        "." in word.strip(".") and word.strip(".").rpartition(".")[2].isalpha() for word in name.split()
    )
