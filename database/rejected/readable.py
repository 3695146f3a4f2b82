"""Bytes and texts that somebody else wrote, made safe to show: nothing in them acts on a screen."""


def readable(text: str) -> str:
    """Return a text with everything escaped that is not printed as itself."""
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def readable_bytes(raw: bytes) -> str:
    """Return bytes as a readable text in one line; what is no UTF-8 is escaped."""
    return readable(raw.decode(errors="backslashreplace"))


def _escape(one: str) -> str:
    return one.encode("unicode_escape").decode()
