"""Owns everything that we issue: browser sessions, grants, codes, tokens, keys, and the end of each.

Does not decide who may have what (policy does) and speaks no OAuth; there is one mint and one gate here.
Rooms on higher floors may call it.
"""
