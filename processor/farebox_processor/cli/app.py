"""The commands of `farebox`, in the order of their help."""

import logging

import typer

from farebox_processor.cli.allocating import allocate_command
from farebox_processor.cli.books import prices
from farebox_processor.cli.budgets import budgets
from farebox_processor.cli.doctor import doctor
from farebox_processor.cli.plans import plans
from farebox_processor.cli.pricing import price
from farebox_processor.cli.repricing import reprice_command
from farebox_processor.cli.serving import config_command, demo, serve
from farebox_processor.cli.stored import conversations, explain_command, totals
from farebox_processor.cli.storing import ingest, migrate_command

__all__ = ["app"]

# What goes wrong is said once, by the command; the driver would print its own stack as well.
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

app = typer.Typer(
    name="farebox",
    help="Cost per conversation for LLM services, from the OpenTelemetry traces they already emit.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve)
app.command()(demo)
app.command()(price)
app.command()(conversations)
app.command("explain")(explain_command)
app.command()(totals)
app.command()(budgets)
app.command("allocate")(allocate_command)
app.command()(doctor)
app.add_typer(prices, name="prices")
app.add_typer(plans, name="plans")
app.command()(ingest)
app.command("reprice")(reprice_command)
app.command("migrate")(migrate_command)
app.command("config")(config_command)
