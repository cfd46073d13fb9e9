#pragma once

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

// The positions of a ring buffer are shared with the kernel.

static inline unsigned long weft_load_acquire(const void *position)
{
    return __atomic_load_n((const unsigned long *)position, __ATOMIC_ACQUIRE);
}

static inline __u32 weft_load_acquire_32(const void *header)
{
    return __atomic_load_n((const __u32 *)header, __ATOMIC_ACQUIRE);
}

static inline void weft_store_release(void *position, unsigned long value)
{
    __atomic_store_n((unsigned long *)position, value, __ATOMIC_RELEASE);
}
