"""What an administrator sets about where else groups are asked for, and how often between sign-ins."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

from idp_connectors.base import GroupPlan


class GroupPlanSettings(BaseModel):
    """A second source of groups within the same tenant, and the age at which groups are asked for again."""

    groups_from: str = Field(
        default="",
        max_length=63,
        pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?$",
        title="Take groups from",
        description=(
            "The name in the address of another connection of this tenant that looks groups up. Groups that "
            "the sign-in brings are then not used."
        ),
    )
    groups_key: str = Field(
        default="",
        max_length=256,
        title="Attribute with the key there",
        description=(
            "The claim or attribute that identifies the person at that other connection, and that they "
            "cannot change themselves. Empty means their stable identifier."
        ),
    )
    groups_key_is: Literal["subject", "username"] = Field(
        default="subject",
        title="Kind of key",
        description="Whether the key is the person's stable identifier there, or their user name.",
    )
    groups_limit: int = Field(
        default=0,
        ge=0,
        le=2_000,
        title="Longest list of groups",
        description=(
            "The number of groups after which the provider cuts the list without a word, 0 if it does not. A "
            "list of this length counts as incomplete."
        ),
    )
    group_refresh_minutes: int = Field(
        default=60,
        ge=0,
        le=10_080,
        title="Refresh groups after minutes",
        description=(
            "Groups of people for whom agents may act are looked up again at this age. 0: at sign-in only."
        ),
    )

    @field_validator("group_refresh_minutes")
    @classmethod
    def _refreshes_leave_the_source_in_peace(cls, value: int) -> int:
        if 0 < value < 5:
            raise ValueError("groups are refreshed every 5 minutes at most")
        return value


def may_be_cut(count: int, settings: GroupPlanSettings) -> bool:
    """Return whether a list of `count` groups is as long as the provider ever sends.

    Without this: the 75 groups that Google sends of a hundred would count as all.
    """
    return 0 < settings.groups_limit <= count


def read_plan(config: Mapping[str, Any], *, has_lookup: bool) -> GroupPlan | None:
    """Return the plan of a stored `config`, which was checked before it was stored.

    `has_lookup` says that the connection can look groups up itself.
    """
    given = {name: config[name] for name in GroupPlanSettings.model_fields if name in config}
    settings = GroupPlanSettings.model_validate(given)
    seconds = settings.group_refresh_minutes * 60
    if settings.groups_from:
        return GroupPlan(
            connection=settings.groups_from,
            attribute=settings.groups_key,
            by=settings.groups_key_is,
            refresh_seconds=seconds,
        )
    return GroupPlan(refresh_seconds=seconds) if has_lookup else None
