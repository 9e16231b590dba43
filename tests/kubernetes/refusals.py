"""How an API server says no: a Status, worded as Kubernetes words it."""

from typing import Any

from kinds import Resource, Target


class Refused(Exception):
    """Becomes a Status: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> dict[str, Any]:
        """As it goes over the wire."""
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        status |= {"reason": self.reason} if self.reason else {}
        status |= {} if self.details is None else {"details": self.details}
        return status | {"code": self.code}


def _details(resource: Resource, name: str, kind: str, **more: Any) -> dict[str, Any]:
    named = {"name": name} if name else {}
    return named | ({"group": resource.group} if resource.group else {}) | {"kind": kind} | more


def missing(resource: Resource, name: str) -> Refused:
    message = f'{resource.qualified} "{name}" not found'
    return Refused(404, "NotFound", message, _details(resource, name, resource.plural))


def exists(resource: Resource, name: str) -> Refused:
    message = f'{resource.qualified} "{name}" already exists'
    return Refused(409, "AlreadyExists", message, _details(resource, name, resource.plural))


def conflict(resource: Resource, name: str, why: str, *, kind: bool = False) -> Refused:
    """`kind`: the check of preconditions names the kind where all others name the resource."""
    shown, plural = (resource.qualified_kind, resource.kind) if kind else (resource.qualified, resource.plural)
    message = f'Operation cannot be fulfilled on {shown} "{name}": {why}'
    return Refused(409, "Conflict", message, _details(resource, name, plural))


def modified(resource: Resource, name: str) -> Refused:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def bad_request(message: str) -> Refused:
    return Refused(400, "BadRequest", message)


def invalid(resource: Resource, name: str, *problems: tuple[str, str, str]) -> Refused:
    """Each problem is a field, "Invalid value: …" or "Required value…", and the API's word for it."""
    causes = [{"reason": word, "message": text, "field": field} for field, text, word in problems]
    texts = [f"{field}: {text}" for field, text, _ in problems]
    said = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    message = f'{resource.qualified_kind} "{name}" is invalid: {said}'
    return Refused(422, "Invalid", message, _details(resource, name, resource.kind, causes=causes))


def unprocessable() -> Refused:
    """What a JSON patch that cannot be applied gets; the reason stays in the server's log."""
    return Refused(422, "Invalid", "the server rejected our request due to an error in our request", {})


def forbidden(target: Target, verb: str, user: str) -> Refused:
    resource, name = target.resource, target.name
    where = f' in the namespace "{target.namespace}"' if target.namespace else " at the cluster scope"
    ask = f'User "{user}" cannot {verb} resource "{target.ruled}" in API group "{resource.group}"{where}'
    shown = f'{resource.qualified} "{name}"' if name else resource.qualified
    return Refused(403, "Forbidden", f"{shown} is forbidden: {ask}", _details(resource, name, resource.plural))


def not_authorised(target: Target) -> Refused:
    """Of a second verb that the handler itself asks for; RBAC gives no reason, and none is said."""
    resource, name = target.resource, target.name
    message = f'{resource.qualified} "{name}" is forbidden: '
    return Refused(403, "Forbidden", message, _details(resource, name, resource.plural))


def terminating(resource: Resource, name: str, namespace: str) -> Refused:
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    details = _details(resource, name, resource.plural, causes=[cause])
    return Refused(403, "Forbidden", f'{resource.qualified} "{name}" is forbidden: {why}', details)


def unauthorised() -> Refused:
    return Refused(401, "Unauthorized", "Unauthorized")


def no_such_method() -> Refused:
    message = "the server does not allow this method on the requested resource"
    return Refused(405, "MethodNotAllowed", message, {})


def over_budget(cause: str, retry_after_s: int = 0) -> Refused:
    """An eviction that a PodDisruptionBudget refuses."""
    details: dict[str, Any] = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    details |= {"retryAfterSeconds": retry_after_s} if retry_after_s else {}
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return Refused(429, "TooManyRequests", message, details)
