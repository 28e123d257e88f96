"""The rules of the house, read from the source: who may import whom, and how long a function and a file may be."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What may be imported stands further right. Commands are the modules at the top of train/.
ROOMS = ["commands", "run", "release", "quality", "data", "output", "config", "gan", "errors", "model"]
SHARED = ("config", "errors")  # at the top of train/, and no commands


def sources(folder: str) -> dict[str, Path]:
    """Modules of a folder by name; what goes to the Hub as it is belongs to another house."""
    files = (path for path in (ROOT / folder).rglob("*.py") if "hub_files" not in path.parts)
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


MODULES = sources("train") | sources("model") | {"app": ROOT / "app.py"}


def room(module: str) -> str:
    """Of ROOMS, "app" or "layout"; "package" where it only marks a folder."""
    top, *rest = module.split(".")
    if top != "train":
        return "layout" if module.startswith("model.page.layout") else top
    if not rest or MODULES[module].name == "__init__.py":
        return "package"
    return "commands" if len(rest) == 1 and rest[0] not in SHARED else rest[0]


def imports(module: str) -> set[str]:
    """What a module imports, anywhere in it: modules of this project by their own name, others by their package's."""
    path, found = MODULES[module], set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    types = {id(part) for guard in guards for part in ast.walk(guard)}  # for the type checker: nothing is imported
    for node in (node for node in ast.walk(tree) if id(node) not in types):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            name = ".".join(filter(None, (base, node.module)))
            found |= {f"{name}.{alias.name}" if f"{name}.{alias.name}" in MODULES else name for alias in node.names}
    return {name if name in MODULES else name.partition(".")[0] for name in found}


def local(module: str) -> set[str]:
    return {name for name in imports(module) if name in MODULES}


TRAIN = [name for name in sources("train") if room(name) != "package"]


def test_every_module_stands_in_a_room():
    assert {room(name) for name in TRAIN} == set(ROOMS) - {"model"}
    commands = {name.split(".")[1] for name in TRAIN if room(name) == "commands"}
    assert commands == {
        "train",
        "evaluate",
        "neighbours",
        "directions",
        "to_features",
        "to_onnx",
        "publish",
        "benchmark",
    }


@pytest.mark.parametrize("module", TRAIN)
def test_imports_run_downward_and_no_command_is_imported(module):
    for other in local(module):
        same_room = room(other) == room(module) != "commands"
        assert same_room or ROOMS.index(room(other)) > ROOMS.index(room(module)), f"{module} imports {other}"


def test_there_is_no_circle():
    open_, left = {name: local(name) - {name} for name in MODULES}, -1
    while open_ and left != len(open_):  # take away whoever imports nothing that is still there
        left = len(open_)
        open_ = {name: others & open_.keys() for name, others in open_.items() if others & open_.keys()}
    assert not open_


@pytest.mark.parametrize(
    "rooms, unwanted",
    [
        (["model"], {"train", "app", "gradio", "accelerate"}),
        (["app", "layout"], {"train", "accelerate"}),
        (["errors"], {"model", "torch"}),
    ],
)
def test_who_never_imports_what(rooms, unwanted):
    modules = [name for name in MODULES if room(name) in rooms]
    assert modules
    for module in modules:
        assert not unwanted & {name.partition(".")[0] for name in imports(module)}, module


def test_only_the_layout_of_the_page_knows_gradio():
    who = {room(name) for name in MODULES if "gradio" in imports(name)}
    assert who == {"app", "layout"}
    for name in MODULES:
        layout = {other for other in local(name) if room(other) == "layout"}
        assert not layout or room(name) in who, f"{name} imports {layout}"


def test_the_networks_mathematics_needs_torch_alone():
    standard = {"copy", "collections", "dataclasses", "functools", "typing"}
    pure = [name for name in TRAIN if room(name) == "gan"] + ["train.quality.metrics"]
    assert len(pure) > 5
    for module in pure:
        outside = {name for name in imports(module) if not name.startswith("train.gan.")}
        assert outside <= standard | {"math", "torch"}, module


def test_only_train_py_changes_the_path():
    assert [name for name in TRAIN if "sys.path" in MODULES[name].read_text()] == ["train.train"]


def functions(path: Path) -> dict[str, int]:
    """Lines of each function, from def to end."""
    return {
        f"{path.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_files_and_functions_are_short():
    paths = list(MODULES.values())
    assert [path.name for path in paths if len(path.read_text().splitlines()) > 300] == []
    lengths = {name: n for path in paths for name, n in functions(path).items()}
    assert {name: n for name, n in lengths.items() if n > 60} == {}
    assert {name: n for name, n in lengths.items() if n > 45 and name.startswith(("app.py", "model/page/layout"))} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 10


def test_the_endpoint_has_the_limits_of_the_model():
    """handler.py runs where only its own repository is, so it repeats them."""
    from model.sampling import MAX_SEED, MAX_TRUNCATION

    text = (ROOT / "train" / "release" / "hub_files" / "handler.py").read_text()
    found = {
        node.targets[0].id: eval(compile(ast.Expression(node.value), "handler.py", "eval"))
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign)
    }
    assert (found["MAX_SEED"], found["MAX_TRUNCATION"]) == (MAX_SEED, MAX_TRUNCATION)
