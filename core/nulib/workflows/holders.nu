# Who holds what in a service: the leases of runs and environments, the lanes of accounts, and the audit trail.

use runs.nu [moment]
use service.nu [call]

# Who holds each run that has not ended, with its fence, and whose turn it is in which environment.
@example "what nobody drives" { batch leases | where state != held }
export def "batch leases" []: any -> table {
    ignore
    (call get "/v1/leases").items
    | each {|one| $one | update until {|one| moment $one.until } | update since {|one| moment $one.since } }
}

# How much of each account's limits is used: calls in flight, rates, what is throttled, and what waits.
@example "what is throttled" { batch lanes | where {|lane| $lane.rates | any {|one| $one.throttled_seconds > 0 } } }
export def "batch lanes" []: any -> table {
    ignore
    (call get "/v1/lanes").items
}

# Who asked for which change, and how it was answered: the audit trail, the newest line first. Needs the role admin.
@example "what was refused" { batch audit --limit 500 | where status >= 400 }
export def "batch audit" [
    --who: string       # only requests of this caller
    --run: string       # only about the run whose id begins so
    --find: string      # only lines that hold this text
    --limit: int = 100  # how many lines at most, up to 500
]: any -> table {
    ignore
    let query = [[key value]; [who $who] [run $run] [find $find] [limit $"($limit)"]] | where value != null
    (call get "/v1/audit" --query $query).items | each {|one| $one | update at {|one| moment $one.at } }
}
