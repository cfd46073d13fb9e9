/* SPDX-License-Identifier: GPL-2.0 */
/* Choosing a backend: lib/balance.h over the maps. */
#ifndef WEFT_SELECT_H
#define WEFT_SELECT_H

#include "account.h"
#include "lib/balance.h"

/* Tries after the first when a selected backend has just gone. */
#define SELECT_ATTEMPTS 4

static __always_inline __u64 random64(void)
{
	return (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
}

static __always_inline struct weft_slot *slot_of(__u64 service, __u32 index)
{
	struct weft_slot_key key = { .service = service, .slot = index };

	return bpf_map_lookup_elem(&slots, &key);
}

/* The backend of an id if it may be given new connections. */
static __always_inline struct weft_backend *active_backend(__u64 id)
{
	struct weft_backend *backend = bpf_map_lookup_elem(&backends, &id);

	return backend && backend->state == WEFT_BACKEND_ACTIVE ? backend : NULL;
}

static __noinline __u64 select_weighted(const struct weft_service *service, __u64 point)
{
	struct weft_slot *slot = slot_of(service->id, weft_slot_index(point, service->backend_count));

	return slot ? weft_slot_choose(slot, point) : 0;
}

static __noinline __u64 select_round_robin(const struct weft_service *service)
{
	__u64 id = service->id;
	struct weft_service_state *state = bpf_map_lookup_elem(&service_state, &id);
	struct weft_slot *slot;
	__u64 turn;

	if (!state)
		return select_weighted(service, random64());
	turn = ADD(state->round_robin, 1);
	if (!(service->flags & WEFT_SERVICE_EQUAL_WEIGHTS))
		return select_weighted(service, weft_round_robin_point(turn, service->backend_count));
	slot = slot_of(id, turn % service->backend_count);
	return slot ? slot->backend : 0;
}

static __always_inline __s64 active_connections(__u64 backend)
{
	struct weft_backend_load *load = bpf_map_lookup_elem(&backend_load, &backend);

	return load ? load->active : 0;
}

/* The less loaded of two different backends. */
static __noinline __u64 select_least_connections(const struct weft_service *service)
{
	__u32 count = service->backend_count;
	__u32 first = weft_scale(bpf_get_prandom_u32(), count);
	struct weft_slot *slot_a = slot_of(service->id, first);
	struct weft_backend *a, *b;
	struct weft_slot *slot_b;

	if (!slot_a)
		return 0;
	if (count < 2)
		return slot_a->backend;
	slot_b = slot_of(service->id, weft_second_choice(bpf_get_prandom_u32(), first, count));
	if (!slot_b)
		return slot_a->backend;
	a = active_backend(slot_a->backend);
	b = active_backend(slot_b->backend);
	if (!a)
		return slot_b->backend;
	if (!b)
		return slot_a->backend;
	return weft_less_loaded(active_connections(slot_a->backend), a->weight, active_connections(slot_b->backend),
	                        b->weight)
	           ? slot_a->backend
	           : slot_b->backend;
}

static __noinline __u64 select_maglev(const struct weft_service *service, const struct weft_affinity_key *client)
{
	__u64 id = service->id;
	void *table = bpf_map_lookup_elem(&maglev, &id);
	__u64 *size, *backend;
	__u32 index = 0;

	if (!table)
		return 0;
	size = bpf_map_lookup_elem(table, &index);
	if (!size || !*size)
		return 0;
	index = 1 + weft_client_hash(client) % *size;
	backend = bpf_map_lookup_elem(table, &index);
	return backend ? *backend : 0;
}

static __always_inline __u64 select_once(const struct weft_service *service, const struct weft_affinity_key *client)
{
	switch (service->algorithm) {
	case WEFT_ALGORITHM_ROUND_ROBIN:
		return select_round_robin(service);
	case WEFT_ALGORITHM_LEAST_CONNECTIONS:
		return select_least_connections(service);
	case WEFT_ALGORITHM_MAGLEV:
		return select_maglev(service, client);
	default:
		return select_weighted(service, random64());
	}
}

/* Makes a backend the client's own for the time of its affinity. */
static __noinline __u64 remember_backend(const struct weft_affinity_key *client, __u64 id, __u64 now)
{
	struct weft_affinity entry = { .backend = id, .last_used_ns = now };

	if (id && bpf_map_update_elem(&affinity, client, &entry, BPF_ANY))
		count_node(WEFT_COUNT_AFFINITY_LOST);
	return id;
}

/*
 * The id of the backend that a new connection is to have, or 0. It may have just gone, because its tables are being
 * swapped: the caller, who looks it up anyway, then selects again.
 */
VERIFIED_ALONE __u64 select_backend(const struct weft_service *service, const struct weft_affinity_key *client)
{
	struct weft_affinity_key key;
	struct weft_affinity *entry;
	__u64 now;

	if (!service || !client || !service->backend_count)
		return 0;
	if (!service->affinity_seconds)
		return select_once(service, client);

	key = *client;
	entry = bpf_map_lookup_elem(&affinity, &key);
	now = bpf_ktime_get_ns();
	if (entry && weft_affinity_alive(entry, service->affinity_seconds, now) && active_backend(entry->backend)) {
		entry->last_used_ns = now;
		return entry->backend;
	}
	return remember_backend(&key, select_once(service, client), now);
}

/* A usable backend in place of one that has just gone, or 0. Weights do not matter. */
VERIFIED_ALONE __u64 select_again(const struct weft_service *service, const struct weft_affinity_key *client)
{
	struct weft_affinity_key key;
	__u64 id = 0;

	if (!service || !client || !service->backend_count)
		return 0;
	for (int attempt = 0; attempt < SELECT_ATTEMPTS && !id; attempt++) {
		id = select_weighted(service, random64());
		if (!active_backend(id))
			id = 0;
	}
	if (!service->affinity_seconds)
		return id;
	key = *client;
	return remember_backend(&key, id, bpf_ktime_get_ns());
}

#endif
