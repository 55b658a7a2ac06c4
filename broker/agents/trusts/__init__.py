"""Owns the parties outside that a tenant deals with: their kinds, how they are stored, how requests see them.

It neither speaks to them nor verifies anything. Administration, declarations and the token endpoint call it.
"""
