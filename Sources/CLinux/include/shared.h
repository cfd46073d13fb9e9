#pragma once

#include <stdint.h>

// Words of memory that the kernel's programs change too.

static inline uint32_t weft_shared_load(const uint32_t *place)
{
    return __atomic_load_n(place, __ATOMIC_SEQ_CST);
}

static inline void weft_shared_store(uint32_t *place, uint32_t value)
{
    __atomic_store_n(place, value, __ATOMIC_SEQ_CST);
}

static inline void weft_shared_increase(uint32_t *place)
{
    __atomic_fetch_add(place, 1, __ATOMIC_SEQ_CST);
}

/// Whether the word was `expected`; then it is `value` now.
static inline int weft_shared_change(uint32_t *place, uint32_t expected, uint32_t value)
{
    return __atomic_compare_exchange_n(place, &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline uint64_t weft_shared_load_long(const uint64_t *place)
{
    return __atomic_load_n(place, __ATOMIC_SEQ_CST);
}

static inline void weft_shared_store_long(uint64_t *place, uint64_t value)
{
    __atomic_store_n(place, value, __ATOMIC_SEQ_CST);
}

static inline int weft_shared_change_long(uint64_t *place, uint64_t expected, uint64_t value)
{
    return __atomic_compare_exchange_n(place, &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
