# The Batchwright service: one request and its answer, or an error that points at the user's word.

export const RUNS = "/v1/workflows/batch"
const DEFAULT_URL = "http://127.0.0.1:9090"
const PATIENCE = 30sec    # for one answer; a submitted Nickel file is evaluated within it

export def base [] {
    let named = ($env.BATCHWRIGHT_URL? | default "")
    if $named == "" { $DEFAULT_URL } else { $named | str trim --right --char "/" }
}

export def headers [extra: record = {}] {
    let token = ($env.BATCHWRIGHT_TOKEN? | default "")
    $extra | merge (if $token == "" { {} } else { {Authorization: $"Bearer ($token)"} })
}

# A proxy is never asked for a service on this machine. (Nushell before 0.114 looks at its own environment only.)
export def direct [] {
    let known = ($env.NO_PROXY? | default ($env.no_proxy? | default ""))
    {NO_PROXY: ([$known "127.0.0.1" "localhost" "::1"] | where $it != "" | str join ",")}
}

export def run-path [id: string, span: any] {
    if $id !~ '^([a-z2-7]{1,12}|latest)$' {
        refused {code: "run-not-found", message: $"no run's id starts with '($id)'", hint: "See the ids with: batch list"} $span
    }
    $"($RUNS)/($id)"
}

# One request and its answer. What goes wrong points at `span`, the user's word, where there is one.
export def call [
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
export def problem [status: int, body: any] {
    if ($body | describe --detailed | get type) == "record" and $body.code? != null {
        return {code: $body.code, message: ($body.detail? | default $body.title?), hint: $body.hint?,
            diagnostics: $body.diagnostics?}
    }
    {code: "service-unavailable", message: $"what answers at (base) is no Batchwright service: HTTP status ($status)",
        hint: "Set BATCHWRIGHT_URL to the address of one."}
}

export def refused [problem: record, span: any] {
    let found = ($problem.diagnostics? | default [] | where severity? != warning | each {|one| diagnostic $one })
    let message = ([$"($problem.message) [($problem.code)]" ...$found] | str join "\n")
    let hint = (as-typed-here ($problem.hint? | default ""))
    let help = (if $hint == "" { {} } else { {help: $hint} })
    if $span == null {
        error make --unspanned ({msg: $message} | merge $help)
    }
    error make ({msg: $message, label: {text: "this one", span: $span}} | merge $help)
}

export def unreachable [failure: string] {
    let proxy = ([$env.http_proxy? $env.HTTP_PROXY? $env.all_proxy? $env.ALL_PROXY?] | compact --empty | get 0?)
    let why = (if $failure =~ '(?i)refused' { "nothing listens there" } else { $failure })
    let asked = (if $proxy == null { "" } else { $" A proxy is set \(($proxy)); start nu without it for a service on this machine." })
    error make --unspanned {
        msg: $"no service can be reached at (base): ($why) [service-unavailable]"
        help: $"Start one with: batchwright serve. Or set BATCHWRIGHT_URL to the address of one.($asked)"
    }
}

# Hints name commands of the shell; here they are called otherwise.
export def as-typed-here [text: string] {
    $text | str replace --all --regex 'batchwright (list|status|monitor|rollback|stats|submit|pause|resume|cancel)\b' 'batch $1'
}

export def diagnostic [one: record] {
    let place = (if ($one.file? | default "") != "" { $"($one.file):($one.line):($one.column): " } else { "" })
    let word = (if $one.severity? == "warning" { "warning: " } else { "" })
    let hint = (if ($one.hint? | default "") != "" { $"\n    hint: ($one.hint)" } else { "" })
    $"($place)($word)($one.message) [($one.code)]($hint)"
}
