/* SPDX-License-Identifier: GPL-2.0 */
/* Where a connection's tuple is kept. Pure: compiles for the host too. */
#ifndef WEFT_LIB_TUPLE_H
#define WEFT_LIB_TUPLE_H

#include "address.h"

static inline int weft_tuple_equal(const struct weft_tuple_key *a, const struct weft_tuple_key *b)
{
	return a->client_port == b->client_port && a->server_port == b->server_port && a->scope == b->scope &&
	       weft_address_equal(&a->server_address, &b->server_address) &&
	       weft_address_equal(&a->client_address, &b->client_address) && a->protocol == b->protocol;
}

/*
 * The place of a tuple in `tuple_places`: the client's port, moved by a hash of everything else. So the connections of
 * a client to one server never meet.
 */
static inline __u32 weft_tuple_index(const struct weft_tuple_key *key)
{
	const __u64 odd = 0x9e3779b97f4a7c15ull; /* 2^64 divided by the golden ratio */
	__u64 mixed = key->scope * odd;

	mixed = (mixed ^ mixed >> 32 ^ key->client_address.high ^ key->protocol) * odd;
	mixed = (mixed ^ mixed >> 32 ^ key->client_address.low) * odd;
	mixed = (mixed ^ mixed >> 32 ^ key->server_address.high ^ key->server_port) * odd;
	mixed = (mixed ^ mixed >> 32 ^ key->server_address.low) * odd;
	return (__u32)(mixed >> 48 ^ __builtin_bswap16(key->client_port)) & (WEFT_TUPLE_PLACES - 1);
}

#endif
