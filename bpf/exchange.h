/* SPDX-License-Identifier: GPL-2.0 */
/* Requests and responses in the kernel: where a connection's exchange is, how it is counted, and how it ends. */
#ifndef WEFT_EXCHANGE_H
#define WEFT_EXCHANGE_H

#include "lib/http1.h"
#include "lib/latency.h"
#include "socket.h"

/* Cookie of a place that is being filled. */
#define EXCHANGE_CHANGING (~0ull)

/* How often somebody who ends an exchange looks whether another processor is still reading it. */
#define EXCHANGE_PATIENCE 256

/* The counters of a key, made on first use; the overflow series when the map is full. */
static __noinline struct weft_requests *requests_of(const struct weft_requests_key *key)
{
	static const struct weft_requests empty;
	struct weft_requests_key overflow;
	struct weft_requests *found = bpf_map_lookup_elem(&requests, key);

	if (found)
		return found;
	bpf_map_update_elem(&requests, key, &empty, BPF_NOEXIST);
	found = bpf_map_lookup_elem(&requests, key);
	if (found)
		return found;

	count_node(WEFT_COUNT_TRAFFIC_OVERFLOW);
	__builtin_memset(&overflow, 0xff, sizeof(overflow));
	return bpf_map_lookup_elem(&requests, &overflow);
}

static __always_inline void requests_key_of(const struct weft_exchange *exchange, struct weft_requests_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source = exchange->source;
	key->service = exchange->service;
	key->destination = exchange->destination;
	key->lane = exchange->lane;
	key->reporter = exchange->reporter;
}

/* Counts requests of which nothing more is known. */
VERIFIED_ALONE int count_unparsed(const struct weft_exchange *exchange, __u32 count)
{
	struct weft_requests_key key;
	struct weft_requests *counters;

	if (!exchange)
		return 0;
	requests_key_of(exchange, &key);
	key.outcome = WEFT_REQUEST_UNPARSED;
	counters = count ? requests_of(&key) : NULL;
	if (counters)
		ADD(counters->count, count);
	return 0;
}

static __always_inline void latencies_add(struct weft_latencies *latencies, __u64 nanoseconds)
{
	__u64 microseconds = weft_microseconds(nanoseconds);

	ADD(latencies->buckets[weft_latency_bucket(microseconds)], 1);
	ADD(latencies->sum, microseconds);
}

static __always_inline void sizes_add(struct weft_sizes *sizes, __u64 bytes)
{
	__u32 bucket = weft_size_bucket(bytes);

	/* It always is; the compiler knows that too, and the verifier wants to see it. */
	barrier_var(bucket);
	if (bucket < WEFT_SIZE_BUCKETS)
		ADD(sizes->buckets[bucket], 1);
	if (bytes)
		ADD(sizes->sum, bytes);
}

/* Counts one request. */
VERIFIED_ALONE int count_answer(const struct weft_exchange *exchange, const struct weft_http_answer *answer,
                                __u32 outcome)
{
	struct weft_requests_key key;
	struct weft_requests *counters;

	if (!exchange || !answer)
		return 0;
	if (!answer->timed)
		return count_unparsed(exchange, 1);
	requests_key_of(exchange, &key);
	key.status = answer->status;
	key.route = answer->route;
	key.outcome = outcome;
	counters = requests_of(&key);
	if (!counters)
		return 0;
	ADD(counters->count, 1);
	latencies_add(&counters->duration, answer->duration_ns);
	latencies_add(&counters->first_byte, answer->first_byte_ns);
	sizes_add(&counters->request_body, answer->request_body);
	sizes_add(&counters->response_body, answer->response_body);
	return 0;
}

/* How a connection has ended, for its requests. */
enum exchange_ending {
	EXCHANGE_SERVER_FIRST = 1, /* the server has ended it, before the client did */
	EXCHANGE_CLOSED = 2,       /* the server has said that it has sent everything */
};

/*
 * Ends a connection's exchange: what has not been answered is counted, and its place is free. Returns what its flow
 * record tells: the class of its first response, above the number of its requests.
 */
VERIFIED_ALONE __u64 exchange_end(struct weft_exchange *exchange, __u32 ending)
{
	__u32 outcome = ending & EXCHANGE_SERVER_FIRST ? WEFT_REQUEST_SERVER_ENDED : WEFT_REQUEST_CLIENT_ENDED;
	struct weft_http_stream *arriving;
	__u64 now = bpf_ktime_get_ns();
	__u64 told;

	if (!exchange)
		return 0;
	told = (__u64)exchange->http_class << 32 | exchange->recognised;
	/* What arrives is not read under the socket's lock: whoever reads it on another processor soon has. */
	arriving = exchange->role == WEFT_ROLE_SERVER ? &exchange->request : &exchange->response;
	for (int i = 0; i < EXCHANGE_PATIENCE; i++) {
		if (!__sync_lock_test_and_set(&arriving->busy, 1))
			break;
	}
	for (int i = 0; i < WEFT_HTTP_FOLLOWED; i++) {
		struct weft_http_answer answer = {};
		int left = weft_http_left(exchange, &answer, now, ending & EXCHANGE_CLOSED);

		if (left == WEFT_HTTP_NOTHING_LEFT)
			break;
		count_answer(exchange, &answer, left == WEFT_HTTP_LEFT_COMPLETE ? WEFT_REQUEST_COMPLETE : outcome);
	}
	__sync_lock_test_and_set(&exchange->cookie, 0);
	return told;
}

/* The same for a socket, wherever its exchange is; 0 if it has none. */
static __always_inline __u64 exchange_end_of(struct bpf_sock *sk, const struct weft_connection *connection,
                                             __u64 cookie, __u32 ending)
{
	struct weft_exchange *exchange = exchange_place(cookie);

	if (exchange && exchange->cookie == cookie)
		return exchange_end(exchange, ending);
	if (!(connection->flags & WEFT_SOCKET_EXCHANGE))
		return 0;
	exchange = bpf_sk_storage_get(&exchange_socks, sk, 0, 0);
	return exchange && exchange->cookie == cookie ? exchange_end(exchange, ending) : 0;
}

#endif
