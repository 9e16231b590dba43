"""The layer rule of ARCHITECTURE.md: one floor stands on those below it, and nothing imports upwards or sideways."""

import ast
from pathlib import Path

import pytest

import gameday

ROOT = Path(gameday.__file__).parent
FLOORS = [
    {"common"},
    {"lab", "kubernetes"},
    {"spec"},
    {"journal"},
    {"faults", "signals", "coverage", "people", "delivery", "chaostoolkit"},
    {"engine"},
    {"report", "notify", "history"},
    {"cli"},
]
# What `chaos run` calls: doors into the house, as the command line is one. Nothing imports them.
DOORS = {f"chaostoolkit/{name}.py" for name in ("actions", "probes", "current", "method_control", "control")}
LEVEL = {package: level for level, floor in enumerate(FLOORS) for package in floor}


def imports_of(path: Path) -> set[str]:
    """The packages of gameday that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide the layer"
            base = node.module or ""
            names = [base] if base != "gameday" else [f"gameday.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("gameday.")}
    return found & set(LEVEL)


def modules_of(path: Path) -> set[str]:
    """The dotted names that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return found


def wrong_imports(package: str, imported: set[str]) -> set[str]:
    """What a file of this package may not import."""
    return {
        name for name in imported - {package} if LEVEL[name] >= LEVEL[package] or (name == "lab" and package != "cli")
    }


def test_every_package_has_a_floor() -> None:
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert packages <= set(LEVEL)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_imports_upwards(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    if path.relative_to(ROOT).as_posix() in DOORS:
        package = "cli"
    if package in LEVEL:
        assert not wrong_imports(package, imports_of(path))


def test_nothing_goes_through_the_doors_but_the_toolkit() -> None:
    doors = {f"gameday.{door.removesuffix('.py').replace('/', '.')}" for door in DOORS}
    users = {path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if modules_of(path) & doors}
    assert users <= DOORS


def test_the_rule_can_fail(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text("def f():\n    from gameday.engine import session\n    import gameday.cli.main\n")
    assert wrong_imports("faults", imports_of(path)) == {"engine", "cli"}
    assert wrong_imports("signals", {"faults", "journal", "common"}) == {"faults"}
    assert wrong_imports("engine", {"lab"}) == {"lab"}
    assert "gameday.engine.session" in modules_of(path)


def test_only_the_adapter_touches_the_chaos_toolkit() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "chaoslib" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "chaoslib")
    }
    assert users <= {"chaostoolkit/adapter.py"}
