# Webhooks: who was told what happens to runs.

use runs.nu [moment]
use service.nu [call]

# What each webhook was told about each run, those of the newest run first.
@example "what was not delivered" { batch webhooks | where state in [retrying failed] }
@example "about one run" { batch webhooks latest }
export def "batch webhooks" [
    id?: string  # a run's id, the beginning of one, `latest`, or an environment's name
]: any -> table {
    ignore
    let query = (if $id != null { [{key: run, value: $id}] } else { [] })
    let span = (if $id != null { (metadata $id).span })
    (call get "/v1/webhooks" --query $query --span $span).items | each {|one| row $one }
}

# Send messages of webhooks again, under their ids: receivers that have had one drop it.
@example "what was given up, of all runs" { batch resend-webhooks --failed }
@example "one message" { batch resend-webhooks izd4rsmwkzsh --event 12 }
export def "batch resend-webhooks" [
    id?: string    # a run's id, the beginning of one, `latest`, or an environment's name
    --event: int   # only the message about this event
    --failed (-f)  # the messages that were given up
]: any -> table {
    ignore
    let given = [
        [key value];
        [run $id]
        [event $event]
        [failed (if $failed { "true" })]
    ] | where value != null
    let span = (if $id != null { (metadata $id).span })
    (call post "/v1/webhooks/resend" --query $given --span $span).items | each {|one| row $one }
}

def row [one: record]: nothing -> record {
    $one | update next {|one| moment $one.next } | update answered {|one| moment $one.answered }
}
