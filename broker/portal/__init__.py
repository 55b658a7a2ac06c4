"""Owns the pages of employees: which agents act for them, what those did, and ending it.

Does not decide what an agent may do and shows nobody else's data: approvals and tokens own the records.
Only the composition root calls it.
"""
