"""Who may import whom, read from the source of every module."""

import ast
from pathlib import Path

import pytest

import leadpay

ROOT = Path(leadpay.__file__).parent
MODULES = {
    ".".join(("leadpay", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
DOORS = {f"leadpay.sandbox.{name}" for name in ("server", "delivery", "clock")}
"""All of the sandbox that touches the world."""
PURE = (
    {f"leadpay.client.{name}" for name in ("retry", "checks", "requests", "queries")}
    | {f"leadpay.webhooks.{name}" for name in ("signature", "event", "router", "route", "addresses")}
    | {module for module in MODULES if module.startswith("leadpay.sandbox.")} - DOORS
)
IMPURE = {"asyncio", "aiohttp", "sqlite3", "psycopg", "time", "random"}
HOMES = {
    "aiohttp": (
        "leadpay.client.transport",
        "leadpay.client",
        "leadpay.webhooks.aiohttp",
        "leadpay.sandbox.server",
        "leadpay.sandbox.delivery",
    ),
    "opentelemetry": ("leadpay.otel",),
    "psycopg": ("leadpay.inbox.postgres",),
    "sqlite3": ("leadpay.inbox.sqlite",),
}
PROGRAMS = ("leadpay.cli", "leadpay.__main__", "leadpay.demo", "leadpay.testing", "leadpay.sandbox")
WORDS = ("errors", "config", "clock", "enums", "facts", "models", "fastpath", "wire", "converter")


def imports(module: str) -> list[tuple[str, bool]]:
    """List what a module imports when it runs, and whether at its top; names for type checkers only are left out."""
    found: list[tuple[str, bool]] = []

    def walk(node: ast.AST, top: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found.extend((name if name in MODULES else str(node.module), top) for name in names)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            return
        inside = top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            walk(child, inside)

    walk(ast.parse(MODULES[module].read_text(encoding="utf-8")), True)
    return found


def under(name: str, *packages: str) -> bool:
    """Tell whether a module is one of some packages, or within."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_law(module: str) -> None:
    """Words before calling and hearing, pure rules, libraries in their homes, programs on top."""
    word = module.removeprefix("leadpay.")
    for name, at_top in imports(module):
        line = f"{module} imports {name}"
        if word in WORDS and under(name, "leadpay"):
            assert name.removeprefix("leadpay.") in WORDS, line
        if module in PURE:
            assert name.partition(".")[0] not in IMPURE, line
        if under(module, "leadpay.client"):
            assert not under(name, "leadpay.webhooks", "leadpay.inbox"), line
        if under(module, "leadpay.webhooks"):
            assert not under(name, "leadpay.client", "leadpay.inbox"), line
        if under(module, "leadpay.inbox") and module != "leadpay.inbox.backfill":
            assert not under(name, "leadpay.client"), line
        if (homes := HOMES.get(name.partition(".")[0])) is not None:
            assert module in homes, line
        assert not under(name, "leadpay.otel"), line
        if under(name, *PROGRAMS):
            assert under(module, *PROGRAMS), line
        if under(module, "leadpay.sandbox") and under(name, "leadpay") and not under(name, "leadpay.sandbox"):
            # Its client() hands out a real client: the one import, and a local one, beside signatures.
            assert name == "leadpay.webhooks.signature" or (not at_top and under(name, "leadpay.client")), line


def test_the_law_looks_at_real_modules() -> None:
    """A module that is renamed must be renamed here, too."""
    homes = {home for group in HOMES.values() for home in group if not home.startswith("leadpay.inbox")}
    assert PURE | homes | {f"leadpay.{word}" for word in WORDS} <= set(MODULES)
