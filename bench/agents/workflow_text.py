"""The workflow files of the bench: blocks of four operations, spread over the places of two clouds."""

from __future__ import annotations

from random import Random

from msgspec import Struct

PLACES = (
    ("upcloud", "us-nyc1", "1xCPU-2GB"),
    ("aws", "eu-central-1", "t3.small"),
    ("upcloud", "de-fra1", "2xCPU-4GB"),
    ("aws", "us-east-1", "t3.medium"),
    ("upcloud", "fi-hel1", "1xCPU-2GB"),
)
LARGER = {"1xCPU-2GB": "2xCPU-4GB", "2xCPU-4GB": "4xCPU-8GB", "t3.small": "t3.medium", "t3.medium": "t3.large"}
SERVICES = ("nginx", "redis", "postgresql")
BLOCK = 4  # operations


class Block(Struct, frozen=True):
    """Two servers of one place, what is installed on them, a program that sets them up, and a look at them."""

    number: int

    @property
    def place(self) -> tuple[str, str, str]:
        """The provider, the zone and the usual plan."""
        return PLACES[self.number % len(PLACES)]

    @property
    def service(self) -> str:
        """The task service on its servers."""
        return SERVICES[self.number % len(SERVICES)]

    @property
    def tag(self) -> str:
        """What its names end with."""
        return f"{self.place[1].replace('-', '_')}_{self.number + 1:03d}"

    @property
    def servers(self) -> tuple[str, str]:
        """The names of its servers."""
        zone = self.place[1]
        first = self.number // len(PLACES) * 2 + 1
        return f"web-{zone}-{first:03d}", f"web-{zone}-{first + 1:03d}"

    def text(self, larger: frozenset[str]) -> str:
        """Its operations in Nickel; servers in `larger` get the next plan."""
        provider, zone, plan = self.place
        rows = "".join(
            f'\n        {{ name = "{one}", plan = "{LARGER[plan] if one in larger else plan}", zone = "{zone}" }},'
            for one in self.servers
        )
        tag = self.tag
        return f"""\
      servers_{tag} = {{
        type = "server_batch", provider = "{provider}",
        server_configs = [{rows}
        ],
      }},
      services_{tag} = {{
        type = "taskserv_batch", provider = "{provider}", dependencies = ["servers_{tag}"],
        targets = ["servers_{tag}"], taskservs = ["{self.service}"],
      }},
      setup_{tag} = {{
        type = "command", run = ["/opt/app/setup", "--zone", "{zone}"], targets = ["servers_{tag}"],
        dependencies = ["services_{tag}"], idempotent = true,
      }},
      ready_{tag} = {{
        type = "check", tcp = {{ host = "${{servers.{self.servers[0]}.address}}", port = 443 }},
        dependencies = ["setup_{tag}"], within = "1m",
      }},
"""


class Definition(Struct, frozen=True):
    """A workflow of `operations` operations, a multiple of four."""

    operations: int
    version: str
    environment: str
    parallel: int
    larger: frozenset[str] = frozenset()

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its blocks, in the order of the file."""
        return tuple(Block(number) for number in range(self.operations // BLOCK))

    @property
    def text(self) -> str:
        """The file."""
        body = "".join(block.text(self.larger) for block in self.blocks)
        return f"""\
{{
  batch_workflow = {{
    name = "shop",
    version = "{self.version}",
    environment = "{self.environment}",
    parallel_limit = {self.parallel},
    on_failure = "continue",
    operations = {{
{body}    }},
  }},
}}
"""


def with_mistakes(text: str, blocks: tuple[Block, ...], chance: Random) -> tuple[str, tuple[str, ...]]:
    """A file with two planted mistakes, and the words that an answer about them has to hold.

    One of them makes a reference unsound, which is a third.
    """
    unknown, typo = chance.sample(blocks, 2)
    changed = text.replace(f'dependencies = ["setup_{unknown.tag}"]', f'dependencies = ["setup_{unknown.tag}x"]')
    begin = changed.index(f"services_{typo.tag} = ")
    wrong = changed[begin:].replace(f'taskservs = ["{typo.service}"]', f'taskservs = ["{typo.service}q"]', 1)
    changed = changed[:begin] + wrong
    lines = changed.splitlines()
    at = [
        next(n for n, line in enumerate(lines, 1) if word in line)
        for word in (f'"setup_{unknown.tag}x"', f'"{typo.service}q"')
    ]
    words = f"setup_{unknown.tag}x", f"{typo.service}q", f'Did you mean "{typo.service}"', f"servers_{unknown.tag}"
    return changed, (*words, *(f"broken.ncl:{number}:" for number in at))
