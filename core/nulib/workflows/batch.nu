# Batch workflows, through the Batchwright service (`batchwright serve`).
#
#     use core/nulib/workflows/batch.nu *
#
# BATCHWRIGHT_URL names the service (default http://127.0.0.1:9090), BATCHWRIGHT_TOKEN the token where it wants one.
# Needs Nushell 0.107 or later. Rows are flat, so that they pipe: `batch list | where status == Running`.
#
# Every command begins with `ignore`: what a pipe or a closure hands it is not its own, and `metadata` would take it for
# what it is asked about.

export use approvals.nu *
export use proposals.nu *
export use environments.nu *
export use holders.nu *
export use webhooks.nu *
use runs.nu [listed seconds told watch]
use sending.nu [STATES definition files pairs query state-named]
use service.nu [RUNS act base call diagnostic direct environment-names fit headers refuse-latest run-path]

const UNDO_SHOWN = 12  # of what a rollback would do, before it asks

# The commands about batch workflows.
export def main []: any -> table {
    ignore
    scope commands | where name =~ '^batch ' | select name description | sort-by name
}

# Submit a workflow and start a run of it.
#
# The file is evaluated here by the `batchwright` command when that is installed, so imports, overlays and inputs work.
# Without it the text is sent as it is; then it may not import other files.
@example "submit the example with its clouds simulated" { batch submit workflows/example_batch.ncl --simulate }
@example "watch it to its end; the exit status tells how it went" { batch submit workflows/example_batch.ncl --watch }
@example "make the simulated calls fail now and then" { batch submit shop.ncl --sim transient=0.2 }
@example "merge an overlay and set an input" { batch submit shop.ncl --overlay prod.ncl --set [region=de-fra1] }
export def "batch submit" [
    file: path@workflow-files  # the workflow: .ncl, .json or .yaml
    --simulate                 # simulate every provider: nothing real is made
    --sim: any                 # settings of the simulation: key=value, a list of these, or a record; implies --simulate
    --set: any                 # inputs of the file, written as for --sim
    --overlay: any             # a file to merge over the workflow, or a list of files
    --retire                   # destroy what the workflow no longer asks for, last of all
    --reinstall: any           # task services, or servers for all on them, to install again; or "all"
    --watch (-w)               # watch the run to its end; fail if it does
]: any -> record {
    ignore
    let named = (metadata $file).span
    let settings = (pairs $sim "--sim" (metadata $sim).span)
    let inputs = (pairs $set "--set" (metadata $set).span)
    let body = (definition $file $named $inputs (files $overlay))
    let query = (query $simulate $settings $retire $reinstall)
    let run = (call post $"($RUNS)/submit" --query $query --content $body --span $named)
    if $watch {
        print --stderr $"run ($run.run)"
        watch $run.run $named --after "1"
    } else {
        told $run
    }
}

# What submitting a workflow would change, from what to what; nothing is changed.
#
# `values` are what references in the file stand for; null, with `when`, if that is known only in the run. `counts` has the number of servers, task services and commands by symbol: + created, ~ changed, ~? changed if a value has changed, -/+ replaced, - taken away, run, = kept.
@example "what would change" { batch plan shop.ncl | get changes }
@example "is there anything to do?" { (batch plan shop.ncl).changes | is-not-empty }
export def "batch plan" [
    file: path@workflow-files  # the workflow: .ncl, .json or .yaml
    --simulate                 # simulate every provider
    --sim: any                 # settings of the simulation: key=value, a list of these, or a record; implies --simulate
    --set: any                 # inputs of the file, written as for --sim
    --overlay: any             # a file to merge over the workflow, or a list of files
    --retire                   # destroy what the file no longer asks for, last of all
    --reinstall: any           # task services, or servers for all on them, to install again; or "all"
]: any -> record {
    ignore
    let named = (metadata $file).span
    let settings = (pairs $sim "--sim" (metadata $sim).span)
    let inputs = (pairs $set "--set" (metadata $set).span)
    let body = (definition $file $named $inputs (files $overlay))
    let query = (query $simulate $settings $retire $reinstall)
    let answer = (call post $"($RUNS)/plan" --query $query --content $body --span $named)
    for one in $answer.diagnostics { print --stderr (diagnostic $one) }
    {
        environment: $answer.plan.environment
        hash: $answer.plan.hash
        counts: $answer.plan.difference
        changes: (
            $answer.plan.steps
            | where {|step| $step.symbol not-in [null "="] }
            | select symbol name server provider about changes
        )
        values: ($answer.plan.values? | default [])
    }
}

# Watch a run live, to its end: what happens on the screen, how it ended as the result.
#
# It is an error if the run ended in any other way than Completed or RolledBack. Ctrl-C stops watching, not the run.
@example "watch the newest run" { batch monitor latest }
@example "go on only if it went well" { batch monitor latest; batch list }
export def "batch monitor" [
    id: string@run-ids  # a run's id, the beginning of one, `latest`, or an environment's name
]: any -> record {
    ignore
    let span = (metadata $id).span
    let run = (call get (run-path $id $span) --span $span)
    watch $run.run $span
}

# List runs, newest first.
@example "those that are on their way" { batch list --status Running }
@example "the same, by Nushell" { batch list | where status == Running }
@example "what failed today" { batch list --status failed --since 24hr }
export def "batch list" [
    --status (-s): string@states  # only these, in any case
    --name (-n): string           # only workflows with this in their name
    --environment (-e): string    # only runs of this environment
    --since: duration             # only runs created within this time
    --limit (-l): int = 50        # at most so many
]: any -> table {
    ignore
    let span = (if $status != null { (metadata $status).span } else if $environment != null { (metadata $environment).span })
    let given = [
        [key value];
        [status (if $status != null { state-named $status $span })]
        [name $name]
        [environment $environment]
        [since (if $since != null { $"($since / 1sec | math ceil)s" })]
    ] | where value != null
    list-runs $given $limit $span
}

def list-runs [given: table, limit: int, span: any] {
    mut rows = []
    mut cursor: any = null
    loop {
        let wanted = ([($limit - ($rows | length)) 200] | math min)
        if $wanted <= 0 { break }
        let query = $given | append {key: limit, value: $wanted}
            | append (if $cursor != null { [{key: cursor, value: $cursor}] } else { [] })
        let page = (call get $RUNS --query $query --span $span)
        $rows = $rows ++ ($page.items | each {|row| listed $row })
        $cursor = $page.next_cursor?
        if $cursor == null { break }
    }
    $rows
}

# List the runs of an environment, newest first.
@example "how each ended" { batch runs shop | select id status version }
export def "batch runs" [
    name: string@environment-names  # NAME or NAME/ENVIRONMENT, also after `real:` or `simulated:`
    --limit (-l): int = 50          # at most so many
]: any -> table {
    ignore
    let span = (metadata $name).span
    list-runs [{key: environment, value: $name}] $limit $span
}

# How a run is: what is done, what runs, what waits and why, what failed, what to do next.
@example "the newest run" { batch status latest }
@example "its operations as a table" { batch status latest | get operations }
@example "the addresses of its servers" { batch status latest | get servers | select name address }
export def "batch status" [
    id: string@run-ids  # a run's id, the beginning of one, `latest`, or an environment's name
]: any -> record {
    ignore
    let span = (metadata $id).span
    told (call get (run-path $id $span) --span $span)
}

# Undo in reverse order what a run made, and only that.
#
# On a terminal it shows first what it would do, and asks.
@example "see what would be undone" { batch rollback latest --plan }
@example "undo it and watch" { batch rollback latest --watch }
export def "batch rollback" [
    id: string@run-ids  # a run's id, the beginning of one, `latest`, or an environment's name
    --plan (-p)         # show what would be undone, and do nothing
    --yes (-y)          # do not ask; without a terminal nobody is asked
    --watch (-w)        # watch the rollback to its end; fail if it does
]: [any -> record, any -> table] {
    ignore
    let span = (metadata $id).span
    if not $plan { refuse-latest $id $span }
    let path = (run-path $id $span)
    if $plan {
        return ((call get $"($path)/rollback" --span $span).undo | select step provider what ref note)
    }
    mut run = $id
    if not $yes and (is-terminal --stdin) {
        $run = (call get $path --span $span).run  # what is asked about is what is undone
        confirm $run (call get $"(run-path $run $span)/rollback" --span $span).undo
    }
    let undoing = (act $run rollback $span)
    if $watch { watch $undoing.run $span } else { told $undoing }
}

# Ask whether this is to be undone. It is an error if not, so that nothing that follows goes on.
def confirm [run: string, undo: list<any>] {
    print --stderr $"run ($run): a rollback would do this, in order:"
    for one in ($undo | first $UNDO_SHOWN) {
        let note = (if $one.note == "" { "" } else { $"  \(($one.note))" })
        print --stderr (fit $"  ($one.step)  ($one.provider): ($one.what) ($one.ref)($note)")
    }
    let more = ($undo | length) - $UNDO_SHOWN
    if $more > 0 { print --stderr $"  and ($more) more: batch rollback ($run) --plan" }
    print --stderr --no-newline "Undo this? [y/N] "
    let said = (input)
    if $said !~ '(?i)^\s*y(es)?\s*$' { error make --unspanned {msg: "nothing was changed: the rollback was not confirmed"} }
}

# Let a run start nothing new; what is in flight ends.
export def "batch pause" [
    id: string@run-ids  # a run's id, the beginning of one, `latest`, or an environment's name
]: any -> record {
    ignore
    let span = (metadata $id).span
    told (act $id pause $span)
}

# Let a run go on: a paused one, or what is not done of one that failed or was cancelled.
export def "batch resume" [
    id: string@run-ids           # a run's id, the beginning of one, `latest`, or an environment's name
    --redo: list<string> = []    # commands to run again, of which nobody knows how far they got
    --skip: list<string> = []    # commands to take as done, of which nobody knows how far they got
    --output: list<string> = []  # what skipped commands gave: KEY=VALUE, or OPERATION.KEY=VALUE if several are skipped
    --forget: list<string> = []  # lanes whose provider is gone for good: give up their calls of unknown outcome, no more
    --watch (-w)                 # watch the run to its end; fail if it does
]: any -> record {
    ignore
    let span = (metadata $id).span
    let query = ($redo | each {|step| {key: redo, value: $step} }) ++ ($skip | each {|step| {key: skip, value: $step} }) ++ ($forget | each {|lane| {key: forget, value: $lane} }) ++ ($output | each {|text| {key: output, value: $text} })
    let run = (act $id resume $span --query $query)
    if $watch { watch $run.run $span } else { told $run }
}

# End a run once what is in flight has ended; what it made stays until a rollback.
export def "batch cancel" [
    id: string@run-ids  # a run's id, the beginning of one, `latest`, or an environment's name
    --force (-f)        # do not wait for what is in flight
]: any -> record {
    ignore
    let query = (if $force { [{key: force, value: "true"}] } else { [] })
    let span = (metadata $id).span
    if $force { refuse-latest $id $span }
    told (act $id cancel $span --query $query)
}

# All runs in numbers: how they ended, how long they took, retries and throttling per provider.
@example "of the last day" { batch stats --since 24hr }
@example "per provider" { batch stats | get providers }
export def "batch stats" [
    --since: duration  # only runs created within this time
]: any -> record {
    ignore
    let query = (if $since != null { [{key: since, value: $"($since / 1sec | math ceil)s"}] } else { [] })
    let stats = (call get $"($RUNS)/stats" --query $query)
    {runs: $stats.runs}
    | merge $stats.by_status
    | merge {
        success_rate: $stats.success_rate?
        median: (seconds $stats.p50?)
        p95: (seconds $stats.p95?)
        ...($stats | select steps succeeded failed skipped undone retries throttles restarts)
        providers: $stats.providers
    }
}

# -- completions -------------------------------------------------------------------------------------------------------

def states [] { $STATES }

def run-ids [] {
    try {
        let url = $"(base)($RUNS)?limit=50"
        with-env (direct) { http get --raw --max-time 2sec --headers (headers) $url } | from json | get items
        | each {|row| {value: $row.run, description: $"($row.status), ($row.workflow) ($row.version)"} }
        | append {value: "latest", description: "the newest run"}
    } catch {
        []
    }
}

def workflow-files [context: string] {
    let word = ($context | split row " " | last | str replace --all --regex "[\"'`]" "")
    try {
        let folder = (if $word ends-with "/" { $word } else { $word | path dirname })
        ls --short-names (if $folder == "" { "." } else { $folder })
        | where type == dir or name =~ '\.(ncl|json|ya?ml)$'
        | each {|entry|
            let path = (if $folder in ["" "."] { $entry.name } else { $folder | path join $entry.name })
            if $entry.type == dir { $"($path)/" } else { $path }
        }
    } catch {
        []
    }
}
