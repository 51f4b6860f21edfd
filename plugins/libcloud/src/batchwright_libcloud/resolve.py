"""Resolves a configuration to what a driver offers: sizes, locations and images, by id or by name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from libcloud.compute.base import NodeDriver
from msgspec import Struct

from batchwright import Diagnostic, ServerConfig, ServerRequest
from batchwright.providers.diagnostics import not_offered
from batchwright.providers.user_data import against
from batchwright_libcloud.driver import chosen, create_arguments, user_data_argument
from batchwright_libcloud.marks import NAME_MAX
from batchwright_libcloud.settings import Adopt

USER_DATA_MAX = 16 * 1024  # bytes; most clouds allow as many


class Nowhere(Struct, frozen=True):
    """The location of clouds whose driver takes none."""

    id: str = "default"
    name: str = "default"


def problems(config: ServerConfig, way: Adopt) -> list[Diagnostic]:
    """Problems that need no request to the cloud. Pure."""
    found = []
    if way == "name" and len(config.name) > NAME_MAX:
        message = f'"{config.name}" is too long: run and token are added to it, which leaves {NAME_MAX} letters'
        found.append(Diagnostic("bad-name", message, "Use a shorter name.", field="name"))
    if config.labels and way != "metadata":
        found.append(
            Diagnostic(
                "bad-label",
                "this driver supports no labels",
                "Leave them out.",
                field="labels",
            )
        )
    if why := against(config.user_data or "", config.ssh_keys, USER_DATA_MAX, "the bridge to Libcloud"):
        found.append(
            Diagnostic("bad-user-data", f"the user_data cannot be used: {why}", "Make it a script.", field="user_data")
        )
    return found


def resolved(driver: NodeDriver, configs: Sequence[ServerConfig]) -> list[ServerRequest | list[Diagnostic]]:
    """One answer per configuration. Raises what the driver raises."""
    placed = "location" in create_arguments(driver)
    sizes, locations = driver.list_sizes(), driver.list_locations() if placed else [Nowhere()]
    images: dict[str, Any] = {image: _image(driver, image) for image in {c.image or "" for c in configs} - {""}}
    tells = bool(user_data_argument(driver))
    return [_resolved(config, sizes, locations, images, tells) for config in configs]


def _resolved(
    config: ServerConfig, sizes: list[Any], locations: list[Any], images: dict[str, Any], tells: bool
) -> ServerRequest | list[Diagnostic]:
    size, location = chosen(sizes, config.plan), chosen(locations, config.zone)
    image: Any = images.get(config.image or "")
    found = [
        *([] if size is not None else [_unknown("plan", config.plan, sizes)]),
        *([] if location is not None else [_unknown("zone", config.zone, locations)]),
        *([] if image is not None else [_unknown("image", config.image or "", [])]),
    ]
    if not tells and (config.user_data or config.ssh_keys):
        field = "user_data" if config.user_data else "ssh_keys"
        found.append(
            Diagnostic(f"no-{field.replace('_', '-')}", "this driver takes no user_data", "Leave it out.", field=field)
        )
    if found:
        return found
    ids = {"size": str(size.id), "location": str(location.id), "image": str(image.id)}
    return ServerRequest.of(config, config.image or "", ids)


def things(driver: NodeDriver, request: ServerRequest) -> dict[str, Any]:
    """Size, image and location for the create call. Raises LookupError if one is no longer offered."""
    facts = request.resolved
    found = {"size": chosen(driver.list_sizes(), facts["size"]), "image": _image(driver, facts["image"])}
    if "location" in create_arguments(driver):
        found["location"] = chosen(driver.list_locations(), facts["location"])
    if missing := [kind for kind, thing in found.items() if thing is None]:
        raise LookupError(f"the cloud no longer has the {missing[0]} {facts[missing[0]]}")
    return found


def _image(driver: NodeDriver, wanted: str) -> Any:
    """The image, by id if the driver can look one up, otherwise from the whole list."""
    with suppress(Exception):  # not every driver can, and most raise their own errors for a name
        return driver.get_image(wanted)
    return chosen(driver.list_images(), wanted)


def _unknown(field: str, value: str, offered: list[Any]) -> Diagnostic:
    names = [str(name) for row in offered for name in (row.id, row.name)]
    otherwise = "Use its id, or a name that is unique."
    return not_offered(field, value, names, f'the cloud has no {field} "{value}"', otherwise)
