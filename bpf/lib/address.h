/* SPDX-License-Identifier: GPL-2.0 */
/* Addresses in their one normal form, their classes, and identifiers. Pure: compiles for the host too. */
#ifndef WEFT_LIB_ADDRESS_H
#define WEFT_LIB_ADDRESS_H

#include "../abi.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the normal form of addresses is written for little-endian machines"
#endif

#define WEFT_MAPPED_PREFIX 0xffff0000ull /* bytes 8..11 of ::ffff:0:0/96 as they lie in `low` */

/* An IPv4 address (network order) as IPv4-mapped IPv6. */
static inline struct weft_address weft_address_v4(__u32 address)
{
	struct weft_address mapped = { .high = 0, .low = (__u64)address << 32 | WEFT_MAPPED_PREFIX };
	return mapped;
}

/* An IPv6 address from its four words in network order. */
static inline struct weft_address weft_address_v6(__u32 word0, __u32 word1, __u32 word2, __u32 word3)
{
	struct weft_address address = {
		.high = (__u64)word1 << 32 | word0,
		.low = (__u64)word3 << 32 | word2,
	};
	return address;
}

static inline int weft_address_is_v4(const struct weft_address *address)
{
	return address->high == 0 && (__u32)address->low == (__u32)WEFT_MAPPED_PREFIX;
}

/* The IPv4 address (network order) of a mapped one. */
static inline __u32 weft_address_to_v4(const struct weft_address *address)
{
	return address->low >> 32;
}

/* Word 0...3 of the address in network order. */
static inline __u32 weft_address_word(const struct weft_address *address, unsigned int index)
{
	__u64 half = index < 2 ? address->high : address->low;
	return index & 1 ? half >> 32 : (__u32)half;
}

static inline int weft_address_equal(const struct weft_address *a, const struct weft_address *b)
{
	return a->high == b->high && a->low == b->low;
}

/* 0.0.0.0 and ::, in either form. */
static inline int weft_address_is_unspecified(const struct weft_address *address)
{
	return address->high == 0 && (address->low == 0 || address->low == WEFT_MAPPED_PREFIX);
}

static inline int weft_address_is_loopback(const struct weft_address *address)
{
	if (weft_address_is_v4(address))
		return (weft_address_to_v4(address) & 0xff) == 127;
	return address->high == 0 && address->low == 1ull << 56;
}

/* The class that is counted for a destination outside the mesh. */
static inline enum weft_address_class weft_address_class_of(const struct weft_address *address)
{
	if (weft_address_is_loopback(address))
		return WEFT_CLASS_LOOPBACK;
	if (weft_address_is_v4(address)) {
		__u32 v4 = __builtin_bswap32(weft_address_to_v4(address));

		if (v4 >> 28 == 14 || v4 == 0xffffffff)
			return WEFT_CLASS_MULTICAST;
		if (v4 >> 16 == 0xa9fe)
			return WEFT_CLASS_LINK_LOCAL;
		if (v4 >> 24 == 10 || v4 >> 20 == 0xac1 || v4 >> 16 == 0xc0a8 || v4 >> 22 == 0x191)
			return WEFT_CLASS_PRIVATE; /* RFC 1918, and RFC 6598 shared space */
		return WEFT_CLASS_PUBLIC;
	}
	if ((address->high & 0xff) == 0xff)
		return WEFT_CLASS_MULTICAST;
	if ((address->high & 0xc0ff) == 0x80fe)
		return WEFT_CLASS_LINK_LOCAL;
	if ((address->high & 0xfe) == 0xfc)
		return WEFT_CLASS_PRIVATE; /* RFC 4193 */
	return WEFT_CLASS_PUBLIC;
}

/* Finalising mix of a 64-bit hash (Stafford's variant 13, as in SplitMix64). */
static inline __u64 weft_mix(__u64 value)
{
	value ^= value >> 30;
	value *= 0xbf58476d1ce4e5b9ull;
	value ^= value >> 27;
	value *= 0x94d049bb133111ebull;
	return value ^ value >> 31;
}

/*
 * The identifier of a name: FNV-1a over kind and bytes, mixed. Never 0.
 * User space calls it when it compiles a snapshot; the programs only compare identifiers.
 */
static inline __u64 weft_id(__u8 kind, const __u8 *bytes, __u64 length)
{
	__u64 hash = 0xcbf29ce484222325ull;

	hash = (hash ^ kind) * 0x100000001b3ull;
	for (__u64 i = 0; i < length; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ull;
	hash = weft_mix(hash);
	return hash ? hash : 1;
}

#endif
