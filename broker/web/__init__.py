"""Owns the HTTP shell of every view: call context, cookies, sessions, CSRF, headers, limits, error pages.

Decides nothing about people, agents or tokens and has no page of its own but the error page.
Views of higher floors and the composition root call it; the short lane may use its plain functions.
"""
