"""Rules of CONTRIBUTING.md that the linters do not check."""

import ast
import pathlib
import re
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# Words that begin a description instead of an instruction, and imperatives that end like verbs of the third person.
NOUNS = {
    "A",
    "An",
    "The",
    "All",
    "Each",
    "Every",
    "How",
    "It",
    "One",
    "Some",
    "This",
    "What",
    "Where",
    "Whether",
    "Which",
}
IMPERATIVES = {"Pass", "Compress", "Suppress", "Process", "Focus"}


def modules(*folders: str) -> Iterator[tuple[pathlib.Path, ast.Module]]:
    """Yield the Python files of some folders of the repository, with what they hold."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions of a module and the methods of its classes, but not the functions inside of functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, FUNCTIONS):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node)


def is_imperative(sentence: str) -> bool:
    """Return whether a sentence begins with what can be a verb in the imperative."""
    word = re.match(r"[A-Z][a-z]+\b|jit\b", sentence)
    return bool(word) and word[0] not in NOUNS and (not word[0].endswith("s") or word[0] in IMPERATIVES)


def test_docstrings_of_functions_begin_with_a_verb():
    wrong = []
    for path, tree in modules("srgan_jax", "configs", "scripts", "benchmarks"):
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS) and (text := ast.get_docstring(node)):
                decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
                if not decorators & {"property", "functools.cached_property"} and not is_imperative(text):
                    wrong.append(f"{path}: {node.name}: {text.splitlines()[0]}")
    assert not wrong


def test_signatures_carry_types():
    wrong = []
    for path, tree in modules("srgan_jax", "configs"):
        for node in functions(tree):
            parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            untyped = [each.arg for each in parameters if each.annotation is None and each.arg not in ("self", "cls")]
            if untyped or node.returns is None:
                wrong.append(f"{path}: {node.name}: {', '.join(untyped) or 'what it returns'}")
    assert not wrong


def test_files_of_the_package_are_short():
    lengths = {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path, _ in modules("srgan_jax")}
    assert {path: length for path, length in lengths.items() if length > 350} == {}


def test_no_script_imports_another():
    trees = dict(modules("scripts"))
    commands = {path.stem for path, tree in trees.items() if any(isinstance(node, ast.If) for node in tree.body)}
    assert {"train_release", "make_results"} <= commands and not {"runs", "paper"} & commands
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "scripts":
                names = {node.module.rpartition(".")[2], *(alias.name for alias in node.names)}
                assert not names & commands, f"{path.name} imports {names & commands}"
