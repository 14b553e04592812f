"""What Microsoft's texts leave open and a harmless request can find out about this tenant, for ``syncd check``.

syncd does right whichever of these is true. Whoever looks for the reason of a full pull or of a slow one wants to know.
"""

from __future__ import annotations

from collections.abc import Iterable

from syncd.errors import AuthFailed, Forbidden, NotFound, Rejected, RemoteError, ResyncRequired
from syncd.graph.checks.result import PATIENCE, Probe
from syncd.graph.client import GraphClient
from syncd.graph.options import PERMISSIONS
from syncd.graph.wire.parse import parse_object
from syncd.graph.wire.refusals import Purpose, says_dead
from syncd.http import Response

_NO_LINK = "syncd-check-follows-no-link"


async def probe_links(client: GraphClient) -> Probe:
    """Follow a delta link that Graph never gave out, to hear how it refuses one. Raises no RemoteError."""
    name = "graph.links"
    try:
        await client.fetch(
            client.make_url(f"/users/delta?$deltatoken={_NO_LINK}"),
            parse_object,
            purpose=Purpose("read changes of users", PERMISSIONS["users"], carries_link=True),
            retry=PATIENCE,
        )
    except (ResyncRequired, Rejected, NotFound) as error:
        said = f"Graph refuses a wrong delta link with {error.status} {error.code or 'and no code'}"
        if says_dead(error):
            return Probe(name, "ok", detail=f"{said}: such an answer leads to one full pull")
        return Probe(
            name,
            "ok",
            detail=f"{said}, which may mean the query as well: after such an answer the query is tried without the "
            "link, and then one full pull is made",
        )
    except (AuthFailed, Forbidden) as error:
        return Probe(name, "unknown", detail=f"not tried: {error}")
    except RemoteError as error:
        return Probe(name, "unknown", detail=str(error))
    return Probe(name, "unknown", detail="Graph followed a delta link that it never gave out")


def judge_units(answers: Iterable[Response]) -> Probe:
    """Say whether Graph tells what requests for changes cost, by answers to such requests."""
    name = "graph.units"
    told = [units for answer in answers if (units := answer.headers.get("x-ms-resource-unit"))]
    if told:
        return Probe(
            name, "ok", detail=f"Graph tells what a request costs (resource units, of delta: {', '.join(told)})"
        )
    return Probe(
        name,
        "ok",
        detail="Graph does not tell what a request costs: the published prices keep syncd below the tenant's limits",
    )
