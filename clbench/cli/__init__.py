"""The command line: one file per command, and one place that turns errors into exit statuses."""

import sys
import warnings
from typing import Annotated

import typer

import clbench
from clbench.cli.attacks import attacks
from clbench.cli.clean import clean
from clbench.cli.doctor import doctor
from clbench.cli.eval import EXAMPLES as EVAL_EXAMPLES
from clbench.cli.eval import evaluate_model
from clbench.cli.layers import layers
from clbench.cli.leaderboard import leaderboard
from clbench.cli.models import models
from clbench.cli.probe import probe
from clbench.cli.protocols import protocols
from clbench.cli.run import EXIT_USER, show_notes
from clbench.cli.train import EXAMPLES as TRAIN_EXAMPLES
from clbench.cli.train import train
from clbench.schema.errors import ClbenchError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help fits 80 columns better than panels
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First step: clbench eval --model simclr_at",
)
app.command("eval", epilog=EVAL_EXAMPLES)(evaluate_model)
app.command("train", epilog=TRAIN_EXAMPLES)(train)
for command in (models, layers, attacks, protocols, doctor, clean):
    app.command()(command)
app.add_typer(probe, name="probe")
app.add_typer(leaderboard, name="leaderboard")


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(clbench.__version__)
        raise typer.Exit
    return wanted


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Estimate the adversarial robustness of image models, and why: AutoAttack and CKA."""


def main() -> None:
    """Run the command line; exit with the statuses that scripts may depend on."""
    show_notes()
    # deprecations inside third parties are for their developers, not for who runs an evaluation
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        app()
    except ClbenchError as error:
        typer.echo(f"clbench: {error}", err=True)
        sys.exit(EXIT_USER)
