"""Owns people, the upstream identities they are bound to, their groups with age, and groups → roles.

Does not sign anybody in and decides nothing about agents; roles are computed here, never stored on people.
Agents and higher floors may call it.
"""
