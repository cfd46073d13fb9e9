#!/bin/sh
# embed.sh OUTPUT.swift FILE...: text files as a Swift array of DashboardFile.
set -eu
output=$1
shift

{
    echo "// Generated from Sources/Dashboard/Site; do not edit."
    echo "extension DashboardFile {"
    echo "    /// The files of Site/."
    echo "    public static let all: [DashboardFile] = ["
    for file in "$@"; do
        # What would end the literal, or be read as a part of it, is not in any file.
        if grep -qF -e '"""###' -e '\###' "$file"; then
            echo "$file: Swift cannot take this text as it is" >&2
            exit 1
        fi
        tag=$(sha256sum "$file" | cut -c1-32)
        printf 'DashboardFile(name: "%s", tag: "%s", text: ###"""\n' "$(basename "$file")" "$tag"
        cat "$file"
        # The literal's last line feed belongs to its delimiter.
        printf '\n"""###),\n'
    done
    echo "    ]"
    echo "}"
} >"$output.tmp"
mv "$output.tmp" "$output"
