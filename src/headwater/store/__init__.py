"""Rows that are kept: ClickHouse, embedded in a process of its own or a server elsewhere, and the one door through which all read.

The sensor writes files (outputs/spool.py); the store's process (process.py) takes them into tables that it makes of their columns
(tables.py, loader.py), removes what is old (retention.py), and answers questions over ClickHouse's HTTP protocol (door.py), which a parser
has looked at first (wall.py). docs/store.md tells what is kept where.
"""
