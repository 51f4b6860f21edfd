"""How much a workflow file may cost. All limits of the loader are in this module."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

MIB = 1024 * 1024


class LoaderLimits(Struct, frozen=True):
    """Limits of one load. Exceeding one ends in a diagnostic and never harms this process."""

    memory_mib: int = 2048
    stack_mib: int = 64
    cpu_seconds: int = 30
    wall_seconds: float = 60.0
    file_bytes: int = 8 * MIB  # of one file
    output_bytes: int = 256 * MIB  # of what an evaluation gives back
    operations: int = 10_000
    imports: int = 64  # files that may be imported in all; 0 refuses every import
    import_roots: tuple[Path, ...] = ()  # besides the folders of the file and of its overlays
    depth: int = 100  # brackets of JSON inside one another, and values of a workflow
    nodes: int = 10_000_000  # values of one evaluation, its reports included; about
    diagnostics: int = 50
    undefined_names: int = 10  # each hides the rest of the file and costs an evaluation
    must_confine: bool = False  # refuse where the kernel cannot confine the evaluation
    search_seconds: float = 10.0  # for what cannot be evaluated, and again for places, once something is wrong


LOCAL = LoaderLimits()
UNTRUSTED = LoaderLimits(
    memory_mib=1024,
    cpu_seconds=20,
    wall_seconds=40.0,
    file_bytes=4 * MIB,
    output_bytes=32 * MIB,
    nodes=2_000_000,
    imports=0,
    must_confine=True,
)
