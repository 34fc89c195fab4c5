"""Turn the options of a recipe into command-line flags.

In     a function that does a command's work with a ``Recipe``.
Out    a Typer command with one flag for each option of the recipe, ``--recipe`` and
       ``--print-recipe``, and ``--help`` that lists them under their groups.
Keeps  defaults in one place: a flag that is not given passes no value, so that the recipe's own
       default applies.
"""

import inspect
import re
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, get_args

import typer

from sftprep.cli.completion import completer, template_names
from sftprep.cli.help import Command
from sftprep.cli.terminal import command, show
from sftprep.recipe import Option, Recipe, given_options, options

RECIPE_FILE = Annotated[
    str | None,
    typer.Option(
        "--recipe", metavar="FILE", help="A YAML file with options as keys; flags override it."
    ),
]
PRINT_RECIPE = Annotated[
    bool, typer.Option("--print-recipe", help="Print the resolved recipe and exit.")
]


Given = dict[str, Any]
"""The options that the user gave, by name: on the command line, or in the file."""


def recipe_command(
    app: typer.Typer, *, without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command of the app that takes the recipe's options as flags.

    The function's first parameter gets the ``Recipe``. Its other parameters become arguments and
    options of this command only.

    Args:
        app: the application.
        without: options that the command does not take as flags.
    """
    taken = [option for option in options() if option.name not in without]

    def decorate(work: Callable[..., None]) -> Callable[..., None]:
        def run(path: str | None, flags: Given, print_recipe: bool, own: Given) -> None:
            recipe = Recipe.from_sources(path, flags)
            if print_recipe:
                show(recipe.to_yaml().encode())
            else:
                work(recipe, **own)

        _register(app, work, run, taken)
        return work

    return decorate


def options_command(
    app: typer.Typer, names: Collection[str], recipe_of: Callable[[Given, Given], Recipe]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as a command of the app that changes some options of a dataset.

    The function's first parameter gets a dictionary of those that are given. By default, an option
    that decides about bytes stays as it is in the dataset, so the help names no default.

    Args:
        app: the application.
        names: the options that the command takes.
        recipe_of: returns the whole recipe, for ``--print-recipe``, from the options that are given
            and the function's other arguments.
    """
    taken = [
        _without_default(option) if option.decides_bytes else option
        for option in options()
        if option.name in names
    ]

    def decorate(work: Callable[..., None]) -> Callable[..., None]:
        def run(path: str | None, flags: Given, print_recipe: bool, own: Given) -> None:
            given = given_options(path, flags, [option.name for option in taken])
            if print_recipe:
                show(recipe_of(given, own).to_yaml().encode())
            else:
                work(given, **own)

        _register(app, work, run, taken)
        return work

    return decorate


def _register(
    app: typer.Typer,
    work: Callable[..., None],
    run: Callable[[str | None, Given, bool, Given], None],
    taken: Sequence[Option],
) -> None:
    """Register a command with a flag for each option, and with the parameters of ``work``.

    Args:
        app: the application.
        work: the function that the command is made for.
        run: does the command's work, with the recipe file, the flags of the options,
            ``--print-recipe``, and the function's own arguments.
        taken: the options that have flags.
    """

    def called(**given: Any) -> None:
        with command():
            flags = {option.name: given.pop(option.name) for option in taken}
            run(given.pop("recipe"), flags, given.pop("print_recipe"), given)

    _, *own = inspect.signature(work).parameters.values()
    parameters = [
        *map(_parameter, taken),
        _keyword("recipe", RECIPE_FILE, None),
        _keyword("print_recipe", PRINT_RECIPE, False),
        *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own),
    ]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    called.__doc__ = work.__doc__
    app.command(work.__name__, cls=Command)(called)


def _parameter(option: Option) -> inspect.Parameter:
    """Return a command's parameter for an option; if it is not given, it is None or False.

    Only for an option with a flag that turns it off, False means that this flag was given.
    """
    kind: Any = option.type
    if option.negative:
        return _keyword(option.name, Annotated[bool | None, _flag(option)], None)
    if kind is bool:
        return _keyword(option.name, Annotated[bool, _flag(option)], False)
    if kind == tuple[str, ...]:
        info: Any = _argument(option) if option.name == "inputs" else _flag(option)
        return _keyword(option.name, Annotated[list[str] | None, info], None)
    inner = kind if kind in (str, int) else get_args(kind)[0]
    return _keyword(option.name, Annotated[inner | None, _flag(option)], None)


def _without_default(option: Option) -> Option:
    """Return the option with a help that names no default."""
    return option._replace(default=None, help=re.sub(r" \[default: [^]]*\]$", "", option.help))


def _argument(option: Option) -> Any:
    return typer.Argument(help=option.help, metavar=option.metavar)


def _flag(option: Option) -> Any:
    default = f" [default: {option.default}]" if option.default not in (None, False, ()) else ""
    metavar = None if option.type is bool else option.metavar
    flags = f"{option.flag}/--no-{option.flag.removeprefix('--')}"
    return typer.Option(
        flags if option.negative else option.flag,
        *([option.short] if option.short else []),
        help=option.help + default,
        metavar=metavar,
        rich_help_panel=option.group,
        autocompletion=_completion(option),
    )


def _completion(option: Option) -> Callable[[str], list[str]] | None:
    """Return what completes an option's value in the shell; None if the shell does it alone."""
    if option.name == "template":
        return completer(template_names)
    return completer(lambda: option.values) if option.values else None


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
