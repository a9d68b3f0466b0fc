"""One file a sink; the registry is the tuple of this module."""
