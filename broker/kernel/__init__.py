"""Owns what every room stands on: settings, errors, ids, clock, database, sealing, replay marks, egress.

Knows nothing of tenants' meaning, tokens or people; it only keeps rows apart by ``tenant_id``.
Every room may import it; it imports no other room.
"""
