"""Errors about sources: files and folders beside a workflow file that go to servers."""

from __future__ import annotations

from batchwright.errors.base import BatchwrightError
from batchwright.errors.service import Forbidden


class SourceMissing(BatchwrightError):
    """A source is not there."""

    code = "source-missing"
    hint = "Relative paths are looked for beside the workflow file, or beside the plan file or in its --dir."


class SourceInvalid(BatchwrightError):
    """A source cannot be put on a server: it is too large, or something in it is outside of it."""

    code = "source-invalid"
    hint = "A source is a file, a folder or an archive of at most 64 MiB; links in it stay inside it."


class SourceRefused(Forbidden):
    """A client's workflow puts files of the service's machine on servers, which its operator has not allowed."""

    code = "source-refused"
    hint = 'The operator can allow a folder in config.toml: [service] sources = ["/FOLDER"]. A path is then absolute.'


class SourceChanged(BatchwrightError):
    """A source is not the one that the run was planned with; nothing was started."""

    code = "source-changed"
    hint = (
        "Restore it, and resume. Or end the run (batchwright cancel RUN, or rollback RUN) and run the file again, "
        "which plans with the source as it is now."
    )
