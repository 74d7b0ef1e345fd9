"""The command line: one file per command, and one place that turns errors into exit statuses."""

import errno
import sys
import warnings
from typing import Annotated, no_type_check

import typer

import clbench
from clbench.cli.add import add
from clbench.cli.attacks import attacks
from clbench.cli.bundle import bundle
from clbench.cli.clean import clean
from clbench.cli.command import (
    EXIT_PIPE,
    USAGE_ERROR,
    App,
    Command,
    faults_of_error,
    in_words,
    show_help_unless_asked,
)
from clbench.cli.compare import compare
from clbench.cli.corruptions import corruptions
from clbench.cli.doctor import doctor
from clbench.cli.eval import EXAMPLES as EVAL_EXAMPLES
from clbench.cli.eval import evaluate_model
from clbench.cli.head import EXAMPLES as HEAD_EXAMPLES
from clbench.cli.head import head
from clbench.cli.importing import EXAMPLES as IMPORT_EXAMPLES
from clbench.cli.importing import import_checkpoint
from clbench.cli.layers import layers
from clbench.cli.leaderboard import leaderboard
from clbench.cli.measures import measures
from clbench.cli.merge import merge
from clbench.cli.models import models
from clbench.cli.plan import plan
from clbench.cli.probe import probe
from clbench.cli.protocols import protocols
from clbench.cli.push_folder import EXAMPLES as PUSH_EXAMPLES
from clbench.cli.push_folder import push_folder
from clbench.cli.run import EXIT_USER, show_notes
from clbench.cli.show import show
from clbench.cli.signals import signals_interrupt
from clbench.cli.streams import (
    UNWRITABLE,
    accept_any_text,
    end_of_results,
    flush,
    leave_stdout,
    say,
)
from clbench.cli.train import EXAMPLES as TRAIN_EXAMPLES
from clbench.cli.train import train
from clbench.cli.verify import EXAMPLES as VERIFY_EXAMPLES
from clbench.cli.verify import verify
from clbench.schema.errors import ClbenchError, lines_of
from clbench.schema.text import shown

EPILOG = """\b
First step: clbench eval --model simclr_at
Exit status: 0 done, 2 something that you can mend, 130 Ctrl-C, 143 SIGTERM,
1 a fault of ours.
"""

app = typer.Typer(
    cls=App,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help fits 80 columns better than panels
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
app.command("eval", cls=Command, epilog=EVAL_EXAMPLES)(evaluate_model)
app.command("train", cls=Command, epilog=TRAIN_EXAMPLES)(train)
app.command("import", cls=Command, epilog=IMPORT_EXAMPLES)(import_checkpoint)
app.command("push-folder", cls=Command, epilog=PUSH_EXAMPLES)(push_folder)
app.command("head", cls=Command, epilog=HEAD_EXAMPLES)(head)
app.command("verify", cls=Command, epilog=VERIFY_EXAMPLES)(verify)
COMMANDS = (
    *(plan, corruptions, merge, show, compare, bundle, models, layers),
    *(attacks, protocols, measures, doctor, clean),
)
for command in COMMANDS:
    app.command(cls=Command)(command)
app.add_typer(probe, name="probe")
leaderboard.command(cls=Command)(add)
app.add_typer(leaderboard, name="leaderboard")


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(clbench.__version__)
        raise typer.Exit
    return wanted


@app.callback()
@no_type_check  # typer gives the base class of the context that it lets a command ask for
def top(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Estimate the adversarial robustness of image models, and why: AutoAttack and CKA."""
    show_help_unless_asked(context)


def main() -> None:
    """Run the command line; exit with the statuses that scripts may depend on."""
    accept_any_text()
    show_notes()
    # deprecations inside third parties are for their developers, not for who runs an evaluation
    warnings.filterwarnings("ignore", category=FutureWarning)
    with signals_interrupt():
        status = _run()
    end_of_results()
    sys.exit(status)


def _run() -> int:
    try:
        status = int(app(prog_name="clbench", standalone_mode=False) or 0)
        flush()
    except ClbenchError as error:
        for line in lines_of(error):
            say(line)
        return EXIT_USER
    except USAGE_ERROR as error:
        for one in (*faults_of_error(error), in_words(error)):
            say(str(one))
        return EXIT_USER
    except BrokenPipeError:
        leave_stdout()
        return EXIT_PIPE
    except OSError as error:
        return _of_the_system(error)
    return status


def _of_the_system(error: OSError) -> int:
    """Say what the system refuses: a name too long for a disk, or output that nobody takes.

    Raises:
        OSError: It is neither.
    """
    if error.errno == errno.ENAMETOOLONG:
        say(f"a file or folder has too long a name, got {shown(error.filename)}")
        return EXIT_USER
    if error.errno not in UNWRITABLE or error.filename is not None:
        raise error
    leave_stdout()
    say(f"cannot print: {error.strerror}; what was finished is saved; send it elsewhere")
    return EXIT_USER
