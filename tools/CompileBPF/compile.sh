#!/bin/sh
# compile.sh CLANG SOURCE NAME OUTPUT.swift: one BPF program as an embedded Swift image.
set -eu
clang=$1 source=$2 name=$3 output=$4

# linux/types.h includes asm/types.h, which Debian keeps in the multiarch directory that -target bpf does not search.
arch=$("$clang" -print-target-triple | cut -d- -f1)
object=${output%.swift}.o
"$clang" -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unused-function \
    -idirafter "/usr/include/$arch-linux-gnu" -c "$source" -o "$object"

# Only BTF is wanted in the image; the DWARF is ten times its size.
strip=$(dirname "$clang")/llvm-objcopy
[ -x "$strip" ] || strip=$(command -v llvm-objcopy || command -v llvm-objcopy-14)
"$strip" --strip-debug "$object"
"$strip" --dump-section .BTF=/dev/null "$object"

{
    echo "// Generated from $(basename "$source"); do not edit."
    echo "extension ObjectImage {"
    echo "    /// The compiled \`bpf/$name.bpf.c\`."
    echo "    public static let $name = ObjectImage(name: \"$name\", base64: \"$(base64 -w0 <"$object")\")"
    echo "}"
} >"$output"
