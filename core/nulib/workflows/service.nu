# The Batchwright service: one request and its answer, or an error that points at the user's word.

export const RUNS = "/v1/workflows/batch"
export const ENVIRONMENTS = "/v1/environments"
const RESERVED = [plan stats submit validate]  # what comes after RUNS and is no run
const NAME = '[A-Za-z0-9][A-Za-z0-9_.-]{0,62}'
const DEFAULT_URL = "http://127.0.0.1:9090"
const ADDRESS = '(?i)^https?://(\[[0-9a-f:.%]+\]|[^/?#@:\[\]]+)(:([0-9]{1,5})?)?(/[^?#]*)?$'
const PATIENCE = 30sec    # for one answer; a submitted Nickel file is evaluated within it
const ANSWER_TRIES = 30   # for one answer, where the one before was lost: whether it was heard is not known then
export const PAUSE = 1sec # between two of them
const GATEWAY = [502 503 504]  # what a proxy says when the service did not answer it
const NOT_HEARD = '(?i)refused|dns|resolve|lookup|uncategorized|certificate|tls|ssl'  # failures that leave no doubt
const WORDS_SHOWN = 200   # characters of an answer that is not the service's

const HEARD = {  # how a run is that heard each wish
    pause: [Paused]
    resume: [Running RollingBack]
    cancel: [Cancelled]
    rollback: [RollingBack RolledBack RollbackIncomplete]
    approve: []
    refuse: []
}

export def base [] {
    let named = (setting BATCHWRIGHT_URL)
    if $named == "" { return $DEFAULT_URL }
    let port = ($named | parse --regex $ADDRESS | get --optional 0.capture2 | default "" | default --empty "0" | into int)
    if $named !~ $ADDRESS or $port > 65535 {
        wrong-setting "BATCHWRIGHT_URL is not the address of a service" "Write it as http://HOST:PORT."
    }
    $named | str trim --right --char "/"
}

export def headers [extra: record = {}] {
    let token = (setting BATCHWRIGHT_TOKEN)
    $extra | merge (if $token == "" { {} } else { {Authorization: $"Bearer ($token)"} })
}

# A setting without the blanks and newlines that files and shells put around it; its value is never shown.
def setting [name: string] {
    let value = ($env | get --optional $name | default "" | into string | str trim)
    if $value !~ '^[!-~]*$' {
        (wrong-setting $"($name) contains whitespace, a control character or a non-ASCII character"
            $"Set ($name) again: it is one word.")
    }
    $value
}

def wrong-setting [message: string, help: string] {
    error make --unspanned {msg: $"($message) [usage]", help: $help}
}

# A proxy is never asked for a service on this machine. (Nushell before 0.114 looks at its own environment only.)
export def direct [] {
    let known = ($env.NO_PROXY? | default ($env.no_proxy? | default ""))
    {NO_PROXY: ([$known "127.0.0.1" "localhost" "::1"] | where $it != "" | str join ",")}
}

# The path of a run. The environment of a name that cannot stand in a path is asked for its newest run.
export def run-path [id: string, span: any] {
    if not (is-name $id) {
        let message = $"no run's id starts with '($id)', and no environment has that name"
        refused {code: "run-not-found", message: $message, hint: "List the ids with: batch list"} $span
    }
    if "/" not-in $id and $id not-in $RESERVED { return $"($RUNS)/($id)" }
    let place = (environment-path $id $span)
    $"($RUNS)/((call get $place.path --query $place.query --span $span).run)"
}

# The path of an environment and, if the name says in which space it is, the query.
export def environment-path [name: string, span: any] {
    if not (is-name $name) {
        let hint = "List them with: batch environments"
        refused {code: "environment-not-found", message: $"there is no environment '($name)'", hint: $hint} $span
    }
    let parts = ($name | split row ":")
    let query = (if ($parts | length) > 1 { [{key: simulated, value: ($parts.0 == simulated)}] } else { [] })
    {path: $"($ENVIRONMENTS)/($parts | last)", query: $query}
}

def is-name [word: string] { $word =~ $"^\(\(real|simulated\):\)?($NAME)\(/($NAME)\)?$" }

# An error if `latest` is to destroy something and there are several environments.
export def refuse-latest [id: string, span: any] {
    if $id != "latest" { return }
    let known = (call get $ENVIRONMENTS --span $span).items
    if ($known | length) < 2 { return }
    let names = ($known | first 5 | each {|one| $"(if $one.simulated { 'simulated' } else { 'real' }):($one.name)" } | str join ", ")
    let more = (if ($known | length) > 5 { $" and (($known | length) - 5) more" } else { "" })
    refused {
        code: "latest-ambiguous"
        message: $"`latest` may be of any of ($known | length) environments: ($names)($more)"
        hint: "Give a run id or the name of an environment: batch environments lists both."
    } $span
}

# One request and its answer. What goes wrong points at `span`, the user's word, where there is one.
export def call [
    method: string
    path: string
    --query: list<any> = []
    --content: record
    --span: any
] {
    let answer = (ask $method $path $query $content)
    if $answer.problem != null { refused $answer.problem $span }
    $answer.body
}

# Ask for pause, resume, cancel or rollback.
#
# Asked again after a lost answer, it may be refused because it was heard the first time: the run shows it then.
export def act [id: string, verb: string, span: any, --query: list<any> = []] {
    let named = (run-path $id $span)
    # What `latest` or an environment's name means may change between two tries.
    let path = (if $id =~ '^[a-z2-7]{12}$' { $named } else { run-path (call get $named --span $span).run $span })
    let answer = (ask post $"($path)/($verb)" $query null)
    if $answer.problem == null { return $answer.body }
    if $answer.lost and $answer.problem.code in [not-allowed run-held] {
        let run = (call get $path --span $span)
        if $run.status in ($HEARD | get $verb) { return $run }
    }
    refused $answer.problem $span
}

# What is answered, as `body` or `problem`, and whether an answer before that one was lost.
#
# All is sent again after a lost answer, under the same key: whether it was heard is not known then. Only a service that
# was not there at all was surely asked nothing.
def ask [method: string, path: string, query: list<any>, content: any] {
    let words = ($query | each {|pair| $"($pair.key)=($pair.value | into string | url encode --all)" } | str join "&")
    let url = $"(base)($path)(if $words == '' { '' } else { $'?($words)' })"
    let body = ($content | default {type: "application/json", text: "{}"})
    let sent = (headers (if $method == "get" { {} } else { {Idempotency-Key: (random uuid)} }))
    mut lost = 0
    loop {
        let answer = with-env (direct) {
            if $method == "get" {
                look $url $sent
            } else {
                attempt {
                    (http post --raw --full --allow-errors --redirect-mode manual --max-time $PATIENCE --headers $sent
                        --content-type $body.type $url $body.text)
                }
            }
        }
        let told = (judged $answer)
        if $told.lost? == null { return {body: $told.body?, problem: $told.problem?, lost: ($lost > 0)} }
        let silent = ($method == "get" and $told.lost =~ '(?i)timed? ?out')  # a silent one is asked once for a look
        if $silent or ($lost == 0 and $told.lost =~ $NOT_HEARD) { unreachable $told.lost }
        $lost += 1
        if $lost >= $ANSWER_TRIES {
            if $method == "get" { unreachable $told.lost }
            error make --unspanned {
                msg: (fit ($"(base) did not answer ($lost) attempts; it may have carried out the request: "
                    + $"($told.lost) [service-unavailable]"))
                help: "Check before you try again: batch list"
            }
        }
        if $lost > 1 { sleep $PAUSE }
    }
}

# One look at an address, whatever the answer.
export def look [url: string, sent: record] {
    attempt {
        http get --raw --full --allow-errors --redirect-mode manual --max-time $PATIENCE --headers $sent $url
    }
}

# What an answer is: `body`, `problem`, or why it is `lost`. The service's own refusals have a code, a proxy's have none.
export def judged [answer: record] {
    if $answer.failure? != null { return {lost: $answer.failure} }
    let body = (try { $answer.body | from json } catch { null })
    let told = ($body | describe --detailed | get type) == "record"
    if $answer.status < 300 and $told { return {body: $body} }
    if $answer.status in $GATEWAY and not ($told and $body.code? != null) {
        return {lost: $"a proxy answered ($answer.status)"}
    }
    {problem: (problem $answer.status $answer.body)}
}

def attempt [request: closure] {
    try { do $request } catch {|error| {failure: (cause $error)} }
}

# What went wrong, in a few words; Nushell keeps them in another field since 0.114.
def cause [error: record] {
    let labels = ($error.details?.labels? | default (try { $error.json | from json | get labels } catch { [] }))
    [$error.msg ...($labels | get text)] | str join ": "
}

# An answer that says no, in the words of the service, or in those of whoever else it was.
export def problem [status: int, answer: any] {
    let body = (try { $answer | from json } catch { null })
    if ($body | describe --detailed | get type) == "record" and $body.code? != null {
        return {code: $body.code, message: ($body.detail? | default $body.title?), hint: $body.hint?,
            diagnostics: $body.diagnostics?}
    }
    {code: "service-unavailable",
        message: $"(base) answered ($status), but is not a Batchwright service(words $answer)",
        hint: $"It may be another program or a proxy; check its log.(proxy)"}
}

# What somebody else's answer says, without its markup, in a line.
def words [answer: any] {
    let text = (try { if ($answer | describe) == "binary" { $answer | decode utf-8 } else { $answer | into string } } catch { "" })
    let said = ($text | str substring --grapheme-clusters ..4095
        | str replace --all --regex '(?s)<(script|style).*?</\1>|<[^>]*>' ' '
        | str replace --all --regex '\s+' ' ' | str trim)
    if $said == "" { "" } else { $": ($said | str substring --grapheme-clusters ..<$WORDS_SHOWN)" }
}

# Text from outside as a terminal may show it: no sequence moves the cursor or changes a colour.
export def fit [text: string] {
    $text
    | str replace --all --regex '(?:\x1b\[|\x{9b})[0-?]*[ -/]*[@-~]' ''
    | str replace --all --regex '[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}&&[^\n\t]]' (char --unicode fffd)
}

export def refused [problem: record, span: any] {
    let found = ($problem.diagnostics? | default [] | where severity? != warning | each {|one| diagnostic $one })
    let message = (fit ([$"($problem.message) [($problem.code)]" ...$found] | str join "\n"))
    let hint = (fit (as-typed-here ($problem.hint? | default "")))
    let help = (if $hint == "" { {} } else { {help: $hint} })
    if $span == null {
        error make --unspanned ({msg: $message} | merge $help)
    }
    error make ({msg: $message, label: {text: "this one", span: $span}} | merge $help)
}

export def unreachable [failure: string] {
    let why = (if $failure =~ '(?i)refused' { "nothing listens there" } else { $failure })
    error make --unspanned {
        msg: (fit $"no service can be reached at (base): ($why) [service-unavailable]")
        help: $"Start one with: batchwright serve. Or set BATCHWRIGHT_URL to the address of one.(proxy)"
    }
}

# A proxy that Nushell may have asked, without the password that its address may hold.
def proxy [] {
    let set = ([$env.http_proxy? $env.HTTP_PROXY? $env.https_proxy? $env.HTTPS_PROXY? $env.all_proxy? $env.ALL_PROXY?]
        | compact --empty | get 0?)
    if $set == null { return "" }
    let shown = ($set | str replace --regex '[^/@]*@' '')
    $" A proxy is set \(($shown)); start nu without it for a service on this machine."
}

# Hints name commands of the shell; here they are called otherwise.
export def as-typed-here [text: string] {
    $text | str replace --all --regex 'batchwright (environments|list|runs|status|monitor|rollback|stats|submit|pause|resume|cancel|approvals|approve|refuse)\b' 'batch $1'
}

export def diagnostic [one: record] {
    let place = (if ($one.file? | default "") != "" { $"($one.file):($one.line):($one.column): " } else { "" })
    let word = (if $one.severity? == "warning" { "warning: " } else { "" })
    let hint = (if ($one.hint? | default "") != "" { $"\n    hint: ($one.hint)" } else { "" })
    fit $"($place)($word)($one.message) [($one.code)]($hint)"
}

# For completion.
export def environment-names [] {
    try {
        let url = $"(base)($ENVIRONMENTS)"
        with-env (direct) { http get --raw --max-time 2sec --headers (headers) $url } | from json | get items
        | each {|one| {value: $one.name, description: $"($one.run), ($one.status)"} }
    } catch {
        []
    }
}
