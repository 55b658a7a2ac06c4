"""Owns the authorization server: authorize, the one token pipeline, introspection, revocation, userinfo.

Does not sign people in, ask for consent or mint: federation, approvals and tokens do.
Only the composition root and this room's views and short lane call it.
"""
