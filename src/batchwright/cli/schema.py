"""The command `schema`: JSON Schema for editors."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from batchwright.app.editor_schemas import taskserv_schema, workflow_schema
from batchwright.cli.exit_codes import Exit
from batchwright.cli.options import Json, NoColor
from batchwright.cli.output import print_json


class SchemaOf(StrEnum):
    """What a schema describes."""

    WORKFLOW = "workflow"
    TASKSERV = "taskserv"


Of = Annotated[SchemaOf, typer.Argument(metavar="[WORKFLOW|TASKSERV]", help="A workflow file, or a taskserv.yaml.")]


def schema(of: Of = SchemaOf.WORKFLOW, _json: Json = False, _no_color: NoColor = False) -> int:
    """Print the JSON Schema of workflow files in JSON or YAML, or of taskserv.yaml, for editors."""
    print_json(workflow_schema() if of is SchemaOf.WORKFLOW else taskserv_schema())
    return Exit.OK
