# Environments: what outlives the runs of a workflow.

use runs.nu [moment]
use service.nu [ENVIRONMENTS as-typed-here base call direct environment-path headers]

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

def environment-names [] {
    try {
        let url = $"(base)($ENVIRONMENTS)"
        with-env (direct) { http get --raw --max-time 2sec --headers (headers) $url } | from json | get items
        | each {|one| {value: $one.name, description: $"($one.run), ($one.status)"} }
    } catch {
        []
    }
}
