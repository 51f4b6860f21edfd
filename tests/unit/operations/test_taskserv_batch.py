"""Task service operations: targets, what is brought along, order, conflicts, needs, variables, undo."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from msgspec.structs import replace

from batchwright.model.actions import Undo
from batchwright.model.diagnostic import Diagnostic, Severity
from batchwright.model.environment import Resource
from batchwright.model.plan import Need, Plan, ServerFacts
from batchwright.model.scalar import Scalar
from batchwright.model.taskserv import ServerRequirements, Taskserv, Variant
from batchwright.model.taskserv_variable import Variable, VariableType
from batchwright.model.workflow import DependencyKind, Workflow
from batchwright.operations.taskserv_batch import TaskservRequest, TaskservUse
from batchwright.operations.taskserv_batch.install_difference import install_changes
from batchwright.plan import Observations, build
from batchwright.taskservs.catalogue import load_catalogue
from batchwright.testing.plans import empty_world, plan_of, servers, taskservs, workflow


def entry(name: str, **rest: object) -> Taskserv:
    return msgspec.convert({"name": name, "version": "1", "summary": name, "seconds": 10, **rest}, Taskserv)


CATALOGUE = {
    each.name: each
    for each in (
        entry("containerd", provides=["runtime"], conflicts=["runtime"]),
        entry("kubernetes", requires=["containerd"]),
        entry("cilium", requires=["kubernetes"]),
        entry("apples", provides=["fruit"]),
        entry("pears", provides=["fruit"]),
        entry("salad", requires=["fruit"]),
        entry("gvisor", provides=["runtime"], conflicts=["runtime"]),
        entry("nginx", after=["fruit"]),
        entry("broken", requires=["nothing-has-this"]),
        entry("hen", after=["egg"]),
        entry("egg", after=["hen"]),
        entry("agent", remove_before_destroy=True),
        entry("ape", requires=["zebra"]),
        entry("zebra"),
    )
}
MADE = servers("made", "web-01", "web-02")


def problems(flow: Workflow, catalogue: Mapping[str, Taskserv] = CATALOGUE) -> list[Diagnostic]:
    built = build(flow, catalogue, empty_world(flow))
    assert built.plan is None
    return [one for one in built.diagnostics if one.severity is Severity.ERROR]


def only_problem(flow: Workflow, code: str) -> Diagnostic:
    (problem,) = problems(flow)
    assert problem.code == code
    assert problem.message
    return problem


def installs(plan: Plan) -> list[str]:
    return [step.id for step in plan.steps if step.server]


def test_the_example_makes_two_servers_and_three_services_on_each_in_the_catalogues_order() -> None:
    flow = workflow(MADE, taskservs("on", "kubernetes", "cilium", "containerd", after=["made"], provider="aws"))
    plan = plan_of(flow, CATALOGUE)
    assert len(plan.steps) == 8
    order = ["containerd", "kubernetes", "cilium"]
    assert installs(plan) == [f"on/{server}/{name}" for server in ("web-01", "web-02") for name in order]
    assert plan.warnings == ()
    chain = [step for step in plan.steps if step.server == "made/web-02"]
    assert [step.needs for step in chain] == [
        (),
        (Need("on/web-02/containerd"),),
        (Need("on/web-02/kubernetes"),),
    ]
    assert {step.provider for step in chain} == {"aws"}
    assert [op.lane for op in plan.operations] == ["upcloud", "taskservs"]


def test_services_that_do_not_require_each_other_still_go_one_after_the_other_on_a_server() -> None:
    plan = plan_of(workflow(MADE, taskservs("on", "pears", "apples", "nginx", after=["made"])), CATALOGUE)
    chain = [step for step in plan.steps if step.server == "made/web-01"]
    assert [step.request.name for step in chain] == ["apples", "pears", "nginx"]
    soft = DependencyKind.SOFT
    assert [step.needs for step in chain] == [
        (),
        (Need("on/web-01/apples", soft),),
        (Need("on/web-01/pears", soft),),
    ]


def test_what_is_required_and_has_one_provider_is_added_and_said() -> None:
    plan = plan_of(workflow(MADE, taskservs("on", "cilium", after=["made"])), CATALOGUE)
    assert len(installs(plan)) == 6
    assert [one.code for one in plan.warnings] == ["taskserv-added", "taskserv-added"]
    assert plan.warnings[0].message == '"kubernetes" is added, because "cilium" requires it, on web-01 and web-02'
    assert all(one.severity is Severity.WARNING and one.where == "on" for one in plan.warnings)


def test_what_an_earlier_operation_installed_is_not_added_again() -> None:
    first = taskservs("first", "containerd", after=["made"], targets=("web-01",))
    flow = workflow(MADE, first, taskservs("second", "kubernetes", after=["first", "made"]))
    plan = plan_of(flow, CATALOGUE)
    assert installs(plan) == [
        "first/web-01/containerd",
        "second/web-01/kubernetes",
        "second/web-02/containerd",
        "second/web-02/kubernetes",
    ]
    assert "on web-02" in plan.warnings[0].message


def test_what_an_earlier_operation_brought_along_is_not_added_again() -> None:
    first = taskservs("first", "kubernetes", after=["made"])
    plan = plan_of(workflow(MADE, first, taskservs("second", "cilium", after=["first"])), CATALOGUE)
    assert [step.request.name for step in plan.steps if step.server == "made/web-01"] == [
        "containerd",
        "kubernetes",
        "cilium",
    ]
    assert len(plan.warnings) == 1


def test_names_decide_where_nothing_else_does() -> None:
    plan = plan_of(workflow(MADE, taskservs("on", "zebra", "ape", "pears", after=["made"])), CATALOGUE)
    assert installs(plan)[:3] == ["on/web-01/pears", "on/web-01/zebra", "on/web-01/ape"]


def test_a_choice_of_providers_is_left_to_the_user() -> None:
    problem = only_problem(workflow(MADE, taskservs("on", "salad", after=["made"])), "requirement-choice")
    assert "apples and pears provide" in problem.message
    plan = plan_of(workflow(MADE, taskservs("on", "salad", "pears", after=["made"])), CATALOGUE)
    assert installs(plan)[:2] == ["on/web-01/pears", "on/web-01/salad"]


def test_a_requirement_met_elsewhere_without_a_dependency_is_refused_with_the_remedy() -> None:
    flow = workflow(
        MADE, taskservs("runtime", "containerd", after=["made"]), taskservs("cluster", "kubernetes", after=["made"])
    )
    problem = only_problem(flow, "requirement-unordered")
    assert problem.hint == 'Add "runtime" to the dependencies of "cluster".'


def test_a_requirement_met_over_a_soft_dependency_is_warned_about() -> None:
    runtime = taskservs("runtime", "containerd", after=["made"])
    soft = taskservs("cluster", "kubernetes", after=["made"], soft=["runtime"])
    plan = plan_of(workflow(MADE, runtime, soft), CATALOGUE)
    assert [one.code for one in plan.warnings] == ["requirement-soft"]
    between = taskservs("between", "apples", after=["runtime"])
    hard = taskservs("cluster", "kubernetes", after=["between"])
    assert plan_of(workflow(MADE, runtime, between, hard), CATALOGUE).warnings == ()
    soft = taskservs("cluster", "kubernetes", soft=["between"])
    plan = plan_of(workflow(MADE, runtime, between, soft), CATALOGUE)
    assert [one.code for one in plan.warnings] == ["requirement-soft"]


def test_what_nothing_provides_and_what_is_not_known_are_refused() -> None:
    only_problem(workflow(MADE, taskservs("on", "broken", after=["made"])), "requirement-unknown")
    problem = only_problem(workflow(MADE, taskservs("on", "kubernets", after=["made"])), "taskserv-unknown")
    assert problem.hint == 'Did you mean "kubernetes"?'


def test_conflicts_are_refused_within_and_across_operations() -> None:
    same = only_problem(workflow(MADE, taskservs("on", "gvisor", "containerd", after=["made"])), "taskserv-conflict")
    assert same.message == (
        '"gvisor" cannot be installed beside "containerd": both provide runtime, and only one can, on web-01 and web-02'
    )
    first = taskservs("first", "gvisor", after=["made"], targets=("web-02",))
    across = only_problem(workflow(MADE, first, taskservs("second", "containerd", after=["made"])), "taskserv-conflict")
    assert across.where == "second"
    assert '(of "first")' in across.message
    assert across.message.endswith("on web-02")


def test_the_same_service_in_two_operations_on_one_server_is_refused() -> None:
    first = taskservs("first", "apples", after=["made"], targets=("web-01",))
    problem = only_problem(workflow(MADE, first, taskservs("second", "apples", after=["made"])), "taskserv-twice")
    assert problem.message == '"apples" is requested a second time on web-01, first by "first"'


def test_an_order_that_goes_in_a_circle_is_refused() -> None:
    problem = only_problem(workflow(MADE, taskservs("on", "hen", "egg", after=["made"])), "taskserv-cycle")
    assert "egg" in problem.message
    assert "hen" in problem.message


def test_targets_are_all_servers_before_or_the_named_ones_in_the_plans_order() -> None:
    more = servers("more", "db-01", after=["made"])
    everything = plan_of(workflow(MADE, more, taskservs("on", "apples", after=["more"])), CATALOGUE)
    assert installs(everything) == [f"on/{name}/apples" for name in ("web-01", "web-02", "db-01")]
    named = taskservs("on", "apples", after=["more"], targets=("db-01", "web-02"))
    assert installs(plan_of(workflow(MADE, more, named), CATALOGUE)) == ["on/web-02/apples", "on/db-01/apples"]
    both = taskservs("on", "apples", after=["more"], targets=("web-02", "made"))
    assert installs(plan_of(workflow(MADE, more, both), CATALOGUE)) == ["on/web-01/apples", "on/web-02/apples"]


def test_a_target_has_to_come_from_what_the_operation_depends_on() -> None:
    for target in ("web-01", "made"):
        flow = workflow(MADE, servers("other", "db-01"), taskservs("on", "apples", after=["other"], targets=(target,)))
        problem = only_problem(flow, "target-not-depended-on")
        assert problem.hint == 'Add "made" to its dependencies.'


def test_a_target_without_servers_or_with_two_meanings_is_refused() -> None:
    first = taskservs("first", "apples", after=["made"])
    flow = workflow(MADE, first, taskservs("second", "pears", after=["first"], targets=("first",)))
    only_problem(flow, "target-no-servers")
    flow = workflow(servers("made", "made"), taskservs("on", "pears", after=["made"], targets=("made",)))
    only_problem(flow, "target-ambiguous")


def test_no_server_to_work_on_is_refused() -> None:
    only_problem(workflow(MADE, taskservs("on", "apples")), "no-targets")


def test_a_service_goes_with_its_server_only_if_the_plan_makes_that_server() -> None:
    flow = workflow(MADE, taskservs("on", "apples", "agent", after=["made"], targets=("web-01",)))
    assert [step.undo for step in plan_of(flow, CATALOGUE).steps[2:]] == [Undo.REMOVE, Undo.WITH_SERVER]
    assert [step.request.name for step in plan_of(flow, CATALOGUE).steps[2:]] == ["agent", "apples"]


@pytest.mark.parametrize(
    ("needs", "able", "words"),
    [
        (ServerRequirements(init=True), {"init": False}, "needs a service manager"),
        (ServerRequirements(privileged=True), {"privileged": False}, "needs to run containers"),
        (ServerRequirements(own_network=True), {"own_network": False}, "needs its own network"),
    ],
)
def test_needs_that_servers_cannot_meet_are_refused_in_words(
    needs: ServerRequirements, able: dict[str, bool], words: str
) -> None:
    flow = workflow(MADE, taskservs("on", "apples", after=["made"], provider="aws"))
    catalogue = {"apples": msgspec.structs.replace(CATALOGUE["apples"], needs=needs)}
    world = empty_world(flow)
    assert build(flow, catalogue, world).plan is not None
    weak = Observations({"upcloud": msgspec.structs.replace(world.providers["upcloud"], **able)})
    built = build(flow, catalogue, weak)
    assert built.plan is None
    (problem,) = built.diagnostics
    assert problem.code == "needs-unmet"
    assert words in problem.message
    assert '"apples" on web-01 and web-02' in problem.message


def test_memory_is_compared_where_the_provider_tells_it() -> None:
    flow = workflow(MADE, taskservs("on", "apples", after=["made"]))
    catalogue = {"apples": msgspec.structs.replace(CATALOGUE["apples"], needs=ServerRequirements(memory_mb=2048))}
    world = empty_world(flow).providers["upcloud"]
    small = msgspec.structs.replace(world.requests["web-01"], facts=ServerFacts(1024))
    large = msgspec.structs.replace(world.requests["web-02"], facts=ServerFacts(2048))
    seen = msgspec.structs.replace(world, requests={"web-01": small, "web-02": large})
    (problem,) = build(flow, catalogue, Observations({"upcloud": seen})).diagnostics
    assert problem.message == '"apples" on web-01 needs 2048 MB of memory, but plan "1xCPU-2GB" has 1024 MB'


VARIABLES = {
    "redis": entry(
        "redis",
        variables={"port": {"type": "port", "summary": "", "default": 6379}, "name": {"type": "string", "summary": ""}},
        variants={"local": {"variables": {"port": 7000}}},
    )
}


def redis(provider: str, **given: Scalar) -> Workflow:
    op = taskservs("on", after=["made"], provider=provider, targets=("web-01",))
    return workflow(MADE, msgspec.structs.replace(op, taskservs=(TaskservUse("redis", given),)))


def test_variables_are_given_else_of_the_variant_else_the_default() -> None:
    def request(flow: Workflow) -> tuple[str, object]:
        found = plan_of(flow, VARIABLES).steps[-1].request
        assert isinstance(found, TaskservRequest)
        return found.variant, found.variables["port"]

    assert request(redis("upcloud", name="x")) == ("default", 6379)
    assert request(redis("local", name="x")) == ("local", 7000)
    assert request(redis("local", name="x", port=1)) == ("local", 1)


def test_wrong_and_missing_variables_are_refused_together() -> None:
    found = problems(redis("upcloud", prot=1, port="6379"), VARIABLES)
    assert [one.code for one in found] == ["variable-unknown", "variable-invalid", "variable-missing"]
    assert {one.where for one in found} == {"on/redis"}
    assert found[0].hint == 'Did you mean "port"?'
    assert "a port from 1 to 65535" in found[1].message


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (VariableType.STRING, ["", "x"], [1, True]),
        (VariableType.INTEGER, [0, -3], [True, 1.5, "1"]),
        (VariableType.NUMBER, [1, 1.5], [True, "1"]),
        (VariableType.BOOLEAN, [True, False], [1, 0, "true"]),
        (VariableType.ENUM, ["a"], ["b", 1]),
        (VariableType.PORT, [1, 65535], [0, 65536, True, "80"]),
        (VariableType.CIDR, ["10.0.0.0/8", "fd00::/64"], ["10.0.0.1/8", "10.0.0.0", "x", 1]),
    ],
)
def test_each_type_takes_its_own_values_only(kind: VariableType, right: list[Scalar], wrong: list[Scalar]) -> None:
    variable = Variable(kind, "", values=("a",) if kind is VariableType.ENUM else ())
    assert [value for value in right if variable.wanted(value) is not None] == []
    assert [value for value in wrong if variable.wanted(value) is None] == []


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [(["a", "b"], ("a", "b"), None), (["a"], ("a", "b"), ("a", "a, b")), ([1], (True,), ("1", "true"))],
)
def test_a_list_is_compared_element_by_element(
    old: list[Scalar], new: tuple[Scalar, ...], shown: tuple[str, str] | None
) -> None:
    wanted = TaskservRequest("x", "1", "default", {"backends": new}, digest="d")
    before = {"version": "1", "variant": "default", "digest": "d", "variables": {"backends": old}}
    changes = install_changes(Resource("taskserv", "x", "web-1", request=before, whole=True), wanted, "")
    assert [(one.old, one.new) for one in changes] == ([shown] if shown else [])


def test_variants_only_change_defaults() -> None:
    one = Taskserv("x", "1", "", 1.0, variables=VARIABLES["redis"].variables, variants={"aws": Variant({"port": 1})})
    assert one.defaults("aws") == {"port": 1}
    assert one.defaults("other") == {"port": 6379}


def test_an_install_takes_what_the_catalogue_says_unless_it_is_simulated() -> None:
    flow = workflow(MADE, taskservs("on", "apples", after=["made"]))
    assert plan_of(flow, CATALOGUE).steps[-1].seconds == 10.0
    simulated = msgspec.structs.replace(empty_world(flow), install_seconds=0.5)
    assert plan_of(flow, CATALOGUE, simulated).steps[-1].seconds == 0.5
    assert plan_of(flow, CATALOGUE, simulated).hash() == plan_of(flow, CATALOGUE).hash()


def test_the_version_is_that_of_the_servers_release() -> None:
    entry = load_catalogue()["nginx"]
    versions = [entry.version_on(*system) for system in (("debian", "12"), ("debian", "13"), ("debian", ""), ("", ""))]
    assert versions == ["1.22", "1.26", "1.22", "1.22"]


@pytest.mark.parametrize(
    ("given", "names", "said"),
    [
        ("${operations.made.addresses}", ("a", "b"), "and ${operations.made.addresses} stands for 2 servers"),
        ("${operations.made.addresses}", ("a",), ""),
        ("${servers.a.address}", ("a", "b"), ""),
    ],
)
def test_one_value_is_not_the_addresses_of_several_servers(given: str, names: tuple[str, ...], said: str) -> None:
    catalogue = {"shop": entry("shop", variables={"bind": {"type": "address", "summary": "x"}})}
    use = replace(taskservs("app", after=["made"]), taskservs=(TaskservUse("shop", {"bind": given}),))
    flow = workflow(servers("made", *names), use)
    if not said:
        assert build(flow, catalogue, empty_world(flow)).plan is not None
        return
    (problem,) = problems(flow, catalogue)
    assert problem.code == "variable-invalid"
    assert problem.message.endswith(said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("${workflow.name}", ""),
        ("${workflow.version}", "must be a name, and ${workflow.version} is '1.0.0'"),
        ("x${servers.web-01.zone}", "must be a name, and x${servers.web-01.zone} is 'xde-fra1'"),
        ("${run.id}", ""),  # known in the run
    ],
)
def test_a_value_that_is_known_before_the_run_is_right_before_the_run(given: str, said: str) -> None:
    """What the file itself says is not found wrong on a server."""
    owner = Variable(VariableType.STRING, "x", pattern="[a-z]+", means="a name")
    catalogue = {"shop": entry("shop", variables={"owner": msgspec.to_builtins(owner)})}
    use = replace(taskservs("app", after=["made"]), taskservs=(TaskservUse("shop", {"owner": given}),))
    flow = workflow(MADE, use)
    if not said:
        assert build(flow, catalogue, empty_world(flow)).plan is not None
        return
    (problem,) = problems(flow, catalogue)
    assert (problem.code, problem.message) == ("variable-invalid", f'the variable "owner" of "shop" {said}')
