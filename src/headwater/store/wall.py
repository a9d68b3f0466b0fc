"""Temporary."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Statement:
    text: str
    format: str = ""


def checked(text: str) -> Statement:
    return Statement(text)
