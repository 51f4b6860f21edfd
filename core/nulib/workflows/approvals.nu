# Questions of runs to people, and the answers.

use runs.nu [moment told]
use service.nu [act call]

# What runs ask people now, those of the newest run first.
@example "what is asked" { batch approvals | select run step question who until }
@example "by one run" { batch approvals latest }
export def "batch approvals" [
    id?: string  # a run's id, the beginning of one, `latest`, or an environment's name
]: any -> table {
    ignore
    let span = (if $id != null { (metadata $id).span })
    open-questions $id $span
        | each {|one| $one | update asked_at {|one| moment $one.asked_at } | update until {|one| moment $one.until } }
}

# Say yes to a question of a run. An answer cannot be changed.
@example "with a reason" { batch approve shop --comment "the canary is well" }
export def "batch approve" [
    id: string  # a run's id, the beginning of one, `latest`, or an environment's name
    step?: string       # the step that asks, if the run asks several questions
    --comment: string   # why, for everybody who looks at the run
]: any -> record {
    ignore
    answer $id $step $comment approve (metadata $id).span
}

# Say no to a question of a run: what is behind it does not run. The first no decides.
@example "with a reason" { batch refuse shop --comment "not on a Friday" }
export def "batch refuse" [
    id: string  # a run's id, the beginning of one, `latest`, or an environment's name
    step?: string       # the step that asks, if the run asks several questions
    --comment: string   # why, for everybody who looks at the run
]: any -> record {
    ignore
    answer $id $step $comment refuse (metadata $id).span
}

def open-questions [id: any, span: any]: nothing -> list<any> {
    let query = (if $id != null { [{key: run, value: $id}] } else { [] })
    (call get "/v1/approvals" --query $query --span $span).items
}

# Answer the question that is shown now: the service refuses it if another is asked by then.
def answer [id: string, step: any, comment: any, verb: string, span: any] {
    let asked = (open-questions $id $span | where {|one| $step == null or $one.step == $step or ($step in $one.step) })
    if ($asked | length) != 1 {
        let steps = ($asked | get step | str join ", ")
        let why = (if ($asked | is-empty) { "it asks nothing like that now [approval-late]" } else { $"it asks several questions: ($steps) [usage]" })
        error make {msg: $why, label: {text: "this run", span: $span}, help: "See what is asked: batch approvals"}
    }
    let one = ($asked | first)
    let query = [[key value]; [step $one.step] [hash $one.hash] [ask $one.ask]]
        | append (if $comment != null { [{key: comment, value: $comment}] } else { [] })
    told (act $one.run $verb $span --query $query)
}
