/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Local client ends by what the server's end sees. A tuple is only unique within a network namespace, so a client is
 * entered under its own; under no namespace as well, unless the address is a loopback one, because the server may be in
 * another. A server looks in its own namespace first, so that equal addresses in two namespaces do not mix.
 *
 * Every tuple has one place in `tuple_places`, which is taken, found and given back without a lock; clients' ports are
 * given out in turn, and so are their places. Only a tuple whose place has another goes to `tuples`.
 */
#ifndef WEFT_TUPLE_H
#define WEFT_TUPLE_H

#include "account.h"

/* Owner of a place that is being filled. */
#define TUPLE_PLACE_CHANGING (~0ull)

static __always_inline void tuple_key(struct weft_tuple_key *key, const struct weft_address *client, __be16 client_port,
                                      const struct weft_address *server, __be16 server_port, __u64 netns_cookie)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->scope = netns_cookie;
	key->client_address = *client;
	key->client_port = client_port;
	key->server_address = *server;
	key->server_port = server_port;
	key->protocol = IPPROTO_TCP;
}

static __always_inline struct weft_tuple_place *tuple_place(const struct weft_tuple_key *key)
{
	__u32 index = weft_tuple_index(key);

	return bpf_map_lookup_elem(&tuple_places, &index);
}

/* Takes the place of a tuple, also from a connection with the same one, which then is no more. */
static __always_inline int tuple_place_take(const struct weft_tuple_key *key, const struct weft_tuple *tuple,
                                            __u64 cookie)
{
	struct weft_tuple_place *place = tuple_place(key);
	__u64 owner;

	if (!place)
		return 0;
	owner = *(volatile __u64 *)&place->owner;
	if (owner && (owner == TUPLE_PLACE_CHANGING || !weft_tuple_equal(&place->key, key)))
		return 0;
	if (__sync_val_compare_and_swap(&place->owner, owner, TUPLE_PLACE_CHANGING) != owner)
		return 0;
	place->key = *key;
	place->tuple = *tuple;
	__sync_lock_test_and_set(&place->owner, cookie);
	return 1;
}

/* Returns 0, or an error when there is no room. */
static __always_inline int tuple_enter(const struct weft_tuple_key *key, const struct weft_tuple *tuple, __u64 cookie)
{
	return tuple_place_take(key, tuple, cookie) ? 0 : bpf_map_update_elem(&tuples, key, tuple, BPF_ANY) != 0;
}

static __always_inline void tuple_leave(const struct weft_tuple_key *key, __u64 cookie)
{
	struct weft_tuple_place *place = tuple_place(key);

	/* The place may have the other tuple of the same socket. */
	if (!place || !weft_tuple_equal(&place->key, key) ||
	    __sync_val_compare_and_swap(&place->owner, cookie, 0) != cookie)
		bpf_map_delete_elem(&tuples, key);
}

/* Copies what a tuple has, if that can be done while its place does not change hands. */
static __always_inline int tuple_look_up(const struct weft_tuple_key *key, struct weft_tuple *tuple)
{
	struct weft_tuple_place *place = tuple_place(key);
	struct weft_tuple *found;
	__u64 owner;

	if (place) {
		owner = __sync_fetch_and_add(&place->owner, 0);
		if (owner && owner != TUPLE_PLACE_CHANGING && weft_tuple_equal(&place->key, key)) {
			*tuple = place->tuple;
			if (__sync_fetch_and_add(&place->owner, 0) == owner)
				return 1;
		}
	}
	found = bpf_map_lookup_elem(&tuples, key);
	if (found)
		*tuple = *found;
	return found != NULL;
}

/* `cookie`: of the client's socket. */
static __always_inline void tuple_insert(struct weft_tuple_key *key, const struct weft_tuple *tuple, __u64 cookie)
{
	int failed = tuple_enter(key, tuple, cookie);

	if (!weft_address_is_loopback(&key->server_address)) {
		key->scope = 0;
		failed |= tuple_enter(key, tuple, cookie);
	}
	if (failed)
		count_node(WEFT_COUNT_TUPLES_LOST);
}

static __always_inline void tuple_remove(struct weft_tuple_key *key, __u64 cookie)
{
	tuple_leave(key, cookie);
	if (!weft_address_is_loopback(&key->server_address)) {
		key->scope = 0;
		tuple_leave(key, cookie);
	}
}

static __always_inline int tuple_find(struct weft_tuple_key *key, struct weft_tuple *tuple)
{
	if (tuple_look_up(key, tuple))
		return 1;
	if (weft_address_is_loopback(&key->server_address))
		return 0;
	key->scope = 0;
	return tuple_look_up(key, tuple);
}

#endif
