"""Only a token endpoint's own words speak of credentials."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.http.token_errors import TokenRefusal, read_token_refusal

GATEWAYS: list[dict[str, Any]] = [
    {},
    {"error": "Forbidden"},
    {"error": "blocked", "ray": "1"},
    {"error": "access_denied"},
    {"error": "invalid_token", "error_description": "The access token is missing"},
    {"error": True},
    {"error": {"code": 403}},
    {"error": {"code": "invalid_client"}},
    {"message": "invalid_client"},
    {"message": "Forbidden", "statusCode": 403},
    {"error": "Unauthorized", "error_codes": [7000215]},
    {"error_description": "AADSTS7000215: no such secret"},
]


@pytest.mark.parametrize("body", GATEWAYS)
def test_json_of_a_gateway_is_no_word_of_the_endpoint(body: dict[str, Any]) -> None:
    """It has the form of an error, and no code of RFC 6749 and no number of Microsoft's with its sentence."""
    assert read_token_refusal(body) is None


def test_words_of_the_standard_and_numbers_of_microsofts_are_the_endpoints_own() -> None:
    """An unknown word counts where the number stands beside it."""
    for word in ("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "invalid_scope"):
        assert read_token_refusal({"error": word}) == TokenRefusal(word=word, description="")
    numbered = {"error": "Odd!", "error_description": "AADSTS53003: no. AADSTS1001", "error_codes": [53003, "x", True]}
    told = read_token_refusal(numbered)
    assert told == TokenRefusal(word="", description="AADSTS53003: no. AADSTS1001", numbers=(53003, 1001))
