"""Owns the `broker` command: serving, applying declarations, keys, links, the audit log, the schema.

Decides nothing: each command opens a runtime, calls the rooms below and prints.
Called from a shell; it imports whatever it wires, and only when a command needs it.
"""

from broker.cli.group import main

__all__ = ["main"]
