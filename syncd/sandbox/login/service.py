"""The imitation login host: OpenID configuration and the token endpoint, with Entra's error codes.

Applications get tokens by themselves (client credentials); people sign in on a page (``people``).

Beside it, under ``/metadata`` and ``/msi``, answers the platform's own token service (``platform_tokens``).

Error numbers are those of the identity platform's error reference: 7000215 wrong secret, 7000222 expired secret,
700016 unknown application, 7000112 disabled application, 90002 unknown tenant, 70011 and 500011 wrong scope, 900144
missing parameter.
"""

from __future__ import annotations

import hmac
import html
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl
from uuid import uuid4

import msgspec

from syncd.clock import Clock
from syncd.sandbox.login.assertions import ASSERTION_TYPE, Trust, Untrusted, check_assertion
from syncd.sandbox.login.people import CodeRefused, SignInService
from syncd.sandbox.login.platform_tokens import Identities, PlatformTokens
from syncd.sandbox.wire.http import Answer, Refusal, Request
from syncd.sandbox.wire.knobs import TenantKnobs
from syncd.sandbox.wire.tokens import Grant, TokenBook

GRAPH_AUDIENCE = "graph"


@dataclass(slots=True)
class Registration:
    """The application registered in the tenant. ``roles`` are its granted permissions; a new token carries them.

    ``trust`` says whose assertions are as good as a secret.
    """

    tenant_id: str
    client_id: str
    secrets: list[str]
    roles: set[str] = field(default_factory=lambda: {"User.Read.All", "GroupMember.Read.All", "Member.Read.Hidden"})
    trust: Trust = field(default_factory=Trust)


class LoginService:
    """Answers for ``login.microsoftonline.com``. ``login_url`` and ``graph_url`` are asked for when needed."""

    def __init__(
        self,
        registration: Registration,
        book: TokenBook,
        *,
        clock: Clock,
        knobs: TenantKnobs,
        domain: str,
        seed: int,
        urls: Callable[[], tuple[str, str]],
        people: SignInService,
        sign_in_client_id: str = "",
    ) -> None:
        """``sign_in_client_id``: the application by which people sign in to the portal."""
        self.registration = registration
        self.sign_in_client_id = sign_in_client_id
        self.people = people
        self._book = book
        self._clock = clock
        self._knobs = knobs
        self._domain = domain
        self._urls = urls
        self.platform = PlatformTokens(Identities(), clock=clock, issue=self._issue, accepts=self._is_graph)
        self._random = random.Random(f"lifetime-{seed}")  # noqa: S311 - reproducible imitation, not a secret

    def answer(self, request: Request) -> Answer:
        """Answer one request to the login host."""
        try:
            return self._answer(request)
        except Refusal as refusal:
            return refusal.answer

    def _answer(self, request: Request) -> Answer:
        tenant, *rest = request.segments
        match request.method, [tenant, *rest]:
            case "GET", ["metadata", "identity", "oauth2", "token"]:
                return self.platform.answer_metadata(request)
            case "GET", ["msi", "token"]:
                return self.platform.answer_app_service(request)
        match request.method, rest:
            case "GET", ["discovery", "instance"]:
                return Answer(400, msgspec.json.encode({"error": "invalid_instance"}), route="instance discovery")
            case "GET", ["v2.0", ".well-known", "openid-configuration"]:
                self._check_tenant(tenant)
                return self._configuration(tenant)
            case "GET" | "POST", ["oauth2", "v2.0", "authorize"]:
                self._check_tenant(tenant)
                return self._authorize(request)
            case "GET", ["discovery", "v2.0", "keys"]:
                self._check_tenant(tenant)
                return self.people.publish_keys()
            case "POST", ["oauth2", "v2.0", "token"]:
                self._check_tenant(tenant)
                return self._token(request)
        return Answer(404, b"<html><body>404</body></html>", "text/html", route="unknown")

    def _configuration(self, tenant: str) -> Answer:
        login_url, _ = self._urls()
        document = {
            "token_endpoint": f"{login_url}/{tenant}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "jwks_uri": f"{login_url}/{tenant}/discovery/v2.0/keys",
            "issuer": f"{login_url}/{self.registration.tenant_id}/v2.0",
            "authorization_endpoint": f"{login_url}/{tenant}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{login_url}/{tenant}/oauth2/v2.0/devicecode",
            "response_types_supported": ["code", "id_token", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "tenant_region_scope": "EU",
        }
        return Answer(200, msgspec.json.encode(document), route="openid-configuration")

    def _authorize(self, request: Request) -> Answer:
        """Let people sign in to the console, or show them the page of the portal's sign-in; nobody signs in there."""
        client = request.query.get("client_id", "").lower()
        if client and client == self.sign_in_client_id.lower() and request.method == "GET":
            return _page(200, "Sign in to your account", route="authorize")
        return self.people.authorize(request)

    def _token(self, request: Request) -> Answer:
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise self._refuse(400, "invalid_request", 900144, "The request body must be form-encoded.")
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        for name in ("grant_type", "client_id", "scope"):
            if not form.get(name):
                raise self._refuse(
                    400, "invalid_request", 900144, f"The request body must contain the following parameter: '{name}'."
                )
        if form["grant_type"] == "authorization_code":
            return self._redeem(form)
        if form["grant_type"] != "client_credentials":
            raise self._refuse(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        application = self.registration
        if form["client_id"].lower() != application.client_id.lower():
            raise self._refuse(
                400,
                "unauthorized_client",
                700016,
                f"Application with identifier '{form['client_id']}' was not found in the directory 'Nordwind'.",
            )
        if self._knobs.application_disabled:
            raise self._refuse(400, "unauthorized_client", 7000112, "Application is disabled.")
        if form.get("client_assertion"):
            self._check_assertion(form, request)
        else:
            self._check_secret(form, application.client_id, application.secrets)
        self._check_scope(form["scope"])
        shortest = self._knobs.token_lifetime_min
        lifetime = self._random.randint(shortest, max(shortest, self._knobs.token_lifetime_max))
        token = self._issue(lifetime)
        document = {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}
        return Answer(
            200,
            msgspec.json.encode(document),
            headers={"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"},
            route="token",
        )

    def _redeem(self, form: dict[str, str]) -> Answer:
        """Give tokens for the code that somebody got on the sign-in page."""
        application = self.people.registration
        if form["client_id"].lower() != application.client_id.lower():
            raise self._refuse(400, "unauthorized_client", 700016, "Application was not found in the directory.")
        self._check_secret(form, application.client_id, application.secrets)
        try:
            document = self.people.redeem(form)
        except CodeRefused as refused:
            raise self._refuse(400, refused.error, refused.number, refused.text) from None
        headers = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}
        return Answer(200, msgspec.json.encode(document), headers=headers, route="token")

    def _issue(self, lifetime: int) -> str:
        """Return a new Graph token with the permissions that are granted now; ``lifetime`` in seconds."""
        application = self.registration
        roles = application.roles | {role.strip() for role in self._knobs.more_permissions.split(",") if role.strip()}
        expires = self._clock.now().timestamp() + lifetime
        return self._book.issue(
            Grant(GRAPH_AUDIENCE, application.client_id, frozenset(roles), expires),
            {
                "aud": "https://graph.microsoft.com",
                "iss": f"https://sts.windows.net/{application.tenant_id}/",
                "appid": application.client_id,
                "idtyp": "app",
                "roles": sorted(roles),
                "tid": application.tenant_id,
            },
        )

    def _check_assertion(self, form: dict[str, str], request: Request) -> None:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise self._refuse(400, "invalid_request", 900144, "The 'client_assertion_type' parameter is wrong.")
        login_url, _ = self._urls()
        tenant = request.segments[0]
        try:
            check_assertion(
                form["client_assertion"],
                self.registration.trust,
                client_id=self.registration.client_id,
                audiences={f"{login_url}/{tenant}/oauth2/v2.0/token", f"{login_url}/{tenant}/v2.0"},
                clock=self._clock,
            )
        except Untrusted as error:
            raise self._refuse(401, "invalid_client", error.number, error.text) from None

    def _check_tenant(self, tenant: str) -> None:
        if tenant.lower() not in (self.registration.tenant_id.lower(), self._domain):
            raise self._refuse(
                400,
                "invalid_tenant",
                90002,
                f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into "
                "the correct cloud.",
            )

    def _check_secret(self, form: dict[str, str], client_id: str, secrets: list[str]) -> None:
        secret = form.get("client_secret")
        if not secret:
            raise self._refuse(
                401,
                "invalid_client",
                7000218,
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
            )
        if not any(hmac.compare_digest(secret.encode(), known.encode()) for known in secrets):
            raise self._refuse(
                401,
                "invalid_client",
                7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{client_id}'.",
            )
        if self._knobs.secret_expired:
            raise self._refuse(
                401,
                "invalid_client",
                7000222,
                f"The provided client secret keys for app '{client_id}' are expired.",
            )

    def _check_scope(self, scope: str) -> None:
        resource, _, name = scope.partition(" ")[0].rpartition("/")
        if name != ".default":
            raise self._refuse(
                400,
                "invalid_scope",
                1002012,
                f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value "
                "with /.default suffixed to the resource identifier (application ID URI).",
            )
        if not self._is_graph(resource):
            raise self._refuse(
                400,
                "invalid_resource",
                500011,
                f"The resource principal named {resource} was not found in the tenant named Nordwind.",
            )

    def _is_graph(self, resource: str) -> bool:
        return resource.rstrip("/").lower() in ("https://graph.microsoft.com", self._urls()[1].lower())

    def _refuse(self, status: int, error: str, number: int, text: str) -> Refusal:
        now, trace, correlation = self._clock.now(), str(uuid4()), str(uuid4())
        stamp = now.strftime("%Y-%m-%d %H:%M:%SZ")
        document = {
            "error": error,
            "error_description": f"AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {correlation} "
            f"Timestamp: {stamp}",
            "error_codes": [number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{self._urls()[0]}/error?code={number}",
        }
        return Refusal(Answer(status, msgspec.json.encode(document), route="refused"))


def _page(status: int, text: str, *, route: str) -> Answer:
    return Answer(status, f"<html><body>{html.escape(text)}</body></html>".encode(), "text/html", route=route)
