"""Owns the documents that tell clients and resources how to get, verify and end a token.

Generated from what is enabled, never written by hand; names no identity provider, group or resource.
Only the composition root and this room's views call it.
"""
