"""What a file is by its first octets: Zeek's MIME types, and when it calls a file so (scripts/base/frameworks/files/magic/*.sig)."""

import re


def mime_type(head: bytes) -> str | None:
    """The MIME type of a file that begins with `head`; None if it is of no known one."""
    return "text/plain" if re.match(rb"[\s\x20-\x7e]{10}", head) else None
