"""What is wrong with the webhooks of a file is said before anything is changed, where it stands."""

from pathlib import Path

import pytest

from batchwright.app.webhook_checks import WEBHOOKS_MOST
from tests.support.command_line import environment, run_in_process

FILE = """{{ batch_workflow = {{ name = "shop", version = "1", operations = [
  {{ id = "web", type = "server_batch", provider = "upcloud",
    server_configs = [{{ name = "a", plan = "1xCPU-1GB", zone = "de-fra1" }}] }}],
  notify = [
{hooks}
  ] }} }}
"""


def told(folder: Path, *hooks: str, command: str = "plan", config: str = "", simulated: bool = True) -> str:
    file = folder / "shop.ncl"
    file.write_text(FILE.format(hooks="\n".join(f"    {hook}," for hook in hooks)))
    (folder / "config" / "batchwright").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "batchwright" / "config.toml").write_text(config)
    options = ["--simulate"] if simulated and command != "validate" else []
    env = environment(folder, XDG_CONFIG_HOME=str(folder / "config"), CI_SECRET="whsec_" + "A" * 32)
    state = [] if command == "validate" else ["--state-dir", str(folder / "state")]
    done = run_in_process([command, "shop.ncl", *options, *state], env, folder)
    return done.stdout + done.stderr


def hook(name: str = "ci", url: str = "https://ci.example/hook", more: str = "simulated = true") -> str:
    return f'{{ name = "{name}", url = "{url}", secret = {{ env = "CI_SECRET" }}, {more} }}'


def test_names_that_stand_twice_and_urls_that_cannot_be_used(tmp_path: Path) -> None:
    words = told(
        tmp_path, hook(), hook(url="https://ci.example:99999/"), hook("n", "https://0x7f.1/"), command="validate"
    )
    assert 'shop.ncl:6:14: two webhooks have the name "ci" [duplicate-name]' in words
    assert 'shop.ncl:6:26: the URL of the webhook "ci" cannot be used: Port out of range 0-65535' in words
    assert "0x7f.1 is neither a host name nor an address" in words


def test_a_workflow_has_so_many_webhooks_at_most(tmp_path: Path) -> None:
    words = told(tmp_path, *(hook(f"n{number}") for number in range(WEBHOOKS_MOST + 1)), command="validate")
    assert "shop.ncl:4:12: 21 webhooks; a workflow may have 20 [too-many-webhooks]" in words


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1/", "names 127.0.0.1, an address of the machine itself [webhook-refused]"),
        ("https://169.254.169.254/latest", "names 169.254.169.254, a link-local address"),
        ("https://[fd00:ec2::254]/", "names fd00:ec2::254, a private address"),
        ("http://ci.example/", "is not encrypted: its URL begins with http://"),
    ],
)
def test_receivers_that_only_the_operator_may_allow(tmp_path: Path, url: str, words: str) -> None:
    said = told(tmp_path, hook(url=url))
    assert f'shop.ncl:5:26: the webhook "ci" {words}' in said
    assert "hint: The operator can allow it in config.toml: [webhooks] private_hosts = [" in said
    host = said.partition('private_hosts = ["')[2].partition('"')[0]
    assert "plan  " in told(tmp_path, hook(url=url), config=f'[webhooks]\nprivate_hosts = ["{host}"]\n')


def test_a_missing_secret_is_a_problem_of_the_plan(tmp_path: Path) -> None:
    said = told(tmp_path, hook().replace("CI_SECRET", "NO_SECRET"))
    assert 'shop.ncl:5:62: the secret of the webhook "ci" is missing' in said
    assert "the variable NO_SECRET is not set [secret-missing]" in said


def test_a_simulated_run_needs_nothing_of_webhooks_that_are_not_told_about_it(tmp_path: Path) -> None:
    assert "plan  " in told(tmp_path, hook(url="http://127.0.0.1/", more="").replace("CI_SECRET", "NO_SECRET"))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('[[notify]]\nname = "a b"\nurl = "https://x/"\nsecret = { env = "S" }', "the name of a webhook has letters"),
        ('[[notify]]\nname = "a"\nurl = "https://u:p@x/"\nsecret = { env = "S" }', "must not hold a user or password"),
        ('[[notify]]\nname = "a"\nurl = "https://x/"\nsecret = "whsec_AAAA"', "Expected `object`, got `str`"),
        ('[[notify]]\nname = "a"\nurl = "https://x/"\nsecret = { env = "S" }\nevents = ["x"]', "Invalid enum value"),
        ('[[notify]]\nname = "a"\nurl = "https://x/"\nsecret = { env = "S" }\n' * 2, "two webhooks have the same name"),
    ],
)
def test_mistakes_in_the_operators_webhooks(tmp_path: Path, config: str, words: str) -> None:
    said = told(tmp_path, config=config)
    assert words in said
    assert "docs/webhooks.md has an example" in said
    assert "whsec" not in said
