# Environments: what outlives the runs of a workflow.

use runs.nu [moment told watch]
use service.nu [ENVIRONMENTS as-typed-here call environment-names environment-path]

# List environments: what each has, which run is changing it now, and its newest run.
@example "those that a run is changing now" { batch environments | where changing }
@example "the newest run of each" { batch environments | select name run status }
export def "batch environments" []: any -> table {
    ignore
    (call get $ENVIRONMENTS).items | each {|one| summary $one }
}

# An environment: its servers, what is on them, and which run made and last changed each.
@example "its servers as a table" { batch environment shop | get servers | select name address made_by }
@example "the task services on them" { batch environment shop/staging | get taskservs }
@example "the runs that can be rolled back, the next one first" { batch environment shop | get rollbacks.run }
export def "batch environment" [
    name: string@environment-names  # NAME or NAME/ENVIRONMENT, also after `real:` or `simulated:`
]: any -> record {
    ignore
    let span = (metadata $name).span
    let place = (environment-path $name $span)
    let one = (call get $place.path --query $place.query --span $span)
    summary $one
    | merge {
        servers: ($one.resources | reject taskservs)
        taskservs: ($one.resources | each {|server| $server.taskservs | insert server $server.name } | flatten)
        commands: $one.commands
        rollbacks: ($one.rollbacks | each {|run| $run | update ended_at {|run| moment $run.ended_at } })
    }
}

# What an environment has, compared now with what its runs asked for: one row for each server and task service.
@example "what is not as it should be" { batch drift shop | where state != same }
export def "batch drift" [
    name: string@environment-names  # NAME or NAME/ENVIRONMENT, also after `real:` or `simulated:`
]: any -> table {
    ignore
    let span = (metadata $name).span
    (call get "/v1/drift" --query [{key: environment, value: $name}] --span $span).items
}

# Destroy all that an environment has: its servers, and what its commands did and can undo, in reverse order.
@example "what would go" { batch destroy shop --plan | select does }
@example "without being asked, watched to its end" { batch destroy shop --yes --watch }
export def "batch destroy" [
    name: string@environment-names  # NAME or NAME/ENVIRONMENT, also after `real:` or `simulated:`
    --plan (-p)                     # show what would be destroyed, and do nothing
    --yes (-y)                      # do not ask; without a terminal nobody is asked
    --wait: duration = 0sec         # wait so long while another run is changing the environment
    --watch (-w)                    # watch the run to its end; fail if it does
]: [any -> record, any -> table] {
    ignore
    let span = (metadata $name).span
    let query = [{key: environment, value: $name} {key: wait, value: ($wait / 1sec | into string)}]
    let found = (call post $"($ENVIRONMENTS)/destroy/plan" --query $query --span $span).plan
    if $plan { return ($found.steps | select id provider does) }
    if not $yes and (is-terminal --stdin) { confirm-steps $name $found.steps }
    let query = ($query | append {key: plan_hash, value: $found.hash})
    let run = (call post $"($ENVIRONMENTS)/destroy" --query $query --span $span)
    if $watch { watch $run.run $span --after "1" } else { told $run }
}

# Ask whether this is to be destroyed. It is an error if not, so that nothing that follows goes on.
def confirm-steps [name: string, steps: list<any>] {
    print --stderr ($steps | get does | str join "\n")
    print --stderr --no-newline $"Destroy this of ($name)? [y/N] "
    let said = (input)
    if $said !~ '(?i)^\s*y(es)?\s*$' { error make --unspanned {msg: "nothing was changed: it was not confirmed"} }
}

def summary [one: record] {
    {
        name: $one.name
        simulated: $one.simulated
        servers: $one.servers
        taskservs: $one.taskservs
        run: $one.run
        status: $one.status
        since: (moment $one.since)
        changing: $one.changing
        driver: $one.driver
        unsettled: $one.unsettled
        next: (as-typed-here $one.next)
        store: $one.store
    }
}
