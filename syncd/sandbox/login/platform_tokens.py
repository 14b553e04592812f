"""The imitation of Azure's token service beside a machine: instance metadata, and the one of App Service.

Modelled on "Managed identities on a VM" (``GET /metadata/identity/oauth2/token``, header ``Metadata: true``) and on App
Service's ``IDENTITY_ENDPOINT`` with ``X-IDENTITY-HEADER``. The real ones speak plain http; here they live on the login
host. Tokens are kept for a day and handed out again, also when permissions were granted meanwhile, as Azure does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from syncd.clock import Clock
from syncd.sandbox.wire.http import Answer, Request

_DAY_SECONDS = 86_400


@dataclass(slots=True)
class Identities:
    """The identities of the machine. ``system`` may be switched off; ``header`` proves to App Service who asks."""

    system: bool = True
    client_ids: set[str] = field(default_factory=set)
    header: str = "00000000-sandbox-identity-header"


class PlatformTokens:
    """Answers for the platform. ``issue`` makes a Graph token with a lifetime; ``accepts`` knows Graph's resource."""

    def __init__(
        self, identities: Identities, *, clock: Clock, issue: Callable[[int], str], accepts: Callable[[str], bool]
    ) -> None:
        self.identities = identities
        self._clock = clock
        self._issue = issue
        self._accepts = accepts
        self._kept: dict[str, tuple[str, float]] = {}

    def answer_metadata(self, request: Request) -> Answer:
        """Answer as the instance metadata service."""
        if request.headers.get("metadata", "").lower() != "true":
            return _refuse("metadata", {"error": "bad_request_102", "error_description": "Required metadata header"})
        if "x-forwarded-for" in request.headers:
            return _refuse("metadata", {"error": "invalid_request", "error_description": "A proxy stands between."})
        if not request.query.get("api-version"):
            return _refuse("metadata", {"error": "invalid_request", "error_description": "api-version is missing"})
        if not self._accepts(request.query.get("resource", "")):
            return _refuse("metadata", {"error": "invalid_resource", "error_description": "AADSTS500011: not found"})
        if not self._knows(request):
            return _refuse("metadata", {"error": "invalid_request", "error_description": "Identity not found"})
        token, ends = self._take(request)
        rest = str(int(ends - self._clock.now().timestamp()))
        document = {"access_token": token, "expires_in": rest, "expires_on": str(int(ends)), "token_type": "Bearer"}
        return Answer(200, msgspec.json.encode(document), route="metadata")

    def answer_app_service(self, request: Request) -> Answer:
        """Answer as App Service."""
        if request.headers.get("x-identity-header") != self.identities.header:
            return Answer(401, b"", route="app service")
        if request.query.get("api-version") != "2019-08-01" or not self._accepts(request.query.get("resource", "")):
            return _refuse("app service", {"statusCode": 400, "message": "The parameters are wrong."})
        if not self._knows(request):
            said = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."
            return _refuse("app service", {"statusCode": 400, "message": said})
        token, ends = self._take(request)
        document = {"access_token": token, "expires_on": str(int(ends)), "token_type": "Bearer"}
        return Answer(200, msgspec.json.encode(document), route="app service")

    def _knows(self, request: Request) -> bool:
        wanted = request.query.get("client_id")
        return self.identities.system if wanted is None else wanted in self.identities.client_ids

    def _take(self, request: Request) -> tuple[str, float]:
        name, now = request.query.get("client_id", ""), self._clock.now().timestamp()
        token, ends = self._kept.get(name, ("", 0.0))
        if now >= ends:
            token, ends = self._issue(_DAY_SECONDS), now + _DAY_SECONDS
            self._kept[name] = (token, ends)
        return token, ends


def _refuse(route: str, document: dict[str, object]) -> Answer:
    return Answer(400, msgspec.json.encode(document), route=route)
