"""Who may import whom, read from the source of every module."""

import ast
from pathlib import Path

import pytest

import leadpay

ROOT = Path(leadpay.__file__).parent
TESTS = Path(__file__).parent
MODULES = {
    ".".join(("leadpay", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
SANDBOX_IO = {f"leadpay.sandbox.{name}" for name in ("server", "delivery", "clock")}
"""All of the sandbox that touches the world."""
PURE = (
    {
        f"leadpay.client.{name}"
        for name in ("account_number_requests", "outcome", "queries", "requests", "retry", "validation", "waiting")
    }
    | {f"leadpay.webhooks.{name}" for name in ("event", "ip_allowlist", "log_limiter", "route", "router", "signature")}
    | {"leadpay.exam.lives", "leadpay.exam.observed"}
    | {
        f"leadpay.outbox.{name}"
        for name in ("attempts", "content", "evidence", "limits", "progress", "queries", "sending_queries", "store")
    }
    | {module for module in MODULES if module.startswith("leadpay.sandbox.")} - SANDBOX_IO
    | {"leadpay.business_days", "leadpay.explanations", "leadpay.explanation_table"}
)
IMPURE = {"asyncio", "aiohttp", "sqlite3", "psycopg", "time", "random"}
HOMES = {
    "aiohttp": (
        "leadpay.client.transport",
        "leadpay.client",
        "leadpay.webhooks.aiohttp",
        "leadpay.webhooks.http_server",
        "leadpay.sandbox.server",
        "leadpay.sandbox.delivery",
        "leadpay.console",
        "leadpay.canned",
    ),
    "jinja2": ("leadpay.console",),
    "prometheus_client": ("leadpay.metrics",),
    "markupsafe": ("leadpay.console",),
    "opentelemetry": ("leadpay.otel",),
    "psycopg": ("leadpay.storage.postgres", "leadpay.storage.foreign", "leadpay.inbox.postgres"),
    "sqlalchemy": ("leadpay.storage.foreign",),
    "sqlite3": (
        "leadpay.storage.sqlite",
        "leadpay.storage.foreign",
        "leadpay.inbox.sqlite",
        "leadpay.outbox.sqlite",
        "leadpay.reconcile.workspace",
    ),
}
"""The packages and modules that may import a library."""
PROGRAMS = (
    *("leadpay.cli", "leadpay.__main__", "leadpay.testing", "leadpay.exam", "leadpay.sandbox", "leadpay.console"),
    "leadpay.canned",
)
FOUNDATION = (
    *("errors", "config", "clock", "enums", "instrumentation", "models", "converter", "lazy", "business_days"),
    *("explanations", "explanation_table", "drift"),
)


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
def test_imports_follow_the_law(module: str) -> None:  # noqa: C901 - a law has its paragraphs
    """The foundation imports nothing above it, pure rules do no I/O, each library has its homes."""
    name_here = module.removeprefix("leadpay.")
    for name, at_top in imports(module):
        line = f"{module} imports {name}"
        if name_here in FOUNDATION and under(name, "leadpay"):
            assert name.removeprefix("leadpay.") in FOUNDATION, line
        if module in PURE:
            assert name.partition(".")[0] not in IMPURE, line
        if under(module, "leadpay.client"):
            assert not under(name, "leadpay.webhooks", "leadpay.inbox", "leadpay.storage"), line
        if under(module, "leadpay.webhooks"):
            assert not under(name, "leadpay.client", "leadpay.inbox", "leadpay.storage"), line
        if under(module, "leadpay.storage"):
            assert not under(name, "leadpay.client", "leadpay.webhooks", "leadpay.inbox", "leadpay.outbox"), line
        if under(module, "leadpay.outbox") and module != "leadpay.outbox.tracking":
            assert not under(name, "leadpay.webhooks", "leadpay.inbox"), line
        if under(module, "leadpay.inbox"):
            assert not under(name, "leadpay.outbox"), line
        if under(module, "leadpay.inbox") and module != "leadpay.inbox.backfill":
            assert not under(name, "leadpay.client"), line
        if (homes := HOMES.get(name.partition(".")[0])) is not None:
            assert under(module, *homes), line
        assert not under(name, "leadpay.otel"), line
        if under(name, *PROGRAMS):
            assert under(module, *PROGRAMS), line
        if under(module, "leadpay.sandbox") and under(name, "leadpay") and not under(name, "leadpay.sandbox"):
            # Its client() hands out a real client: the one import, and a local one, beside signatures.
            assert name == "leadpay.webhooks.signature" or (not at_top and under(name, "leadpay.client")), line


def test_the_law_looks_at_real_modules() -> None:
    """A module that is renamed must be renamed here, too."""
    homes = {home for group in HOMES.values() for home in group}
    assert PURE | homes | {f"leadpay.{word}" for word in FOUNDATION} <= set(MODULES)


def test_no_module_imports_itself_by_a_detour() -> None:
    """There is no circle among the imports at the top of modules."""
    graph = {module: {name for name, at_top in imports(module) if at_top and name in MODULES} for module in MODULES}
    while graph:
        leaves = {module for module, names in graph.items() if not names & set(graph) - {module}}
        assert leaves, f"a circle: {sorted(graph)}"
        graph = {module: names for module, names in graph.items() if module not in leaves}


WITHOUT_TESTS_OF_THEIR_OWN: dict[str, str] = {
    "leadpay.__main__": "four lines that call leadpay.cli.run, tested in tests/cli/test_init.py",
    "leadpay.explanation_table": "rows: tests/test_explanations.py looks at each",
    "leadpay.inbox.postgres_queries": "statements: tests/inbox/test_store.py and test_database.py execute each",
    "leadpay.inbox.sqlite_queries": "statements: tests/inbox/test_store.py and test_database.py execute each",
    "leadpay.outbox.sending_queries": "plans: tests/outbox/test_sender.py and test_tracking.py execute each",
    "leadpay.outbox.queries": "plans: tests/outbox/test_outbox.py and test_sender.py execute each on every store",
}
"""Modules without a test file of the same name, and where they are tested instead."""


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_test_file(module: str) -> None:
    """``client/retry.py`` is tested by ``tests/client/test_retry.py``, a package with code by ``test_init.py``."""
    if module in WITHOUT_TESTS_OF_THEIR_OWN:
        return
    path = MODULES[module].relative_to(ROOT)
    folder = TESTS / path.parent
    if path.name == "__init__.py":
        tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
        defines = any(isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) for node in tree.body)
        name = "test_init.py" if defines else None
    else:
        name = f"test_{path.name}"
    assert name is None or (folder / name).exists(), f"{module}: no {(folder / name).relative_to(TESTS.parent)}"


def test_the_list_of_exceptions_is_not_longer_than_it_must_be() -> None:
    """A module on the list exists, and has no test file of its own."""
    for module in WITHOUT_TESTS_OF_THEIR_OWN:
        path = MODULES[module].relative_to(ROOT)
        assert not (TESTS / path.parent / f"test_{path.name}").exists(), module
