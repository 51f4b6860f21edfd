# Functions on the files of one install, whose folder is $home. What stood at a path before is in $home/before/KEY.

key() { printf '%s' "$1" | sha256sum | cut -c 1-64; }

look() { # PATH...: what is kept, how these files are, and which of them another install has
    [ ! -d "$home" ] || echo exists
    [ ! -e "$home/pending" ] || echo pending
    for one in "$home"/before/*; do
        [ ! -e "$one/path" ] || echo "kept $(cat "$one/path")"
    done
    for path; do
        key=$(key "$path")
        for one in "${home%/*}"/*/before/"$key"; do
            [ ! -e "$one/path" ] || [ "$one" = "$home/before/$key" ] || echo "taken $(basename "${one%/before/*}") $path"
        done
        if [ -f "$path" ] && [ ! -L "$path" ]; then
            echo "file $(sha256sum < "$path" | cut -c 1-64) $(stat -c '%a %U %G' "$path") $path"
        fi
    done
}

note() { # PATH: keep what stands there, once
    slot=$home/before/$(key "$1")
    [ ! -e "$slot" ] || return 0
    if [ -d "$1" ] && [ ! -L "$1" ]; then
        echo "$1 is a folder"
        return 1
    fi
    rm -rf "$slot.new"
    mkdir -p "$slot.new"
    printf '%s' "$1" > "$slot.new/path"
    if [ -e "$1" ] || [ -L "$1" ]; then
        cp -a --no-dereference -- "$1" "$slot.new/file"
    fi
    folder=$1
    while folder=$(dirname "$folder") && [ ! -d "$folder" ]; do
        printf '%s\n' "$folder" >> "$slot.new/folders"
    done
    mv "$slot.new" "$slot"
}

place() { # PATH MODE OWNER GROUP [pending]: what was sent as $home/new becomes the file, at once
    note "$1"
    [ -z "${5:-}" ] || : > "$home/pending"
    mkdir -p -- "$(dirname "$1")"
    fresh=$1.batchwright-new
    rm -f -- "$fresh"
    install -m 600 -o "$3" -g "$4" -- "$home/new" "$fresh"
    chmod "$2" -- "$fresh"
    mv -fT -- "$fresh" "$1"
    rm -f "$home/new"
}

put_back() { # PATH: what stood there before, or nothing
    slot=$home/before/$(key "$1")
    rm -f -- "$1.batchwright-new"
    if [ -e "$slot/file" ] || [ -L "$slot/file" ]; then
        rm -f -- "$1.batchwright-old"
        cp -a --no-dereference -- "$slot/file" "$1.batchwright-old"
        mv -fT -- "$1.batchwright-old" "$1"
    else
        rm -f -- "$1"
        [ ! -e "$slot/folders" ] || while read -r folder; do
            rmdir -- "$folder" 2> /dev/null || break
        done < "$slot/folders"
    fi
    rm -rf "$slot"
}
