"""Owns the pages of a tenant's administrators: who may open them, what they show, what they change.

Does not decide what tokens may hold and ends nothing itself: policy decides, the rooms below change and end.
Only the composition root calls it.
"""
