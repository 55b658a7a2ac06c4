"""What an administrator sets so that groups can be looked up; part of a connection's own settings."""

from typing import Literal

from pydantic import BaseModel, Field, SecretStr

from idp_connectors.groups.entra_graph import GraphHost

GroupLookupName = Literal["none", "entra_graph", "google_directory", "okta_api"]


class GroupLookupSettings(BaseModel):
    """The second way to a person's groups, for when the sign-in itself does not bring them all."""

    group_lookup: GroupLookupName = Field(
        default="none",
        title="Group lookup",
        description="Where groups are asked for when the sign-in does not bring them all.",
    )
    group_lookup_when: Literal["overage", "always"] = Field(
        default="overage",
        title="When to look groups up",
        description="Only when the provider says that there were too many to send, or at every sign-in.",
    )
    entra_graph_host: GraphHost = Field(
        default="graph.microsoft.com",
        title="Microsoft Graph host",
        description="The cloud that the directory lives in. Only national clouds need another one.",
        json_schema_extra={"makes": ["entra"]},
    )
    google_admin: str = Field(
        default="",
        max_length=320,
        title="Google administrator",
        description="The address of the administrator in whose name the service account reads groups.",
        json_schema_extra={"makes": ["google"]},
    )
    google_service_account: SecretStr | None = Field(
        default=None,
        max_length=16_384,
        title="Google service account key",
        description="The JSON key file of the service account. It is stored encrypted.",
        json_schema_extra={"secret": True, "makes": ["google"]},
    )
    okta_api_client_id: str = Field(
        default="",
        max_length=512,
        title="Okta API service client ID",
        description="The identifier of the API service application that may read groups.",
        json_schema_extra={"makes": ["okta"]},
    )
    okta_api_key: SecretStr | None = Field(
        default=None,
        max_length=16_384,
        title="Okta API service private key",
        description="The private key of that application, as JWK or PEM. It is stored encrypted.",
        json_schema_extra={"secret": True, "makes": ["okta"]},
    )
