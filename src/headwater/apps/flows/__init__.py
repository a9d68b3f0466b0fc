"""`headwater flows`: flows on a terminal, live or of captures, sorted and filtered by keys."""
