"""A walk through an imitation tenant with Microsoft's SDK for Python: run by a Python that has msgraph-sdk.

Arguments: the root of Graph with its version, a file with the CA, a group's id and a user's id; the token stands in
``SYNCD_WALK_TOKEN``. Prints one JSON document with what was found. Uses nothing of syncd.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from typing import Any

import httpx
from kiota_abstractions.authentication import (
    AccessTokenProvider,
    AllowedHostsValidator,
    BaseBearerTokenAuthenticationProvider,
)
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.directory_objects.get_by_ids.get_by_ids_post_request_body import GetByIdsPostRequestBody
from msgraph.generated.models.group import Group
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.user import User
from msgraph.generated.users.users_request_builder import UsersRequestBuilder
from msgraph_core import GraphClientFactory, PageIterator
from msgraph_core.requests.batch_request_builder import BatchRequestBuilder
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.requests.batch_request_item import BatchRequestItem


class Bearer(AccessTokenProvider):  # type: ignore[misc]  # of a class that mypy does not see
    """Gives the token that it was made with."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def get_authorization_token(self, uri: str, additional_authentication_context: Any = None) -> str:
        """Return the token."""
        return self._token

    def get_allowed_hosts_validator(self) -> AllowedHostsValidator:
        """Allow every host."""
        return AllowedHostsValidator([])


def connect(root: str, ca_file: str, token: str) -> tuple[GraphServiceClient, GraphRequestAdapter]:
    """Return a client of that Graph."""
    trust = ssl.create_default_context(cafile=ca_file)
    http = GraphClientFactory.create_with_default_middleware(client=httpx.AsyncClient(verify=trust))
    adapter = GraphRequestAdapter(BaseBearerTokenAuthenticationProvider(Bearer(token)), client=http)
    adapter.base_url = root
    return GraphServiceClient(request_adapter=adapter), adapter


async def walk(client: GraphServiceClient, adapter: GraphRequestAdapter, group: str, user: str) -> dict[str, Any]:
    """Ask for everything that the sandbox imitates and return what came."""
    eventual: RequestConfiguration[Any] = RequestConfiguration()
    eventual.headers.add("ConsistencyLevel", "eventual")
    found: dict[str, Any] = {
        "schema": {each.__name__.lower(): sorted(each().get_field_deserializers()) for each in (User, Group)}
    }

    options = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(
        select=["id", "displayName", "identityParentId"],
        orderby=["displayName"],
        expand=["manager($select=id,displayName)"],
        top=7,
    )
    page = await client.users.get(request_configuration=RequestConfiguration(query_parameters=options))
    users: list[User] = []

    def keep(user: User) -> bool:
        users.append(user)
        return True

    await PageIterator(page, adapter).iterate(keep)
    found["users"] = [
        [each.id, each.display_name, type(each).__name__, each.manager and each.manager.id] for each in users
    ]
    found["count"] = await client.users.count.get(request_configuration=eventual)

    one = client.groups.by_group_id(group)
    found["members"] = [[each.id, type(each).__name__] for each in (await one.members.get()).value]
    found["users_of_group"] = [each.id for each in (await one.members.graph_user.get()).value]
    found["owners"] = [each.id for each in (await one.owners.get()).value]
    found["members_count"] = await one.members.count.get(request_configuration=eventual)
    person = client.users.by_user_id(user)
    found["above"] = [each.id for each in (await person.transitive_member_of.graph_group.get()).value]
    found["manager"] = (await person.manager.get()).id
    found["deleted"] = [each.id for each in (await client.directory.deleted_items.graph_user.get()).value]
    body = GetByIdsPostRequestBody(ids=[user, group], types=["user", "group"])
    found["by_ids"] = [type(each).__name__ for each in (await client.directory_objects.get_by_ids.post(body)).value]

    round_ = await client.users.delta.get()
    told = list(round_.value)
    while round_.odata_next_link:
        round_ = await client.users.delta.with_url(round_.odata_next_link).get()
        told += round_.value
    found["delta"] = [[each.id, type(each).__name__] for each in told]
    again = await client.users.delta.with_url(round_.odata_delta_link).get()
    found["delta_again"] = len(again.value)
    groups = await client.groups.delta.get()
    found["delta_links"] = sum(len(each.additional_data.get("members@delta", [])) for each in groups.value)

    try:
        await client.users.by_user_id("nobody").get()
    except ODataError as error:
        found["error"] = [error.response_status_code, error.error.code if error.error else None]

    batch = BatchRequestContent()
    for number, request in enumerate((person.to_get_request_information(), one.to_get_request_information())):
        item = BatchRequestItem(request, id=str(number))
        item.url = item.url.removeprefix(adapter.base_url)  # msgraph-core 1.5.2 leaves it absolute, which Graph refuses
        batch.add_request(item.id, item)
    answers = await BatchRequestBuilder(adapter).post(batch)
    found["batch"] = {key: each.status for key, each in answers.responses.items()}
    return found


async def main() -> None:
    """Walk and print."""
    root, ca_file, group, user = sys.argv[1:]
    client, adapter = connect(root, ca_file, os.environ["SYNCD_WALK_TOKEN"])
    json.dump(await walk(client, adapter, group, user), sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
