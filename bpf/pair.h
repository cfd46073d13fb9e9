/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pairs: connections within the node whose bytes may go from socket to socket. How a connection becomes one, how its
 * ends become members, and how what was redirected is counted; redirect.bpf.c decides each send.
 */
#ifndef WEFT_PAIR_H
#define WEFT_PAIR_H

#include "account.h"
#include "socket.h"

/* Owner of a place that is being filled. */
#define PAIR_CHANGING (~0ull)

/* Least time after which a member sends again what was not acknowledged, in microseconds. */
#define RETRANSMIT_US 4000

static __always_inline struct weft_pair *pair_place(__u32 index)
{
	return bpf_map_lookup_elem(&pairs, &index);
}

static __always_inline __u32 pair_index(__u64 client)
{
	return client & (WEFT_PAIRS - 1);
}

/* The pair of a client's socket; NULL if it has none. */
static __always_inline struct weft_pair *pair_of(__u64 client)
{
	struct weft_pair *pair = pair_place(pair_index(client));

	return pair && client && pair->client == client ? pair : NULL;
}

/* The counters of a pair's ends, made on first use; NULL when the map is full: then nothing is told of them. */
static __noinline struct weft_acceleration *acceleration_of(const struct weft_acceleration_key *key)
{
	static const struct weft_acceleration empty;
	struct weft_acceleration *found = bpf_map_lookup_elem(&acceleration, key);

	if (found)
		return found;
	bpf_map_update_elem(&acceleration, key, &empty, BPF_NOEXIST);
	found = bpf_map_lookup_elem(&acceleration, key);
	if (!found)
		count_node(WEFT_COUNT_TRAFFIC_OVERFLOW);
	return found;
}

static __always_inline struct weft_acceleration *pair_counters(const struct weft_pair *pair)
{
	struct weft_acceleration_key key = {
		.source = pair->source,
		.service = pair->service,
		.destination = pair->destination,
		.lane = pair->lane,
	};

	return acceleration_of(&key);
}

/* Counts a connection that was not made a pair. */
static __noinline int count_unpaired(const struct weft_connection *connection, __u32 reason)
{
	struct weft_acceleration_key key = {
		.source = connection->source,
		.service = connection->service,
		.destination = connection->destination,
		.lane = connection->lane == WEFT_LANE_PROXY ? WEFT_LANE_PROXY : WEFT_LANE_ACCELERATED,
	};
	struct weft_acceleration *counters = acceleration_of(&key);

	if (counters && reason < WEFT_SLOW_REASONS)
		ADD(counters->slow_connections[reason], 1);
	return 0;
}

/* Adds to the counters what they do not have yet of a pair. */
static __noinline int pair_count(struct weft_pair *pair)
{
	const struct weft_direction *client = &pair->from[WEFT_END_CLIENT], *server = &pair->from[WEFT_END_SERVER];
	struct weft_redirected taken = {
		.bytes = advance(&pair->counted.bytes, client->redirected_bytes + server->redirected_bytes),
		.sends = advance(&pair->counted.sends, client->redirected_sends + server->redirected_sends),
		.demotions = advance(&pair->counted.demotions, client->demotions + server->demotions),
		.promotions = advance(&pair->counted.promotions, client->promotions + server->promotions),
	};
	struct weft_acceleration *counters;

	if (!taken.sends && !taken.demotions)
		return 0;
	counters = pair_counters(pair);
	if (!counters)
		return 0;
	ADD(counters->redirected.bytes, taken.bytes);
	ADD(counters->redirected.sends, taken.sends);
	ADD(counters->redirected.demotions, taken.demotions);
	ADD(counters->redirected.promotions, taken.promotions);
	return 0;
}

/* Takes the place of a client's socket; NULL if another has it. What the pair is for is filled in by `filled`. */
static __always_inline struct weft_pair *pair_take(__u64 client)
{
	struct weft_pair *pair = pair_place(pair_index(client));

	if (!pair || __sync_val_compare_and_swap(&pair->client, 0, PAIR_CHANGING))
		return NULL;
	__builtin_memset((void *)pair + sizeof(pair->client), 0, sizeof(*pair) - sizeof(pair->client));
	return pair;
}

static __always_inline void pair_filled(struct weft_pair *pair, __u64 client)
{
	__sync_lock_test_and_set(&pair->client, client);
}

/* Gives the place back: nothing is redirected on the connection from now on. */
static __noinline int pair_free(__u64 client)
{
	struct weft_pair *pair = pair_of(client);

	if (!pair)
		return 0;
	pair_count(pair);
	__sync_val_compare_and_swap(&pair->client, client, 0);
	return 0;
}

/* The shortcut of a client's socket; NULL if it has none. */
static __always_inline struct weft_shortcut *shortcut_of(__u64 client)
{
	__u32 index = client & (WEFT_SHORTCUTS - 1);
	struct weft_shortcut *shortcut = bpf_map_lookup_elem(&shortcuts, &index);

	return shortcut && client && shortcut->client == client ? shortcut : NULL;
}

/* The leg that a socket of the agent's is; NULL if it is none. */
static __always_inline struct weft_shortcut_leg *shortcut_leg(__u64 cookie)
{
	__u32 index = cookie & (WEFT_SHORTCUT_PLACES - 1);
	struct weft_shortcut_leg *leg = bpf_map_lookup_elem(&shortcut_legs, &index);

	return leg && cookie && leg->cookie == cookie ? leg : NULL;
}

/* What a pair has carried beside TCP, from its client's point of view. */
static __always_inline void pair_volume(__u64 client, struct weft_volume *volume)
{
	const struct weft_pair *pair = pair_of(client);
	const struct weft_shortcut *shortcut = shortcut_of(client);

	if (shortcut)
		volume->sent_bytes += shortcut->sent_bytes;
	if (!pair)
		return;
	volume->sent_bytes += pair->from[WEFT_END_CLIENT].redirected_bytes;
	volume->received_bytes += pair->from[WEFT_END_SERVER].redirected_bytes;
}

/* The flags of a socket's descriptor; 0 if no process has one yet. */
static __always_inline __u32 descriptor_flags(struct tcp_sock *tcp)
{
	struct socket *socket = tcp->inet_conn.icsk_inet.sk.sk_socket;
	struct file *file = socket ? socket->file : NULL;

	return file ? file->f_flags : 0;
}

/* What a socket does that a member must not: enum weft_evidence. The descriptor is looked at by itself. */
static __always_inline __u32 socket_options(struct tcp_sock *tcp)
{
	__u32 seen = 0;

	if (tcp->inet_conn.icsk_ulp_ops)
		seen |= WEFT_EVIDENCE_ULP;
	if (tcp->inet_conn.icsk_inet.sk.sk_rcvlowat > 1)
		seen |= WEFT_EVIDENCE_LOW_WATER;
	if (BPF_CORE_READ_BITFIELD(tcp, recvmsg_inq))
		seen |= WEFT_EVIDENCE_INQ;
	if (bpf_core_field_exists(tcp->is_mptcp) && tcp->is_mptcp)
		seen |= WEFT_EVIDENCE_MPTCP;
	return seen;
}

/*
 * Makes a socket a member: from now on it may be redirected to. Its place is free, because whoever had it before has
 * been closed; if it has not, the connection stays with TCP. Returns enum weft_slow_reason.
 */
static __noinline int member_join(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct tcp_sock *tcp, __u64 client,
                                  __u32 end)
{
	struct weft_pair *pair = pair_of(client);
	struct weft_member *member;
	int soon = RETRANSMIT_US;
	__u32 place;

	if (!pair || end >= WEFT_ENDS)
		return WEFT_SLOW_NO_PEER;
	if (socket_options(tcp))
		return WEFT_SLOW_OPTION;
	/* A server's socket has no descriptor before it is accepted. */
	if (end == WEFT_END_CLIENT && !(descriptor_flags(tcp) & O_NONBLOCK))
		return WEFT_SLOW_BLOCKING;
	member = bpf_sk_storage_get(&ends, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!member)
		return WEFT_SLOW_NO_PLACE;
	member->client = client;
	member->pair = pair_index(client);
	member->end = end;
	place = member->pair * WEFT_ENDS + end;
	if (bpf_sock_map_update(ctx, &members, &place, BPF_NOEXIST))
		return WEFT_SLOW_NO_PLACE;
	/* The compiler has seen that it is one of two; some kernels have not. */
	barrier_var(end);
	pair->bases[end & (WEFT_ENDS - 1)] = tcp->write_seq;
	pair->socks[end & (WEFT_ENDS - 1)] = (__u64)tcp;
	/* What is dropped on this machine is soon sent again; kernels before 5.18 wait for longer. */
	bpf_setsockopt(ctx, IPPROTO_TCP, TCP_BPF_RTO_MIN, &soon, sizeof(soon));
	if (end == WEFT_END_SERVER) {
		struct weft_acceleration *counters = pair_counters(pair);

		if (counters)
			ADD(counters->connections, 1);
	}
	return WEFT_SLOW_NONE;
}

#endif
