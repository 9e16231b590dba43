"""Which cluster is meant, as a kubeconfig names it, and how a plan says for certain that it is still the same one."""

import msgspec


class ClusterError(Exception):
    """A cluster cannot be reached, or refuses; the message says which, what and why, to a person."""


class ClusterRef(msgspec.Struct, frozen=True):
    """A context of a kubeconfig, or with `in_cluster` the service account of the pod that we run in.

    `kubeconfig` is a path; None: those of $KUBECONFIG, else ~/.kube/config. `namespace` None: the context's own.
    """

    context: str | None = None
    namespace: str | None = None
    kubeconfig: str | None = None
    in_cluster: bool = False

    def __str__(self) -> str:
        return "the cluster that we run in" if self.in_cluster else f"the context `{self.context}`"

    def kubectl(self, namespace: str | None = None) -> str:
        """How a command of a person's begins: "kubectl --context staging -n shop"."""
        from shlex import quote

        parts = ["kubectl"]
        parts += ["--kubeconfig", quote(self.kubeconfig)] if self.kubeconfig else []
        parts += ["--context", quote(self.context)] if self.context else []
        parts += ["-n", quote(namespace)] if namespace else []
        return " ".join(parts)
