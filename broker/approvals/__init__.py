"""Owns interactions (what a pending request still needs) and consents (what a person agreed to).

Does not speak OAuth and issues nothing: oauth writes an interaction, this room fulfils it.
Rooms on higher floors may call it.
"""
