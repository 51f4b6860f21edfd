# Runs as people and pipes see them, one by one, in a list, and live.

use service.nu [PAUSE as-typed-here base direct fit headers judged look problem refused run-path unreachable]

const ENDED_WELL = [Completed RolledBack]
const ENDED_BADLY = [Failed Cancelled RollbackIncomplete]
const STREAM = 10min      # for one live stream; it is taken up again where it ended
const TRIES = 120         # connections in a row that may fail before a monitor gives up
const EACH_STEP_MAX = 50  # steps of a run whose steps are told one by one

export def listed [row: record] {
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
        environment: ($row.environment? | default $row.workflow)
        store: $row.store
        simulated: $row.simulated
    }
}

# A run for people first: flat values, then the tables for pipes.
export def told [run: record] {
    {
        id: $run.run
        workflow: $"($run.workflow) ($run.version)"
        environment: ($run.environment? | default $run.workflow)
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

export def moment [at: number] {
    if $at > 0 { $at * 1_000_000_000 | into int | into datetime | date to-timezone local }
}

export def seconds [span: any] {
    if $span == null {
        null
    } else if $span < 10 {
        ($span * 10 | math round) * 100ms
    } else {
        ($span | math round) * 1sec
    }
}

# Follow the live stream of a run to its end and give how it ended; taken up where it broke, without gap or repeat.
export def watch [id: string, span: any, --after: string = ""] {
    let url = $"(base)(run-path $id $span)/progress"
    mut last = $after
    mut total = 0
    mut failures = 0
    mut over = false
    mut final = {}
    mut shown = ""
    mut trouble: any = null
    while not $over {
        let resume = (if $last == "" { {} } else { {Last-Event-ID: $last} })
        let sent = (headers ({Accept: "text/event-stream"} | merge $resume))
        mut kind = ""
        mut data = ""
        mut number = ""
        try {
            for line in (with-env (direct) {
                http get --raw --redirect-mode error --max-time $STREAM --headers $sent $url
            } | lines) {
                if $line =~ '^(event|data|id|):' { $failures = 0 }
                if $line == "" {
                    if $number != "" { $last = $number }
                    if $kind == "end" {
                        $over = true
                        $final = ($data | from json)
                    } else if $kind == "problem" {
                        $trouble = (problem 503 $data)
                    } else if $data != "" {
                        let message = ($data | from json)
                        if $kind == "event" {
                            let text = (event-line $message $total)
                            if $text != "" { print --stderr (fit $text) }
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
        if $trouble != null { refused $trouble $span }
        if not $over {
            $failures += 1
            if $failures > 1 {
                let why = (lost-because $url $span)
                if $failures == 2 { print --stderr (fit $"the connection to (base) is lost \(($why)); trying again") }
                if $failures > $TRIES { unreachable $"the connection was lost: ($why)" }
                sleep $PAUSE
            }
        }
    }
    ended $final $span
}

# Why a stream broke. It is looked at without one, as a stream that is refused does not tell in whose words.
#
# It is an error if it is refused: waiting does not help then.
def lost-because [url: string, span: any] {
    let told = (judged (with-env (direct) { look $url (headers) }))
    if $told.problem? != null { refused $told.problem $span }
    let why = ($told.lost? | default "the stream ended early")
    if $why =~ '(?i)refused' { "nothing listens there" } else { $why }
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
        msg: (fit ([$"run ($run.run) is ($run.status): (progress $run)" ...$causes] | str join "\n"))
        label: {text: "this one", span: $span}
        help: (fit (as-typed-here $run.next))
    }
}
