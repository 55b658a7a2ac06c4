"""The pages of employees and the short addresses that lead to them."""

from broker.portal.views import personal_tokens  # noqa: F401 (its pages belong to the blueprint below)
from broker.portal.views.agents import blueprint
from broker.portal.views.front_door import blueprint as front_door

__all__ = ["blueprint", "front_door"]
