"""A visitor: an HTTP client that keeps cookies and follows no redirect.

Each request has a connection of its own: a server may close one whenever it
refuses a form without reading it.
"""

import http.client
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from .fault import Fault

ANSWER_LIMIT = 10  # seconds
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Answer:
    """What came back; header names in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes


class Browser:
    """One visitor of one server on this machine."""

    def __init__(self, port: int):
        self.port = port
        self.origin = f"http://127.0.0.1:{port}"
        self.cookies: dict[str, str] = {}

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self._send("GET", path, None, headers or {})

    def post(self, path: str, form: str, site: str = "same-origin") -> Answer:
        """Sends a form as a page of the same site does, or of another `site`."""
        origin = self.origin if site == "same-origin" else "http://elsewhere.example"
        return self._send("POST", path, form, FORM | {"Origin": origin, "Sec-Fetch-Site": site})

    def cookie_header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _send(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        if self.cookies:
            headers = headers | {"Cookie": self.cookie_header()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_LIMIT)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as cause:
            raise Fault(f"{method} {path} at {self.origin} gave no answer: {cause!r}") from cause
        finally:
            connection.close()
        for cookie in response.headers.get_all("Set-Cookie", []):
            self._keep(cookie)
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, names, content)

    def _keep(self, set_cookie: str) -> None:
        pair, *attributes = [part.strip() for part in set_cookie.split(";")]
        name, _, value = pair.partition("=")
        if is_over(attributes):
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value


def is_over(attributes: list[str]) -> bool:
    """Whether a Set-Cookie's attributes delete the cookie (RFC 6265, 5.3)."""
    given = dict(attribute.lower().partition("=")[::2] for attribute in attributes)
    if "max-age" in given:
        return int(given["max-age"]) <= 0
    if "expires" in given:
        return parsedate_to_datetime(given["expires"]).timestamp() <= time.time()
    return False
