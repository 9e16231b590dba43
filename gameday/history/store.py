"""The store of a project: opened here, fed by `feed`, asked by `query`, and where machines agree (`leases`)."""

from pathlib import Path
from typing import TYPE_CHECKING

from gameday.history.database import Database, NoTablesError, StoreError
from gameday.history.leases import Claim, Claims, Lease, Leases

__all__ = ["Claim", "Lease", "NoTablesError", "Store", "StoreError", "open_store"]

if TYPE_CHECKING:
    from gameday.history.query import Queries


class Store:
    """A project's part of a database. Every method raises StoreError."""

    def __init__(self, database: Database, project: str, root: Path) -> None:
        self.database = database
        self.project = project
        self.root = root
        self._claims = Claims(database, project)
        self._leases = Leases(database, project)

    @property
    def where(self) -> str:
        """The database, without its password."""
        return self.database.where

    @property
    def queries(self) -> "Queries":
        """What can be asked of its sessions."""
        from gameday.history.query import Queries

        return Queries(self.database, self.project)

    def claim(self, kind: str, name: str, due_at: float, holder: str) -> bool:
        """True for exactly one caller over all machines, for ever; on disk before this returns."""
        return self._claims.claim(kind, name, due_at, holder)

    def settle(self, kind: str, name: str, due_at: float, outcome: str, run: str | None) -> None:
        """Note what became of a claim. The last word counts."""
        self._claims.settle(kind, name, due_at, outcome, run)

    def claims(self, kind: str, name: str, since: float) -> tuple[Claim, ...]:
        """Those that were due at that Unix time or later, in the order in which they were."""
        return self._claims.claims(kind, name, since)

    def now(self) -> float:
        """Unix time, by the database's clock."""
        return self._claims.now()

    def lease(self, name: str, holder: str, ttl_s: float) -> Lease | None:
        """Have something for `ttl_s` seconds of the database's clock; None while another lease of it has not
        expired."""
        return self._leases.take(name, holder, ttl_s)

    def admits(self, name: str, token: int) -> bool:
        """Whether the lease with this fencing token is the one that is held now."""
        return self._leases.admits(name, token)

    def close(self) -> None:
        """End all connections."""
        self.database.close()


def open_store(url: str, root: Path, *, writes: bool = True, project: str | None = None) -> Store:
    """The store at this URL. `sqlite:///PATH` is relative to `root`, the project's; `project` is its name, by default
    as its gameday.yaml has it. To write it, its tables are brought to the newest revision. Raises StoreError,
    and NoTablesError where it is only to be read and there are none."""
    database = Database(url, root)
    if writes:
        database.migrate()
    else:
        database.check()
    return Store(database, project or _name_of(root), root)


def _name_of(root: Path) -> str:
    from gameday.spec.project import read_project

    project, _ = read_project(root)
    return project.name
