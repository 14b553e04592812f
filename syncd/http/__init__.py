"""The one HTTP client: connections, bounds, retries, and who it was that answered."""

from syncd.http.answer import (
    Response,
    Told,
    excerpt,
    is_json_object,
    is_web_page,
    make_error,
    parse_retry_after,
    read_json_object,
    read_page,
    say,
)
from syncd.http.client import Classify, ErrorReader, HttpClient, hurried_retries, stop_logging_retries
from syncd.http.concurrency import MOST_REQUESTS
from syncd.http.options import HttpOptions, RetryPolicy, Shared, Traffic
from syncd.http.times import read_date
from syncd.http.trust import load_ssl_context

__all__ = [
    "MOST_REQUESTS",
    "Classify",
    "ErrorReader",
    "HttpClient",
    "HttpOptions",
    "Response",
    "RetryPolicy",
    "Shared",
    "Told",
    "Traffic",
    "excerpt",
    "hurried_retries",
    "is_json_object",
    "is_web_page",
    "load_ssl_context",
    "make_error",
    "parse_retry_after",
    "read_date",
    "read_json_object",
    "read_page",
    "say",
    "stop_logging_retries",
]
