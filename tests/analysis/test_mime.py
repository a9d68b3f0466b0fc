"""What files are by their first octets."""

import re

import pytest
from cpu import cpu_seconds

from headwater.analysis.mime import _SIGNS, TABLE, mime_type

KINDS = [
    (b"GIF89a\1\0", "image/gif"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"%PDF-1.7\n", "application/pdf"),
    (b"PK\3\4\x14\0\0\0", "application/zip"),
    (b"PK\3\4" + bytes(26) + b"[Content_Types].xml" + bytes(99) + b"PK\3\4" + bytes(26) + b"word/", None),
    (b"\x1f\x8b\x08\0", "application/x-gzip"),
    (b"MZ\x90\0", "application/x-dosexec"),
    (b"#!/bin/sh\n", "text/x-shellscript"),
    (b"#!/usr/bin/env python3\n", "text/x-python"),
    (b'{"a": 1}', "text/json"),
    (b" [1, 2]", "text/json"),
    (b"[]", "text/json"),
    (b"<!-- one --> <!-- two -->\n<html>", "text/html"),
    (b'<?xml version="1.0"?> <!-- x --> <rss version="2">', "text/rss"),
    (b'<?xml version="1.0"?><a/>', "application/xml"),
    (b"\xef\xbb\xbf<!DOCTYPE  html>", "text/html"),
    (b"some words of text", "text/plain"),
    (b"too short", None),
    (b"--- a\n+++ b\n@@ -1 +1 @@\n", "text/x-diff"),
    (b"0 <?php echo 1; ?>", "text/x-php"),
    (b"", None),
    (b"\0\1\2\3", None),
]


@pytest.mark.parametrize(("head", "kind"), KINDS)
def test_kinds(head: bytes, kind: str | None) -> None:
    assert mime_type(head) == (
        kind or ("application/vnd.openxmlformats-officedocument.wordprocessingml.document" if b"word/" in head else None)
    )


def test_a_sign_is_looked_for_where_its_first_octet_is() -> None:
    """By the first octet only signs are left out that could not fit."""
    for line in TABLE.strip().splitlines():
        _, _, sign = line.split(None, 2)
        pattern = re.compile(sign.removesuffix("#").encode(), re.DOTALL)
        for head in (*(head for head, _ in KINDS if head), *(bytes([octet]) * 400 for octet in range(256))):
            if pattern.match(head):
                found = _SIGNS.find(head)
                assert found is not None
                assert found[0] >= int(line.split()[0])


@pytest.mark.parametrize(
    "octets", [b" ", b"<!-- -->", b"<?xml ?>", b"--- \n", b"PK\3\4", b'["a', b"<", b"P1 ", b"\0", b"{a:", b'<?xml xmlns="']
)
def test_no_file_takes_long(octets: bytes) -> None:
    head = (octets * 4096)[:4096]
    assert cpu_seconds(lambda: mime_type(head), 0.05) < 0.05
