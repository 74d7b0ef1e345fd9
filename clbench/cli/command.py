"""How every command begins and ends: all faults of its options at once, and no traceback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, no_type_check

import typer
from typer.core import TyperCommand, TyperGroup

from clbench.cli.combinations import useless
from clbench.cli.run import EXIT_USER
from clbench.cli.signals import exit_status
from clbench.cli.streams import leave_stdout, say
from clbench.schema.errors import BadValueError, ClbenchError, CommandError
from clbench.schema.text import shown

EXIT_PIPE = 141
"""Whoever read our output has gone, as ``head`` does; what a shell shows for SIGPIPE."""

USAGE_ERROR: Any = typer.BadParameter.__mro__[1]
"""What typer raises where a command line is not understood; it exports no name for it."""

_COUNT_ONCE = frozenset(
    {
        "protocol",
        "data",
        "norm",
        "eps",
        "attack",
        "seed",
        "dataset",
        "recipe",
        "measure",
        "estimator",
    }
)
"""Of these somebody may mean several; of others, such as ``--out``, shells expect the last."""

_FAULTS = "clbench.faults"
"""Where a context keeps what is wrong with its options."""

_STRAY = "clbench.stray"
"""Where it keeps words that belong to no option."""


def reads(read: Callable[[str], Any], metavar: str = "TEXT") -> dict[str, Any]:
    """Return how typer is to read an option: as ``read`` does, keeping its complaints for later.

    They are told all together, before the command begins. typer would stop at the first, and say
    only that the value is wrong.
    """

    def parse(value: Any) -> Any:  # noqa: ANN401 - a text, or a default
        if value == "":
            return None  # told already
        try:
            return read(value)
        except ClbenchError as error:
            return error

    return {"parser": parse, "callback": _keep_complaints, "metavar": metavar}


@no_type_check  # typer gives the base class of the context that it lets a callback ask for
def _keep_complaints(context: typer.Context, value: Any) -> Any:  # noqa: ANN401 - any option's
    values = value if isinstance(value, list) else [value]
    complaints = [one for one in values if isinstance(one, ClbenchError)]
    if complaints and not isinstance(context.command, Command | Group):
        raise complaints[0]  # nobody would ask for them
    faults_of(context).extend(complaints)
    return None if any(isinstance(one, ClbenchError) for one in values) else value


def faults_of(context: Any) -> list[ClbenchError]:  # noqa: ANN401 - typer's, which has no public type
    """Return the list of what is wrong with the options that a context has read."""
    found: list[ClbenchError] = context.meta.setdefault(_FAULTS, [])
    return found


def _check(context: Any) -> None:  # noqa: ANN401 - likewise
    given = {
        name: value
        for name, value in context.params.items()
        if str(context.get_parameter_source(name)).endswith("COMMANDLINE")
    }
    faults = [*faults_of(context), *useless(context.info_name, given)]
    if faults:
        raise faults[0] if len(faults) == 1 else CommandError(faults)


def _check_as_typed(parsed: Any, context: Any, arguments: list[str]) -> None:  # noqa: ANN401 - likewise
    """Complain of options that are empty, or of which only one of several would count.

    An empty path would be the working folder.
    """
    typed, context.meta[_STRAY], order = parsed.make_parser(context).parse_args(
        args=list(arguments)
    )
    for one in dict.fromkeys(order):
        name, value = max(one.opts, key=len), typed.get(one.name)
        several = getattr(one, "multiple", False) or getattr(one, "nargs", 1) == -1
        if value == "" or (several and "" in (value or ())):
            faults_of(context).append(BadValueError(f"{name} must not be empty, got ''"))
        if one.name in _COUNT_ONCE and order.count(one) > 1 and not several:
            there = f"got {order.count(one)}, the last {shown(value)}"
            faults_of(context).append(BadValueError(f"{name} counts once, {there}"))


def faults_of_error(error: Any) -> list[ClbenchError]:  # noqa: ANN401 - a usage error
    """Return what was wrong with the options before typer gave up."""
    return faults_of(error.ctx) if error.ctx else []


def in_words(error: Any) -> str:  # noqa: ANN401 - a usage error
    """Return what typer says of a command line in one line of ours."""
    message = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
    where = f"{error.ctx.command_path} --help" if error.ctx else "clbench --help"
    return f"{message[:1].lower()}{message[1:]}{_hint(error)}; see {where}"


def _hint(error: Any) -> str:  # noqa: ANN401 - a usage error
    """Return a question for the option that a word without one was most likely meant for."""
    words = error.ctx.meta.get(_STRAY) if error.ctx else None
    if not words or hasattr(error, "possibilities"):  # a word of its own for a misspelt option
        return ""
    options = [one for one in error.ctx.command.params if one.opts[0].startswith("--")]
    missing = [one for one in options if one.required and one is getattr(error, "param", None)]
    # what names a model stands alone in other commands
    meant: list[Any] = missing or [one for one in options if "--model" in one.opts]
    return f"; did you mean {meant[0].opts[0]} {shown(words[0])[1:-1]}?" if meant else ""


def show_help_unless_asked(context: Any) -> None:  # noqa: ANN401 - typer's class is private
    """Show the help of a group where none of its commands was named; it is the user's to mend."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(EXIT_USER)


def _write_sections(command: Any, context: Any, formatter: Any) -> None:  # noqa: ANN401 - likewise
    """Write the options into the help, under the headings that they name."""
    sections: dict[str, list[Any]] = {}
    for one in command.get_params(context):
        if record := one.get_help_record(context):
            sections.setdefault(getattr(one, "rich_help_panel", None) or "Options", []).append(
                record
            )
    for heading, records in sections.items():
        with formatter.section(heading):
            formatter.write_dl(records)


class _Checked:
    """What commands and groups have in common: all options are checked before they begin."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - private class
        """Read the options."""
        _check_as_typed(self, ctx, args)
        left: list[str] = super().parse_args(ctx, args)  # type: ignore[misc] # typer's class comes after
        return left

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own class is private
        """Run it, unless an option is wrong or has no effect."""
        _check(ctx)
        return super().invoke(ctx)  # type: ignore[misc] # likewise

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - private classes
        """Write the options into the help, in sections."""
        _write_sections(self, ctx, formatter)


class Command(_Checked, TyperCommand):
    """A command whose options are all checked before it begins."""


class Group(_Checked, TyperGroup):
    """Several commands; options of the group itself are checked like those of a command."""

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - private classes
        """Write the options into the help, in sections, and the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


class App(Group):
    """The whole command line: what ends a command early becomes an exit status."""

    def make_context(self, *arguments: Any, **extra: Any) -> Any:  # noqa: ANN401 - typer's
        """Read the options, or print the help."""
        with _ended_early():
            return super().make_context(*arguments, **extra)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own class is private
        """Run a command; say in one line why it was stopped."""
        with _ended_early():
            return super().invoke(ctx)


@contextmanager
def _ended_early() -> Iterator[None]:
    """Turn an interrupt, or a reader that has gone, into the status that shells expect.

    typer would end with others.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        say("interrupted")
        raise typer.Exit(exit_status(interrupt)) from None
    except BrokenPipeError:
        leave_stdout()
        raise typer.Exit(EXIT_PIPE) from None
