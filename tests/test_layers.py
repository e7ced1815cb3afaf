"""The house rules that no linter knows: who may import whom, and how large anything may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parent.parent / "segmind_async"

# Rooms, lowest first. A module may import from its own room and from rooms below; a cycle between modules
# is an error in any case.
ROOMS = (
    "_version",
    "_text",
    "_process",
    "agent_result",
    "errors",
    "config",
    "models",
    "hooks",
    "telemetry",
    "_wire",
    "_media",
    "_structured",
    "tools",
    "_providers",
    "messages",
    "tokens",
    "_money",
    "_rate",
    "_hooks",
    "_transport",
    "transport",
    "_sending",
    "_agents",
    "_jobs",
    "client",
    "jobs",
    "sync",
    "engines",
    "_emulator",
    "emulator",
    "gateway",
    "ray",
    "testing",
    "cli",
    "__main__",
    "__init__",
)
LAYERS = {name: layer for layer, name in enumerate(ROOMS)}

# Modules that decide: given times and events, they neither wait nor do any IO. Each has full branch coverage.
PURE_ROOMS = {"_text", "_wire", "_structured", "_providers", "_money", "_rate"}
PURE = {
    "_media.documents",
    "_media.formats",
    "_media.parts",
    "_transport.direct.request_head",
    "_transport.direct.content_coding",
    "_sending.accounts.account",
    "_sending.accounts.accounts",
    "_sending.accounts.opening",
    "_sending.accounts.standing",
    "_sending.accounts.statistics",
    "_sending.histogram",
    "_sending.reservation_states",
    "_sending.missing",
    "_sending.queued.poll_schedule",
    "_sending.call_queue",
    "_sending.retry",
    "_sending.waits",
    "_agents.schema_tools",
    "_agents.tool_protocol",
    "cli.view.fitting",
    "cli.view.frame",
    "gateway._access",
    "gateway._batches.batch",
    "gateway._batches.check",
    "gateway._batches.order",
    "gateway._batches.rows",
    "gateway._budgets.amounts",
    "gateway._budgets.rules",
    "gateway._errors",
    "gateway._files.listing",
    "gateway._files.stored_file",
    "gateway._load",
    "gateway._openai.chat_request",
    "gateway._openai.envelope",
    "gateway._openai.event_stream",
    "gateway._openai.model_list",
    "gateway._openai.request_fields",
    "gateway._openai.responses.answer",
    "gateway._openai.responses.event_stream",
    "gateway._openai.responses.input_items",
    "gateway._openai.responses.request",
    "gateway._openai.schema_tools",
    "gateway._page.history",
    "gateway._page.recent_errors",
    "gateway._page.snapshot",
    "gateway._segmind.form",
    "gateway._waiting",
    "telemetry._prometheus",
    "tools",
}
IMPURE = {"asyncio", "anyio", "aiohttp", "time", "random", "secrets", "os", "socket", "threading"}
KNOWS_AIOHTTP = {
    "_transport.connections",
    "_transport.session_pool",
    "_transport.aiohttp",
    "_transport.direct.aiohttp_names",
    "_transport.direct.connection",
    "_transport.direct.direct_pool",
    "_transport.direct.transport",
    "_emulator.server",
    "_emulator.http_responses",
    "gateway._batches.routes",
    "gateway._files.callers",
    "gateway._files.routes",
    "gateway._files.upload",
    "gateway._handlers",
    "gateway._page.routes",
    "gateway._queue.routes",
    "gateway._server",
}
OPTIONAL = {"_media.resizing": {"PIL"}}
"""What a module may import inside a function, because it comes with an extra."""
KNOWS_TERMINAL = {"typer", "rich", "click"}
KNOWS_MATPLOTLIB = {"cli.page.charts"}
KNOWS_OPENTELEMETRY = {"telemetry.otel"}

MOST_BODY_LINES = 50
MOST_DEPTH = 3
MOST_PARAMETERS = 6
MOST_FILE_LINES = 600
MOST_CLASS_LINES = 450
MOST_FILES = 16


def modules() -> dict[str, Path]:
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


MODULES = modules()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imports(name: str, tree: ast.AST | None = None) -> Iterator[str]:
    """Names of what a module imports; the package's own modules start with a dot."""
    package = [] if name == "__init__" else name.split(".")
    if MODULES[name].name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree or TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] + (node.module or "").split(".")
            target = ".".join(part for part in base if part)
            for alias in node.names:
                deeper = f"{target}.{alias.name}".lstrip(".")
                yield "." + (deeper if deeper in MODULES else target)


def room(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def is_pure(name: str) -> bool:
    return room(name) in PURE_ROOMS or name in PURE


def pure_files() -> list[str]:
    """Return the files of all pure modules, relative to the repository; `.ci/run` demands full coverage of them."""
    return sorted(str(path.relative_to(ROOT.parent)) for name, path in MODULES.items() if is_pure(name))


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_run_downwards_only(name: str) -> None:
    for target in imports(name):
        if not target.startswith("."):
            continue
        if room(name) == "_emulator":
            assert room(target[1:]) == "_emulator", f"the emulator must not import the library: {target}"
        elif room(target[1:]) in {"_emulator", "emulator"}:
            assert room(name) in {"emulator", "cli", "testing"}, f"{name} imports {target}"
        else:
            assert LAYERS[room(target[1:])] <= LAYERS[room(name)], (
                f"{name} imports {target}, which lies above"
            )


@pytest.mark.parametrize("name", sorted(MODULES))
def test_each_room_knows_only_its_own_libraries(name: str) -> None:
    outside = {target.split(".")[0] for target in imports(name) if not target.startswith(".")}
    if is_pure(name):
        assert not outside & IMPURE, f"{name} must decide without {sorted(outside & IMPURE)}"
    if name not in KNOWS_AIOHTTP:
        assert "aiohttp" not in outside
    if room(name) != "cli":
        assert not outside & KNOWS_TERMINAL
    if name not in KNOWS_MATPLOTLIB:
        assert "matplotlib" not in outside
    if name not in KNOWS_OPENTELEMETRY:
        assert "opentelemetry" not in outside


def test_every_pure_module_that_is_listed_exists() -> None:
    assert {room(name) for name in MODULES} >= PURE_ROOMS
    assert set(MODULES) >= PURE


@pytest.mark.parametrize("name", sorted(filter(is_pure, MODULES)))
def test_pure_modules_never_wait(name: str) -> None:
    assert not [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Await | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_the_admission_and_its_accounts_talk_to_a_ledger_and_only_the_client_names_one(
    name: str,
) -> None:
    if name != "client":
        assert "._money.ledger" not in set(imports(name))
    if name != "_sending.admission" and not name.startswith("_sending.accounts."):
        reached = [node.lineno for node in ast.walk(TREES[name]) if is_ledger(node)]
        assert not reached, f"{name} reaches into a ledger in lines {reached}: ask the admission"


def is_ledger(node: ast.AST) -> TypeGuard[ast.Attribute]:
    return isinstance(node, ast.Attribute) and node.attr in {"ledger", "_ledger"}


def test_there_is_no_import_cycle() -> None:
    graph = {
        name: {t[1:] for t in imports(name) if t.startswith(".") and t[1:] in MODULES} for name in MODULES
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " > ".join((*path[path.index(name) :], name))
        if name not in done:
            for target in graph[name] - {name}:
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_is_imported_inside_a_function(name: str) -> None:
    if room(name) in {"cli", "__main__"}:
        return  # commands import what they need when they run, so that --help is quick
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = {target.split(".")[0] for target in imports(name, node)}
            assert inside <= OPTIONAL.get(name, set()), f"{name}: {node.name} imports {inside}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_grows_out_of_hand(name: str) -> None:
    lines = MODULES[name].read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_FILE_LINES, f"{name} has {len(lines)} lines"
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ClassDef):
            assert (node.end_lineno or 0) - node.lineno - overload_lines(node) <= MOST_CLASS_LINES, (
                f"{name}: {node.name}"
            )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            where = f"{name}:{node.lineno} {node.name}"
            assert body_lines(node) <= MOST_BODY_LINES, where
            assert depth(node) <= MOST_DEPTH, where
            if room(name) not in {"cli", "client"}:
                assert parameters(node) <= MOST_PARAMETERS, where


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in MODULES.values()}), ids=lambda path: path.name
)
def test_no_folder_is_crowded(folder: Path) -> None:
    files = sorted(path.name for path in folder.glob("*.py"))
    assert len(files) <= MOST_FILES, files


def overload_lines(node: ast.ClassDef) -> int:
    """Lines that repeat signatures for type checkers: they declare, and hold no code."""
    return sum(
        (one.end_lineno or 0) - one.lineno + 2
        for one in node.body
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        if any(isinstance(name, ast.Name) and name.id == "overload" for name in one.decorator_list)
    )


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def depth(node: ast.AST, so_far: int = 0) -> int:
    deepest = so_far
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        nests = isinstance(
            child, ast.If | ast.For | ast.AsyncFor | ast.While | ast.With | ast.AsyncWith | ast.Try
        )
        deepest = max(deepest, depth(child, so_far + (nests and not is_elif)))
    return deepest
