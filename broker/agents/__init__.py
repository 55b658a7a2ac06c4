"""Owns agents (who may act), clients (their OAuth software) and resources (where they may act).

Does not know grants or tokens; it says what is the most that an agent, client or resource allows.
Rooms on higher floors may call it.
"""
