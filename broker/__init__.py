"""The agent SSO broker: one corporate sign-in becomes a short-lived, narrowed, revocable agent token.

The rooms and the direction of their imports are drawn in ``deploy/docs/architecture.md``.
"""

__version__ = "0.1.0"
