"""Headwater shows what happens on a Linux host's network, from the first packet header."""

__version__ = "0.1.0"
