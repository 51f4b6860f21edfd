# What is sent to the Batchwright service: a workflow, settings, a state, from the words the user wrote.

use service.nu [diagnostic refused]

export const STATES = [Pending Running Paused Completed Failed Cancelled RollingBack RolledBack RollbackIncomplete]

# The state a user names in any case.
export def state-named [word: string, span: record] {
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
export def pairs [given: any, option: string, span: record] {
    let texts = match ($given | describe --detailed | get type) {
        "nothing" => []
        "record" => ($given | transpose key value | each {|pair| $"($pair.key)=($pair.value)" })
        "list" => ($given | each { into string })
        _ => [($given | into string)]
    }
    for text in $texts {
        if $text !~ '^[^=]+=' {
            error make {
                msg: $"($option) ($text): expected a key, = and a value"
                label: {text: "this one", span: $span}
                help: $"Write ($option) key=value, ($option) [a=1 b=2] or ($option) {a: 1}."
            }
        }
    }
    $texts
}

export def files [given: any] {
    if $given == null { [] } else { [$given] | flatten | each {|file| $file | path expand } }
}

# What is asked for beside the workflow itself.
export def query [simulate: bool, settings: list<string>, retire: bool, reinstall: any] {
    $settings | each {|pair| {key: sim, value: $pair} }
    | append (if ($simulate or ($settings | is-not-empty)) { [{key: simulate, value: "true"}] } else { [] })
    | append (if $retire { [{key: retire, value: "true"}] } else { [] })
    | append ([$reinstall] | flatten | compact | each {|name| {key: reinstall, value: $name} })
}

# The workflow as it is sent: evaluated here where that is possible, else its text.
export def definition [file: path, span: record, inputs: list<string>, overlays: list<string>] {
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
