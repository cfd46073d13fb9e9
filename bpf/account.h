/* SPDX-License-Identifier: GPL-2.0 */
/* Counting: who talked to whom, how much, and one record for each connection that ended. */
#ifndef WEFT_ACCOUNT_H
#define WEFT_ACCOUNT_H

#include "kernel.h"
#include "lib/address.h"
#include "lib/histogram.h"
#include "maps.h"

/*
 * Per-CPU values are added to atomically: a program in process context can be interrupted by one in softirq on the
 * same CPU, and an exact counter loses nothing to that.
 */
#define ADD(counter, amount) __sync_fetch_and_add(&(counter), (amount))

static __always_inline void count_node(__u32 index)
{
	__u64 *counter = bpf_map_lookup_elem(&node_counters, &index);

	if (counter)
		ADD(*counter, 1);
}

/* The traffic entry of a key, made on first use; the overflow series when the map is full. */
static __noinline struct weft_traffic *traffic_of(const struct weft_traffic_key *key)
{
	static const struct weft_traffic empty;
	struct weft_traffic_key overflow;
	struct weft_traffic *found = bpf_map_lookup_elem(&traffic, key);

	if (found)
		return found;
	bpf_map_update_elem(&traffic, key, &empty, BPF_NOEXIST);
	found = bpf_map_lookup_elem(&traffic, key);
	if (found)
		return found;

	count_node(WEFT_COUNT_TRAFFIC_OVERFLOW);
	__builtin_memset(&overflow, 0xff, sizeof(overflow));
	return bpf_map_lookup_elem(&traffic, &overflow);
}

static __always_inline void histogram_add(struct weft_histogram *histogram, __u64 value)
{
	__u32 bucket = weft_histogram_bucket(value);

	if (bucket < WEFT_HISTOGRAM_BUCKETS)
		ADD(histogram->buckets[bucket], 1);
	ADD(histogram->sum, value);
}

static __always_inline __u8 socket_reporter(const struct weft_socket *socket)
{
	if (socket->role == WEFT_ROLE_SERVER)
		return WEFT_REPORTER_DESTINATION;
	return socket->flags & WEFT_SOCKET_BOTH_ENDS ? WEFT_REPORTER_BOTH : WEFT_REPORTER_SOURCE;
}

static __always_inline void traffic_key_of(const struct weft_socket *socket, struct weft_traffic_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source = socket->source;
	key->service = socket->service;
	key->destination = socket->destination;
	key->lane = socket->lane;
	key->reporter = socket_reporter(socket);
	key->protocol = socket->protocol;
	key->address_class = socket->address_class;
}

/* What a TCP socket has carried. A received FIN occupies one sequence number, which bytes_received includes. */
static __always_inline void tcp_volume(struct tcp_sock *tcp, struct weft_volume *volume)
{
	/* A retransmission is counted before it is made: one that was not made leaves more of them than was sent. */
	volume->sent_bytes = tcp->bytes_sent > tcp->bytes_retrans ? tcp->bytes_sent - tcp->bytes_retrans : 0;
	volume->received_bytes =
	    tcp->bytes_received - (tcp->inet_conn.icsk_inet.sk.__sk_common.skc_flags >> SOCK_DONE_BIT & 1);
	volume->sent_segments = tcp->segs_out;
	volume->received_segments = tcp->segs_in;
	volume->retransmits = tcp->total_retrans;
}

/*
 * Moves `counted` forward to `now` and returns the difference. The sweep and the end of a connection may do it at the
 * same time: whoever wins adds the difference, so each byte counts once.
 */
static __always_inline __u64 advance(__u64 *counted, __u64 now)
{
	for (int attempt = 0; attempt < 4; attempt++) {
		__u64 before = *(volatile __u64 *)counted;

		if (now <= before)
			return 0;
		if (__sync_val_compare_and_swap(counted, before, now) == before)
			return now - before;
	}
	return 0;
}

/* Takes what `now` has over `counted`; returns whether anything moved. */
static __always_inline int take_volume(struct weft_volume *counted, const struct weft_volume *now,
                                       struct weft_volume *taken)
{
	taken->sent_bytes = advance(&counted->sent_bytes, now->sent_bytes);
	taken->received_bytes = advance(&counted->received_bytes, now->received_bytes);
	taken->sent_segments = advance(&counted->sent_segments, now->sent_segments);
	taken->received_segments = advance(&counted->received_segments, now->received_segments);
	taken->retransmits = advance(&counted->retransmits, now->retransmits);
	return taken->sent_bytes || taken->received_bytes;
}

static __always_inline void add_volume(struct weft_traffic *counters, const struct weft_volume *taken)
{
	if (taken->sent_bytes)
		ADD(counters->sent_bytes, taken->sent_bytes);
	if (taken->received_bytes)
		ADD(counters->received_bytes, taken->received_bytes);
	if (taken->sent_segments)
		ADD(counters->sent_segments, taken->sent_segments);
	if (taken->received_segments)
		ADD(counters->received_segments, taken->received_segments);
	if (taken->retransmits)
		ADD(counters->retransmits, taken->retransmits);
}

static __always_inline void backend_load_add(__u64 backend, __s64 change)
{
	struct weft_backend_load *load;

	if (!backend)
		return;
	load = bpf_map_lookup_elem(&backend_load, &backend);
	if (!load)
		return;
	ADD(load->active, change);
	if (change > 0)
		ADD(load->opened, 1);
}

/* Fills a flow record from a socket. */
static __always_inline void flow_fill(struct weft_flow *flow, const struct weft_socket *socket, __u8 event)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->started_ns = socket->started_ns;
	flow->ended_ns = bpf_ktime_get_ns();
	if (socket->established_ns)
		flow->connect_us = (socket->established_ns - socket->started_ns) / 1000;
	flow->netns_cookie = socket->netns_cookie;
	flow->cgroup = socket->cgroup;
	flow->source = socket->source;
	flow->service = socket->service;
	flow->destination = socket->destination;
	flow->rule = socket->rule;
	flow->service_address = socket->service_address;
	flow->peer_address = socket->peer_address;
	flow->service_port = socket->service_port;
	flow->peer_port = socket->peer_port;
	flow->protocol = socket->protocol;
	flow->lane = socket->lane;
	flow->event = event;
	flow->reporter = socket->role == WEFT_ROLE_SERVER ? WEFT_REPORTER_DESTINATION : WEFT_REPORTER_SOURCE;
	flow->address_class = socket->address_class;
}

/*
 * Hands the record over. The agent is woken only when it has something to hurry for: a refusal, or a filling ring.
 * Everything else waits for its next regular turn, so that a connection does not pay for a wake-up.
 */
static __always_inline void flow_submit(struct weft_flow *flow)
{
	__u32 zero = 0;
	struct weft_settings *node = bpf_map_lookup_elem(&settings, &zero);
	__u64 limit = node ? node->flow_wakeup_bytes : 0;
	__u64 wakeup = BPF_RB_NO_WAKEUP;

	if (flow->event == WEFT_FLOW_DENIED || bpf_ringbuf_query(&flows, BPF_RB_AVAIL_DATA) >= limit)
		wakeup = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(flow, wakeup);
}

/*
 * Local client ends by what the server's end sees. A tuple is only unique within a network namespace, so a client is
 * entered under its own; under no namespace as well, unless the address is a loopback one, because the server may be in
 * another. A server looks in its own namespace first, so that equal addresses in two namespaces do not mix.
 */
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

static __always_inline void tuple_insert(struct weft_tuple_key *key, const struct weft_tuple *tuple)
{
	int failed = bpf_map_update_elem(&tuples, key, tuple, BPF_ANY) != 0;

	if (!weft_address_is_loopback(&key->server_address)) {
		key->scope = 0;
		failed |= bpf_map_update_elem(&tuples, key, tuple, BPF_ANY) != 0;
	}
	if (failed)
		count_node(WEFT_COUNT_TUPLES_LOST);
}

static __always_inline void tuple_remove(struct weft_tuple_key *key)
{
	bpf_map_delete_elem(&tuples, key);
	if (!weft_address_is_loopback(&key->server_address)) {
		key->scope = 0;
		bpf_map_delete_elem(&tuples, key);
	}
}

static __always_inline struct weft_tuple *tuple_find(struct weft_tuple_key *key)
{
	struct weft_tuple *tuple = bpf_map_lookup_elem(&tuples, key);

	if (tuple || weft_address_is_loopback(&key->server_address))
		return tuple;
	key->scope = 0;
	return bpf_map_lookup_elem(&tuples, key);
}

#endif
