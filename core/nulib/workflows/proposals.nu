# Changes that somebody proposed, and that somebody else approves or refuses.

use runs.nu [moment]
use service.nu [call]

# What was proposed, by whom, what it would do, and who has decided.
@example "what waits for a decision" { batch proposals | where state == open | select hash by lines }
export def "batch proposals" []: any -> table {
    ignore
    (call get "/v1/proposals").items
        | each {|one| $one | update at {|one| moment $one.at } | update until {|one| moment $one.until } }
}

# Approve a proposal of somebody else, who can then carry it out. It cannot be changed afterwards.
@example "with a reason" { batch approve-proposal 6f0c --comment "for the sale" }
export def "batch approve-proposal" [
    hash: string        # the hash of the proposal, or its beginning
    --comment: string   # why, for everybody who looks
]: any -> record {
    ignore
    decide $hash approve $comment (metadata $hash).span
}

# Refuse a proposal of somebody else. It cannot be changed afterwards.
@example "with a reason" { batch refuse-proposal 6f0c --comment "not on a Friday" }
export def "batch refuse-proposal" [
    hash: string        # the hash of the proposal, or its beginning
    --comment: string   # why, for everybody who looks
]: any -> record {
    ignore
    decide $hash refuse $comment (metadata $hash).span
}

def decide [hash: string, verb: string, comment: any, span: any]: nothing -> record {
    if $hash !~ '^[0-9a-f]{1,16}$' {
        error make {msg: "that is not the hash of a proposal [usage]", label: {text: "this one", span: $span}, help: "See what is proposed: batch proposals"}
    }
    let query = (if $comment != null { [{key: comment, value: $comment}] } else { [] })
    let decided = (call post $"/v1/proposals/($hash)/($verb)" --query $query --span $span)
    $decided | update at (moment $decided.at) | update until (moment $decided.until)
}
