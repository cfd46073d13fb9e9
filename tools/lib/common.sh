# shellcheck shell=bash
# shellcheck disable=SC2034 # used where this is sourced
# What the tools share: messages, root, places. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# Says what happens now, apart from what programs print.
say() { printf '\n\033[1m== %s\033[0m\n' "$*" | plain >&2; }

# Ends the tool: what is wrong, and what to do about it.
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# Removes colours when nobody looks at a terminal.
plain() { if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi; }

# Runs a command as root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo --preserve-env=PATH,CI,WEFT_TEST_LONG,WEFT_TEST_ENVOY "$@"
    else
        die "'$1' needs root, and there is no sudo: run this as root"
    fi
}

# Ends the tool unless it runs as root.
require_root() { [ "$(id -u)" -eq 0 ] || die "$1 needs root (BPF, cgroups): run it with sudo"; }

# Where the cgroup v2 hierarchy is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside v1.
cgroup_mount() {
    awk '{ for (i = 7; i <= NF; i++) if ($i == "-" && $(i + 1) == "cgroup2") { print $5; exit } }' /proc/self/mountinfo
}

# Runs a command in a cgroup: `in_cgroup DIRECTORY COMMAND...`; the process is there before it executes the command.
in_cgroup() {
    local cgroup=$1
    shift
    # shellcheck disable=SC2016 # expanded by the inner shell
    sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$cgroup" "$@"
}

# Removes a cgroup and those below it, innermost first, after ending what still runs there.
remove_cgroup() {
    [ -d "$1" ] || return 0
    local waited=0
    if [ -e "$1/cgroup.kill" ]; then echo 1 >"$1/cgroup.kill"; fi
    while ! find "$1" -depth -type d -exec rmdir {} + 2>/dev/null; do
        waited=$((waited + 1))
        [ "$waited" -lt 50 ] || { echo "could not remove the cgroup $1" >&2 && return 1; }
        sleep 0.1
    done
}
