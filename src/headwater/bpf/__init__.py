"""The compiled BPF objects: records (the schema) and tap. setup.py puts them here."""
