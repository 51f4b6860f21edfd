"""The web application of workflows/shop.ncl for real: made, killed, changed one server after the other, rolled back."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

from tests.support.command_line import PATIENCE, Command
from tests.support.sandboxes import leftovers, need_sandboxes

ROOT = Path(__file__).parents[2]
PAGE_LIMIT = 10_000  # bytes


class Shop(Command):
    """Somebody with a copy of the example. `seed` says after how many lines of a run its process is killed."""

    def __init__(self, home: Path, base: Path) -> None:
        super().__init__(home, SHOP_PASSWORD="not the usual one: 'ö\"$", XDG_CACHE_HOME=str(base.parents[2]))
        shutil.copy(ROOT / "workflows/shop.ncl", home)
        shutil.copytree(ROOT / "workflows/shop", home / "shop")

    @property
    def servers(self) -> dict[str, dict[str, str]]:
        return {one["name"]: one for one in self.json("servers")["servers"]}

    def page(self, path: str, body: str | None = None) -> str:
        url = f"http://{self.servers['core-1']['address']}:8080{path}"
        with urllib.request.urlopen(url, body and body.encode(), timeout=PATIENCE) as answer:
            return str(answer.read(PAGE_LIMIT).decode())

    def killed(self, chance: random.Random, *words: str) -> None:
        """Run it, and kill the process after so many lines of what it says."""
        after = chance.randrange(3, 20)
        process = self.start(*words, stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout:
            for _, _line in zip(range(after), process.stdout, strict=False):
                pass
            process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)


def test_the_life_of_the_shop(tmp_path: Path) -> None:
    base = need_sandboxes()
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, shop = random.Random(seed), Shop(tmp_path, base)
    shop.killed(chance, "run", "shop.ncl")
    refs = {one["ref"] for one in shop.servers.values()}
    shop("run", "shop.ncl", "--resume")
    refs |= {one["ref"] for one in shop.servers.values()}
    assert "serves schema 1" in shop.page("/health")
    assert shop.page("/orders", "two pears") == "ordered\n"
    assert shop.page("/orders") == "two pears\n"
    assert {shop.page("/health").split()[0] for _ in range(8)} == {"app-1", "app-2"}
    shop("drift", "shop")

    program = tmp_path / "shop/app/shop.py"
    program.write_text(program.read_text().replace("serves schema", "now serves schema"))
    shop.killed(chance, "run", "shop.ncl")
    shop("run", "shop.ncl", "--resume")
    assert "now serves schema 1" in shop.page("/health")
    assert shop.page("/orders") == "two pears\n", "a change of the program keeps the data"

    program.write_text("raise SystemExit('it cannot start')\n")
    shop("run", "shop.ncl", code=1)
    assert "app/app-2/shop: started" not in shop("events", "shop").stdout, "one server after the other"
    assert "now serves schema 1" in shop.page("/health"), "the run rolled back to the program of before"

    shop("destroy", "shop", "--yes")
    assert leftovers(tmp_path / ".local/state/batchwright", refs) == []
