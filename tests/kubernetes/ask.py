"""One request for objects, as the stand-in understands it."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from access_rules import User
from audit import is_dry
from kinds import Target
from refusals import Refused, bad_request

_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


@dataclass(frozen=True)
class Ask:
    user: User
    verb: str
    target: Target
    query: dict[str, str] = field(default_factory=dict)
    raw_query: str = ""
    content_type: str = "application/json"
    body: bytes = b""

    def document(self) -> Any:
        """Raises Refused."""
        if self.content_type == "application/vnd.kubernetes.protobuf":  # as `kubectl create deployment` sends it
            raise Refused(415, "UnsupportedMediaType", "the stand-in reads JSON only", {})
        try:
            return msgspec.json.decode(self.body) if self.body else None
        except msgspec.DecodeError as error:
            kind = self.target.resource.kind
            raise bad_request(f"the object provided is unrecognized (must be of type {kind}): {error}") from None

    @property
    def is_dry(self) -> bool:
        """Of what is no deletion."""
        return is_dry(self.verb, self.raw_query, None)

    def options(self) -> dict[str, Any]:
        """A deletion's: those of the body, or the query's; never both. Raises Refused."""
        if self.body:
            document = self.document()
            if not isinstance(document, dict) or document.get("kind", "DeleteOptions") != "DeleteOptions":
                raise bad_request("decoded object cannot be converted to DeleteOptions")
            return document
        found: dict[str, Any] = {}
        if grace := self.query.get("gracePeriodSeconds"):
            found["gracePeriodSeconds"] = int(grace)
        if policy := self.query.get("propagationPolicy"):
            found["propagationPolicy"] = policy
        if dry := self.query.get("dryRun"):
            found["dryRun"] = [dry]
        return found

    def check_dry_run(self) -> None:
        """There is one kind of it. Raises Refused."""
        is_deletion = self.verb.startswith("delete")
        asked = self.options().get("dryRun") if is_deletion else [self.query.get("dryRun") or "All"]
        if self.verb in ("get", "list", "watch") or asked in (None, [], ["All"]):
            return
        kind = "DeleteOptions" if is_deletion else _OPTIONS[self.verb]
        shown = ",".join(f'"{item}"' for item in asked)
        problem = f'Unsupported value: [{shown}]: supported values: "All"'
        causes = [{"reason": "FieldValueNotSupported", "message": problem, "field": "dryRun"}]
        details = {"group": "meta.k8s.io", "kind": kind, "causes": causes}
        raise Refused(422, "Invalid", f'{kind}.meta.k8s.io "" is invalid: dryRun: {problem}', details)
