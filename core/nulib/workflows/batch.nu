# Batch workflows, through the Batchwright service (`batchwright serve`).
#
#     use core/nulib/workflows/batch.nu *
#
# BATCHWRIGHT_URL names the service (default http://127.0.0.1:9090), BATCHWRIGHT_TOKEN the token where it wants one.
# Needs Nushell 0.107 or later. Rows are flat, so that they pipe: `batch list | where status == Running`.

const DEFAULT_URL = "http://127.0.0.1:9090"
const RUNS = "/v1/workflows/batch"
const STATES = [Pending Running Paused Completed Failed Cancelled RollingBack RolledBack RollbackIncomplete]
const ENDED_WELL = [Completed RolledBack]
const ENDED_BADLY = [Failed Cancelled RollbackIncomplete]
const PATIENCE = 30sec    # for one answer; a submitted Nickel file is evaluated within it
const STREAM = 10min      # for one live stream; it is taken up again where it ended
const TRIES = 30          # connections in a row that may fail before a monitor gives up
const EACH_STEP_MAX = 50  # steps of a run whose steps are told one by one

# The commands about batch workflows.
export def main []: nothing -> table {
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
    --watch (-w)               # watch the run to its end; fail if it does
]: nothing -> record {
    let named = (metadata $file).span
    let settings = (pairs $sim "--sim" (metadata $sim).span)
    let inputs = (pairs $set "--set" (metadata $set).span)
    let body = (definition $file $named $inputs (files $overlay))
    let query = ($settings | each {|pair| {key: sim, value: $pair} })
        | append (if ($simulate or ($settings | is-not-empty)) { [{key: simulate, value: "true"}] } else { [] })
    let run = (call post $"($RUNS)/submit" --query $query --content $body --span $named)
    if $watch {
        print --stderr $"run ($run.run)"
        watch $run.run $named --after "1"
    } else {
        told $run
    }
}

# Watch a run live, to its end: what happens on the screen, how it ended as the result.
#
# It is an error if the run ended in any other way than Completed or RolledBack. Ctrl-C stops watching, not the run.
@example "watch the newest run" { batch monitor latest }
@example "go on only if it went well" { batch monitor latest; batch list }
export def "batch monitor" [
    id: string@run-ids  # a run's id, the beginning of one, or `latest`
]: nothing -> record {
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
    --since: duration             # only runs created within this time
    --limit (-l): int = 50        # at most so many
]: nothing -> table {
    let span = (if $status != null { (metadata $status).span })
    let given = [
        [key value];
        [status (if $status != null { state-named $status $span })]
        [name $name]
        [since (if $since != null { $"($since / 1sec | math ceil)s" })]
    ] | where value != null
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

# How a run is: what is done, what runs, what waits and why, what failed, what to do next.
@example "the newest run" { batch status latest }
@example "its operations as a table" { batch status latest | get operations }
@example "the addresses of its servers" { batch status latest | get servers | select name address }
export def "batch status" [
    id: string@run-ids  # a run's id, the beginning of one, or `latest`
]: nothing -> record {
    let span = (metadata $id).span
    told (call get (run-path $id $span) --span $span)
}

# Undo in reverse order what a run made, and only that.
@example "see what would be undone" { batch rollback latest --plan }
@example "undo it and watch" { batch rollback latest --watch }
export def "batch rollback" [
    id: string@run-ids  # a run's id, the beginning of one, or `latest`
    --plan (-p)         # show what would be undone, and do nothing
    --watch (-w)        # watch the rollback to its end; fail if it does
]: [nothing -> record, nothing -> table] {
    let span = (metadata $id).span
    let path = $"(run-path $id $span)/rollback"
    if $plan {
        let answer = (call get $path --span $span)
        return ($answer.undo | select step provider what ref note)
    }
    let run = (call post $path --span $span)
    if $watch { watch $run.run $span } else { told $run }
}

# Let a run start nothing new; what is in flight ends.
export def "batch pause" [
    id: string@run-ids  # a run's id, the beginning of one, or `latest`
]: nothing -> record {
    let span = (metadata $id).span
    told (call post $"(run-path $id $span)/pause" --span $span)
}

# Let a run go on: a paused one, or what is not done of one that failed or was cancelled.
export def "batch resume" [
    id: string@run-ids  # a run's id, the beginning of one, or `latest`
    --watch (-w)        # watch the run to its end; fail if it does
]: nothing -> record {
    let span = (metadata $id).span
    let run = (call post $"(run-path $id $span)/resume" --span $span)
    if $watch { watch $run.run $span } else { told $run }
}

# End a run once what is in flight has ended; what it made stays until a rollback.
export def "batch cancel" [
    id: string@run-ids  # a run's id, the beginning of one, or `latest`
    --force (-f)        # do not wait for what is in flight
]: nothing -> record {
    let query = (if $force { [{key: force, value: "true"}] } else { [] })
    let span = (metadata $id).span
    told (call post $"(run-path $id $span)/cancel" --query $query --span $span)
}

# All runs in numbers: how they ended, how long they took, retries and throttling per provider.
@example "of the last day" { batch stats --since 24hr }
@example "per provider" { batch stats | get providers }
export def "batch stats" [
    --since: duration  # only runs created within this time
]: nothing -> record {
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

# -- what the answers become -------------------------------------------------------------------------------------------

def listed [row: record] {
    let until = (if $row.ended_at > 0 { $row.ended_at } else { (date now | into int) / 1_000_000_000 })
    {
        id: $row.run
        workflow: $row.workflow
        status: $row.status
        done: (if ($row.status starts-with Roll) { $row.undone } else { $row.succeeded })
        steps: $row.steps
        failed: $row.failed
        took: (if $row.started_at > 0 { seconds ($until - $row.started_at) })
        created: (moment $row.created_at)
        version: $row.version
        store: $row.store
        simulated: $row.simulated
    }
}

# A run for people first: flat values, then the tables for pipes.
def told [run: record] {
    {
        id: $run.run
        workflow: $"($run.workflow) ($run.version)"
        status: $run.status
        progress: (progress $run)
        elapsed: (seconds $run.elapsed)
        left: (seconds $run.eta?)
        now: ($run.operations | each {|op| $"($op.id): ($op.state), ($op.done) of ($op.total)" } | str join "\n")
        trouble: ($run.failed | each {|step| $"($step.step): ($step.message)" } | append $run.residue | str join "\n")
        next: (as-typed-here $run.next)
        operations: ($run.operations | select id type provider state done total)
        running: ($run.running | select step doing attempt)
        waiting: $run.waiting
        failed: ($run.failed | select step kind message hint)
        servers: ($run.servers | select name address provider zone plan ref)
    }
}

def progress [run: record] {
    let done = (if ($run.status starts-with Roll) { "undone" } else { "done" })
    let facts = [
        [number word];
        [($run.counts.failed? | default 0) failed]
        [($run.counts.skipped? | default 0) skipped]
        [$run.retries retried]
        [$run.throttles throttled]
    ] | where number > 0 | each {|fact| $", ($fact.number) ($fact.word)" } | str join
    $"($run.done) of ($run.total) steps ($done)($facts)"
}

def moment [at: number] {
    if $at > 0 { $at * 1_000_000_000 | into int | into datetime | date to-timezone local }
}

def seconds [span: any] {
    if $span == null {
        null
    } else if $span < 10 {
        ($span * 10 | math round) * 100ms
    } else {
        ($span | math round) * 1sec
    }
}

# Hints name commands of the shell; here they are called otherwise.
def as-typed-here [text: string] {
    $text | str replace --all --regex 'batchwright (list|status|monitor|rollback|stats|submit|pause|resume|cancel)\b' 'batch $1'
}

# -- what is sent ------------------------------------------------------------------------------------------------------

# The state a user names in any case.
def state-named [word: string, span: record] {
    let length = ($word | str length)
    let found = ($STATES | where ($it | str length) == $length and ($it | str contains --ignore-case $word))
    if ($found | is-empty) {
        error make {
            msg: $"there is no status ($word)"
            label: {text: "this one", span: $span}
            help: $"The states are: ($STATES | str join ', ')."
        }
    }
    $found | first
}

# `key=value` texts from one text, a list of them, or a record.
def pairs [given: any, option: string, span: record] {
    let texts = match ($given | describe --detailed | get type) {
        "nothing" => []
        "record" => ($given | transpose key value | each {|pair| $"($pair.key)=($pair.value)" })
        "list" => ($given | each { into string })
        _ => [($given | into string)]
    }
    for text in $texts {
        if $text !~ '^[^=]+=' {
            error make {
                msg: $"($option) ($text): a key, = and a value are expected"
                label: {text: "this one", span: $span}
                help: $"Write ($option) key=value, ($option) [a=1 b=2] or ($option) {a: 1}."
            }
        }
    }
    $texts
}

def files [given: any] {
    if $given == null { [] } else { [$given] | flatten | each {|file| $file | path expand } }
}

# The workflow as it is sent: evaluated here where that is possible, else its text.
def definition [file: path, span: record, inputs: list<string>, overlays: list<string>] {
    let path = ($file | path expand)
    if ($path | path type) != "file" {
        error make {msg: $"there is no file ($file)", label: {text: "this one", span: $span}}
    }
    if (which batchwright | is-not-empty) {
        return {type: "application/json", text: (evaluated $file $span $inputs $overlays)}
    }
    if ($inputs | is-not-empty) or ($overlays | is-not-empty) {
        needs-command "--set and --overlay are" $span
    }
    let text = (open --raw $path | decode utf-8)
    match ($path | path parse | get extension) {
        "json" => {type: "application/json", text: $text}
        "yaml" | "yml" => {type: "application/yaml", text: $text}
        "ncl" => {
            if $text =~ '(?m)^[^#\n]*\bimport\s+(m?%*)"' { needs-command "a file that imports others is" $span }
            {type: "text/x-nickel", text: $text}
        }
        _ => (error make {
            msg: $"the format of ($file) is not known"
            label: {text: "this one", span: $span}
            help: "Name it *.ncl, *.json or *.yaml."
        })
    }
}

def needs-command [what: string, span: record] {
    error make {
        msg: $"($what) evaluated on this machine, and the `batchwright` command is not there"
        label: {text: "this one", span: $span}
        help: "Install it (pip install batchwright) or put it on the PATH; a file without imports can be sent as it is."
    }
}

def evaluated [file: path, span: record, inputs: list<string>, overlays: list<string>] {
    let options = ($inputs | each {|pair| [--set $pair] } | flatten)
        | append ($overlays | each {|overlay| [--overlay $overlay] } | flatten)
    let done = (^batchwright validate $file --json ...$options | complete)
    let answer = (try { $done.stdout | from json } catch { null })
    if ($answer.error? != null) { refused $answer.error $span }
    if ($answer.ok? == null) {
        error make {
            msg: $"the `batchwright` command could not evaluate ($file)"
            label: {text: "this one", span: $span}
            help: ($done.stderr | str trim)
        }
    }
    if not $answer.ok {
        refused {code: "workflow-invalid", message: $"($file) is not valid", diagnostics: $answer.diagnostics} $span
    }
    for one in $answer.diagnostics { print --stderr (diagnostic $one) }
    {batch_workflow: $answer.workflow} | to json --raw
}

def diagnostic [one: record] {
    let place = (if ($one.file? | default "") != "" { $"($one.file):($one.line):($one.column): " } else { "" })
    let word = (if $one.severity? == "warning" { "warning: " } else { "" })
    let hint = (if ($one.hint? | default "") != "" { $"\n    hint: ($one.hint)" } else { "" })
    $"($place)($word)($one.message) [($one.code)]($hint)"
}

# -- the service -------------------------------------------------------------------------------------------------------

def base [] {
    let named = ($env.BATCHWRIGHT_URL? | default "")
    if $named == "" { $DEFAULT_URL } else { $named | str trim --right --char "/" }
}

def headers [extra: record = {}] {
    let token = ($env.BATCHWRIGHT_TOKEN? | default "")
    $extra | merge (if $token == "" { {} } else { {Authorization: $"Bearer ($token)"} })
}

# A proxy is never asked for a service on this machine. (Nushell before 0.114 looks at its own environment only.)
def direct [] {
    let known = ($env.NO_PROXY? | default ($env.no_proxy? | default ""))
    {NO_PROXY: ([$known "127.0.0.1" "localhost" "::1"] | where $it != "" | str join ",")}
}

def run-path [id: string, span: any] {
    if $id !~ '^([a-z2-7]{1,12}|latest)$' {
        refused {code: "run-not-found", message: $"no run's id starts with '($id)'", hint: "See the ids with: batch list"} $span
    }
    $"($RUNS)/($id)"
}

# One request and its answer. What goes wrong points at `span`, the user's word, where there is one.
def call [
    method: string
    path: string
    --query: list<any> = []
    --content: record
    --span: any
] {
    let words = ($query | each {|pair| $"($pair.key)=($pair.value | into string | url encode --all)" } | str join "&")
    let url = $"(base)($path)(if $words == '' { '' } else { $'?($words)' })"
    let answer = with-env (direct) {
        match $method {
            "get" => (attempt {
                http get --raw --full --allow-errors --max-time $PATIENCE --headers (headers) $url
            })
            _ => {
                let body = ($content | default {type: "application/json", text: "{}"})
                let sent = (headers {Idempotency-Key: (random uuid)})  # so that trying again cannot start a second run
                let post = {||
                    attempt {
                        (http post --raw --full --allow-errors --max-time $PATIENCE --headers $sent
                            --content-type $body.type $url $body.text)
                    }
                }
                let first = (do $post)
                let again = ($content != null and $first.failure? != null and $first.failure !~ '(?i)refused')
                if $again { do $post } else { $first }
            }
        }
    }
    if $answer.failure? != null { unreachable $answer.failure }
    let body = (try { $answer.body | from json } catch { null })
    if $answer.status >= 400 or ($body | describe --detailed | get type) != "record" {
        refused (problem $answer.status $body) $span
    }
    $body
}

def attempt [request: closure] {
    try { do $request } catch {|error| {failure: (cause $error)} }
}

# What went wrong, in a few words; Nushell keeps them in another field since 0.114.
def cause [error: record] {
    let labels = ($error.details?.labels? | default (try { $error.json | from json | get labels } catch { [] }))
    [$error.msg ...($labels | get text)] | str join ": "
}

# An answer that says no, in the words of the service.
def problem [status: int, body: any] {
    if ($body | describe --detailed | get type) == "record" and $body.code? != null {
        return {code: $body.code, message: ($body.detail? | default $body.title?), hint: $body.hint?,
            diagnostics: $body.diagnostics?}
    }
    {code: "service-unavailable", message: $"what answers at (base) is no Batchwright service: HTTP status ($status)",
        hint: "Set BATCHWRIGHT_URL to the address of one."}
}

def refused [problem: record, span: any] {
    let found = ($problem.diagnostics? | default [] | where severity? != warning | each {|one| diagnostic $one })
    let message = ([$"($problem.message) [($problem.code)]" ...$found] | str join "\n")
    let hint = (as-typed-here ($problem.hint? | default ""))
    let help = (if $hint == "" { {} } else { {help: $hint} })
    if $span == null {
        error make --unspanned ({msg: $message} | merge $help)
    }
    error make ({msg: $message, label: {text: "this one", span: $span}} | merge $help)
}

def unreachable [failure: string] {
    let proxy = ([$env.http_proxy? $env.HTTP_PROXY? $env.all_proxy? $env.ALL_PROXY?] | compact --empty | get 0?)
    let why = (if $failure =~ '(?i)refused' { "nothing listens there" } else { $failure })
    let asked = (if $proxy == null { "" } else { $" A proxy is set \(($proxy)); start nu without it for a service on this machine." })
    error make --unspanned {
        msg: $"no service can be reached at (base): ($why) [service-unavailable]"
        help: $"Start one with: batchwright serve. Or set BATCHWRIGHT_URL to the address of one.($asked)"
    }
}

# -- watching ----------------------------------------------------------------------------------------------------------

# Follow the live stream of a run to its end and give how it ended; taken up where it broke, without gap or repeat.
def watch [id: string, span: any, --after: string = ""] {
    let url = $"(base)(run-path $id $span)/progress"
    mut last = $after
    mut total = 0
    mut failures = 0
    mut over = false
    mut shown = ""
    while not $over {
        let resume = (if $last == "" { {} } else { {Last-Event-ID: $last} })
        let sent = (headers ({Accept: "text/event-stream"} | merge $resume))
        mut kind = ""
        mut data = ""
        mut number = ""
        try {
            for line in (with-env (direct) { http get --raw --max-time $STREAM --headers $sent $url } | lines) {
                $failures = 0
                if $line == "" {
                    if $number != "" { $last = $number }
                    if $kind == "end" {
                        $over = true
                    } else if $kind == "problem" {
                        print --stderr (problem 500 ($data | from json)).message
                    } else if $data != "" {
                        let message = ($data | from json)
                        if $kind == "event" {
                            let text = (event-line $message $total)
                            if $text != "" { print --stderr $text }
                        } else if $kind in [snapshot progress] {
                            $total = $message.total
                            let text = (if $kind == "snapshot" or $total > $EACH_STEP_MAX { $"($message.status): (progress $message)" })
                            if $text != null and $text != $shown {
                                $shown = $text
                                print --stderr $text
                            }
                        }
                    }
                    $kind = ""
                    $data = ""
                    $number = ""
                } else if ($line starts-with "event:") {
                    $kind = ($line | str substring 6.. | str trim)
                } else if ($line starts-with "data:") {
                    $data = $data + ($line | str substring 5.. | str trim)
                } else if ($line starts-with "id:") {
                    $number = ($line | str substring 3.. | str trim)
                }
            }
        }
        if not $over {
            $failures += 1
            if $failures == 2 { print --stderr $"the connection to (base) is lost; trying again" }
            if $failures > $TRIES { unreachable "the connection was lost and could not be made again" }
            sleep (if $failures == 1 { 100ms } else { 1sec })
        }
    }
    ended (call get (run-path $id $span) --span $span) $span
}

# One line for what happened; of a big run only what is not one of its many steps.
def event-line [message: record, total: int] {
    let line = ($message.line? | default $message.type?)
    if $total > $EACH_STEP_MAX and $message.step? != null and $message.type? !~ 'failed' { "" } else { $line }
}

def ended [run: record, span: any] {
    let well = ($run.status in $ENDED_WELL) and (($run.rolled_back_by? | default "") != "on_failure")
    if $well or ($run.status not-in $ENDED_BADLY and $run.status not-in $ENDED_WELL) { return (told $run) }
    let causes = ($run.failed | first 5 | each {|step| $"($step.step): ($step.message)" }) ++ ($run.residue | first 5)
    error make {
        msg: ([$"run ($run.run) is ($run.status): (progress $run)" ...$causes] | str join "\n")
        label: {text: "this one", span: $span}
        help: (as-typed-here $run.next)
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
