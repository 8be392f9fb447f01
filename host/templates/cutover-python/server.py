"""The server's HTTP API: who it is, and one record set read and replaced. Statuses become faults."""

import json
from dataclasses import asdict, dataclass
from typing import Any, List, Optional

from componentize_py_types import Err
from wit_world.imports import config, http
from wit_world.imports.http import Auth_Header, BodyPart_Bytes, HeaderAuth, Method, Request, Response
from wit_world.imports.types import Fault, FaultKind, Header

KINDS = {
    401: FaultKind.AUTH,
    403: FaultKind.DENIED,
    404: FaultKind.NOT_FOUND,
    408: FaultKind.UNAVAILABLE,
    429: FaultKind.THROTTLED,
    503: FaultKind.THROTTLED,
}


def fault(kind: FaultKind, message: str) -> Err[Fault]:
    """To be raised. The kinds are in types.wit of the contract; the agent's retry policy looks at them and at nothing else."""
    return Err(Fault(kind, message, None))


@dataclass
class Set:
    """The addresses behind a name, sorted, and how long resolvers keep them. Without a TTL there is no such set."""

    ttl: Optional[int]
    addresses: List[str]

    @staticmethod
    def of(before: str) -> "Set":
        try:
            return Set(**json.loads(before))
        except (TypeError, ValueError) as error:
            raise fault(FaultKind.INVALID, f"This is not what check answered: {error}.")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        return "not there" if self.ttl is None else f"{', '.join(self.addresses)} for {self.ttl} s"


class Server:
    def __init__(self) -> None:
        """What the operator writes under `config`: `endpoint`, such as "https://dns.example.test:8081", and `zone`."""
        settings = json.loads(config.json())
        if settings.keys() != {"endpoint", "zone"} or not all(isinstance(value, str) for value in settings.values()):
            raise fault(FaultKind.INVALID, "The settings of this name server cannot be used: they are endpoint and zone, as text.")
        self.endpoint = settings["endpoint"].rstrip("/")
        self.zone = settings["zone"].rstrip(".").lower()

    def product(self) -> str:
        about = document(self.send(Method.GET, "", None, "say what it is"))
        return f"PowerDNS {about.get('daemon_type')} {about.get('version')}, zone {self.zone}"

    def read(self, change) -> Set:
        self.check_zone(change)
        asked = f"/zones/{self.zone}.?rrset_name={change.name}&rrset_type={change.kind}"
        zone = document(self.send(Method.GET, asked, None, "read a name"))
        # An older server ignores the question and sends all of the zone.
        for found in zone.get("rrsets", []):
            if (found["name"], found["type"]) == (change.name, change.kind):
                if any(record["disabled"] for record in found["records"]):
                    why = "has a disabled record, which would not come back: remove or enable it."
                    raise fault(FaultKind.UNSUPPORTED, f"{change.name} {why}")
                return Set(found["ttl"], sorted(record["content"] for record in found["records"]))
        return Set(None, [])

    def write(self, change, after: Set) -> None:
        self.check_zone(change)
        changed = {
            "name": change.name,
            "type": change.kind,
            "ttl": after.ttl or 0,
            "changetype": "DELETE" if after.ttl is None else "REPLACE",
            "records": [{"content": address, "disabled": False} for address in after.addresses],
        }
        self.send(Method.PATCH, f"/zones/{self.zone}.", {"rrsets": [changed]}, "replace a name")

    def check_zone(self, change) -> None:
        """The key that is granted opens more zones than the operator named."""
        if not ("." + change.name).endswith(f".{self.zone}."):
            raise fault(FaultKind.INVALID, f"{change.name} is not in zone {self.zone}.")

    def send(self, method: Method, path: str, body: Any, what: str) -> Response:
        headers = [Header("accept", "application/json"), Header("content-type", "application/json")]
        # The agent writes the secret into the request; it never comes in here.
        auth = Auth_Header(HeaderAuth("x-api-key", "", "api-key"))
        parts = [] if body is None else [BodyPart_Bytes(json.dumps(body).encode())]
        response = http.send(Request(method, f"{self.endpoint}/api/v1/servers/localhost{path}", headers, auth), parts)
        if 200 <= response.status < 300:
            return response
        raise fault(kind(response.status), f"The name server did not {what}: status {response.status}{said(response)}.")


def document(response: Response) -> Any:
    try:
        return json.loads(response.body)
    except ValueError as error:
        raise fault(FaultKind.CORRUPT, f"The name server's answer cannot be read: {error}.")


def said(response: Response) -> str:
    """Its own words, where it has some."""
    try:
        return f" ({json.loads(response.body)['error']})"
    except (KeyError, TypeError, ValueError):
        return ""


def kind(status: int) -> FaultKind:
    if status >= 500:
        return KINDS.get(status, FaultKind.UNAVAILABLE)
    return KINDS.get(status, FaultKind.INVALID if status >= 300 else FaultKind.CORRUPT)
