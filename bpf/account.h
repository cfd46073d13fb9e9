/* SPDX-License-Identifier: GPL-2.0 */
/* Counting: who talked to whom, how much, and one record for each connection that ended. */
#ifndef WEFT_ACCOUNT_H
#define WEFT_ACCOUNT_H

#include "kernel.h"
#include "lib/address.h"
#include "lib/histogram.h"
#include "lib/tuple.h"
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

static __always_inline __u8 connection_reporter(const struct weft_connection *connection)
{
	if (connection->role == WEFT_ROLE_SERVER)
		return WEFT_REPORTER_DESTINATION;
	return connection->flags & WEFT_SOCKET_BOTH_ENDS ? WEFT_REPORTER_BOTH : WEFT_REPORTER_SOURCE;
}

static __always_inline void traffic_key_of(const struct weft_connection *connection, struct weft_traffic_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source = connection->source;
	key->service = connection->service;
	key->destination = connection->destination;
	key->lane = connection->lane;
	key->reporter = connection_reporter(connection);
	key->protocol = connection->protocol;
	key->address_class = connection->address_class;
}

/* Length of a jiffy, which only user space can tell. */
const volatile __u64 jiffy_ns = 0;

static __always_inline __u64 jiffies_us(__u32 jiffies)
{
	return jiffies * jiffy_ns / 1000;
}

/* For how many jiffies a TCP socket has waited for its peer's receive window. */
static __always_inline __u32 tcp_window_limited(struct tcp_sock *tcp)
{
	__u32 jiffies = tcp->chrono_stat[TCP_CHRONO_RWND_LIMITED - 1];

	if (BPF_CORE_READ_BITFIELD(tcp, chrono_type) == TCP_CHRONO_RWND_LIMITED)
		jiffies += (__u32)bpf_jiffies64() - tcp->chrono_start;
	return jiffies;
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
	volume->window_limited = tcp_window_limited(tcp);
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

/* The same for 32 bits. */
static __always_inline __u32 advance_word(__u32 *counted, __u32 now)
{
	for (int attempt = 0; attempt < 4; attempt++) {
		__u32 before = *(volatile __u32 *)counted;

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
	taken->retransmits = advance_word(&counted->retransmits, now->retransmits);
	taken->window_limited = advance_word(&counted->window_limited, now->window_limited);
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
	if (taken->window_limited)
		ADD(counters->window_limited_us, jiffies_us(taken->window_limited));
}

/* Adds to the counters what they do not have yet of a connection that has carried `now`. */
static __always_inline void count_volume(struct weft_traffic *counters, struct weft_volume *counted,
                                         const struct weft_volume *now)
{
	struct weft_volume taken;

	if (!counted) {
		add_volume(counters, now);
		return;
	}
	take_volume(counted, now, &taken);
	add_volume(counters, &taken);
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

/* Fills a flow record from a connection. */
static __always_inline void flow_fill(struct weft_flow *flow, const struct weft_connection *connection, __u8 event)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->started_ns = connection->started_ns;
	flow->ended_ns = bpf_ktime_get_ns();
	if (connection->established_ns > connection->started_ns)
		flow->connect_us = (connection->established_ns - connection->started_ns) / 1000;
	flow->netns_cookie = connection->netns_cookie;
	flow->cgroup = connection->cgroup;
	flow->source = connection->source;
	flow->service = connection->service;
	flow->destination = connection->destination;
	flow->rule = connection->rule;
	flow->service_address = connection->service_address;
	flow->peer_address = connection->peer_address;
	flow->service_port = connection->service_port;
	flow->peer_port = connection->peer_port;
	flow->protocol = connection->protocol;
	flow->lane = connection->lane;
	flow->event = event;
	flow->reporter = connection->role == WEFT_ROLE_SERVER ? WEFT_REPORTER_DESTINATION : WEFT_REPORTER_SOURCE;
	flow->address_class = connection->address_class;
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

	if (flow->event == WEFT_FLOW_DENIED || flow->event == WEFT_FLOW_ENDED_BY_POLICY ||
	    bpf_ringbuf_query(&flows, BPF_RB_AVAIL_DATA) >= limit)
		wakeup = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(flow, wakeup);
}

#endif
