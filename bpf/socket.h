/* SPDX-License-Identifier: GPL-2.0 */
/* The life of a mesh socket: addresses, how it begins in the counters and how it ends. */
#ifndef WEFT_SOCKET_H
#define WEFT_SOCKET_H

#include "account.h"

static __always_inline struct sock_common *common_of(struct tcp_sock *tcp)
{
	return &tcp->inet_conn.icsk_inet.sk.__sk_common;
}

/* Local and remote ends of a socket in the normal form; ports in network order. */
static __always_inline void socket_ends(const struct sock_common *common, struct weft_address *local,
                                        __be16 *local_port, struct weft_address *remote, __be16 *remote_port)
{
	if (common->skc_family == AF_INET) {
		*local = weft_address_v4(common->skc_rcv_saddr);
		*remote = weft_address_v4(common->skc_daddr);
	} else {
		*local = weft_address_v6(
		    common->skc_v6_rcv_saddr.in6_u.u6_addr32[0], common->skc_v6_rcv_saddr.in6_u.u6_addr32[1],
		    common->skc_v6_rcv_saddr.in6_u.u6_addr32[2], common->skc_v6_rcv_saddr.in6_u.u6_addr32[3]);
		*remote =
		    weft_address_v6(common->skc_v6_daddr.in6_u.u6_addr32[0], common->skc_v6_daddr.in6_u.u6_addr32[1],
		                    common->skc_v6_daddr.in6_u.u6_addr32[2], common->skc_v6_daddr.in6_u.u6_addr32[3]);
	}
	*local_port = bpf_htons(common->skc_num);
	*remote_port = common->skc_dport;
}

/* Whether a socket is the kernel's own: nothing says that such a one is released. */
static __always_inline int is_kernels_own(struct tcp_sock *tcp)
{
	struct sock *sock = &tcp->inet_conn.icsk_inet.sk;

	return BPF_CORE_READ_BITFIELD(sock, sk_kern_sock);
}

/* Whether the agent carries the connections of a lane: their peer is its listener. */
static __always_inline int is_carried(__u8 lane)
{
	return lane == WEFT_LANE_PROXY || lane == WEFT_LANE_TUNNEL;
}

/* The cookie of a socket; 0 if it has none. Whatever is tracked has one. */
static __always_inline __u64 cookie_of(struct tcp_sock *tcp)
{
	return common_of(tcp)->skc_cookie.counter;
}

/* The place of a cookie in `connections`, whoever has it. */
static __always_inline struct weft_young *young_place(__u64 cookie)
{
	__u32 index = cookie & (WEFT_YOUNG_CONNECTIONS - 1);

	return bpf_map_lookup_elem(&connections, &index);
}

/* The young connection of a socket; NULL if it has none. */
static __always_inline struct weft_young *young_find(__u64 cookie)
{
	struct weft_young *young = young_place(cookie);

	return young && cookie && young->cookie == cookie ? young : NULL;
}

/* Gives a new connection its place; NULL if that is taken. */
static __always_inline struct weft_young *young_take(__u64 cookie)
{
	struct weft_young *young = young_place(cookie);

	return young && !__sync_val_compare_and_swap(&young->cookie, 0, cookie) ? young : NULL;
}

static __always_inline void young_free(struct weft_young *young)
{
	__sync_lock_test_and_set(&young->cookie, 0);
}

/* The place of a cookie in `exchanges`, whoever has it. */
static __always_inline struct weft_exchange *exchange_place(__u64 cookie)
{
	__u32 index = cookie & (WEFT_EXCHANGES - 1);

	return bpf_map_lookup_elem(&exchanges, &index);
}

/* Frees the place of a connection that nobody has seen end. */
static __always_inline void exchange_forget(__u64 cookie)
{
	struct weft_exchange *exchange = exchange_place(cookie);

	if (exchange && exchange->cookie == cookie)
		__sync_lock_test_and_set(&exchange->cookie, 0);
}

/* Counts a connection as established; once. */
static __always_inline void connection_established(struct weft_connection *connection, __u64 now)
{
	struct weft_traffic_key key;
	struct weft_traffic *counters;

	connection->established_ns = now;
	connection->phase = WEFT_PHASE_OPEN;
	traffic_key_of(connection, &key);
	counters = traffic_of(&key);
	if (counters) {
		ADD(counters->opened, 1);
		if (connection->role == WEFT_ROLE_CLIENT && connection->protocol == IPPROTO_TCP)
			histogram_add(&counters->connect_us,
			              now > connection->started_ns ? (now - connection->started_ns) / 1000 : 0);
	}
}

/* What is known of a connection when it ends and is not in its state. */
struct connection_ending {
	struct weft_volume carried;
	struct weft_address source_address;
	__u64 cookie;
	__u64 http; /* the class of its first response, above the number of its requests */
	__be16 source_port;
	__u32 rtt_us;
	__u32 error;
};

/* What the record of a connection says that was in phase `before` until now. */
static __always_inline __u8 ending_event(const struct weft_connection *connection, __u32 before)
{
	if (before != WEFT_PHASE_OPEN)
		return WEFT_FLOW_FAILED;
	if (connection->flags & WEFT_SOCKET_DENIED)
		return WEFT_FLOW_ENDED_BY_POLICY;
	return connection->flags & WEFT_SOCKET_DRAINED ? WEFT_FLOW_ENDED_BY_DRAIN : WEFT_FLOW_CLOSED;
}

/*
 * Ends a connection in the counters and with a flow record, whatever ended it; the first caller does it, every other
 * one finds it done. `counted` is what the counters have of it already; NULL for a young one, of which they have
 * nothing. The record does not leave this function: a caller would test it for NULL again, and kernels before 6.2 do
 * not see that it is the same test.
 */
static __noinline int connection_end(struct weft_connection *connection, struct weft_volume *counted,
                                     const struct connection_ending *ending)
{
	__u32 before = __sync_lock_test_and_set(&connection->phase, WEFT_PHASE_ENDED);
	struct weft_traffic_key key;
	struct weft_traffic *counters;
	struct weft_flow *flow;

	if (before != WEFT_PHASE_CONNECTING && before != WEFT_PHASE_OPEN)
		return 0;
	if (connection->flags & WEFT_SOCKET_LOADED)
		backend_load_add(connection->backend, -1);

	traffic_key_of(connection, &key);
	counters = traffic_of(&key);
	if (counters) {
		if (before == WEFT_PHASE_OPEN)
			ADD(counters->closed, 1);
		else
			ADD(counters->failed, 1);
		count_volume(counters, counted, &ending->carried);
		if (before == WEFT_PHASE_OPEN && ending->rtt_us)
			histogram_add(&counters->rtt_us, ending->rtt_us);
	}
	flow = bpf_ringbuf_reserve(&flows, sizeof(*flow), 0);
	if (!flow) {
		count_node(WEFT_COUNT_FLOWS_LOST);
		return 0;
	}
	flow_fill(flow, connection, ending_event(connection, before));
	flow->sent_bytes = ending->carried.sent_bytes;
	flow->received_bytes = ending->carried.received_bytes;
	flow->window_limited_us = jiffies_us(ending->carried.window_limited);
	flow->retransmits = ending->carried.retransmits;
	flow->source_address = ending->source_address;
	flow->source_port = ending->source_port;
	flow->cookie = ending->cookie;
	flow->rtt_us = ending->rtt_us;
	flow->error = ending->error;
	flow->http_class = ending->http >> 32;
	flow->http_requests = (__u32)ending->http;
	flow_submit(flow);
	return 0;
}

/* Ends what a socket's storage has before it is connected again, or when no hook has seen it end. */
static __noinline int socket_abandon(struct weft_socket *socket)
{
	struct connection_ending ending = { .carried = socket->udp };

	return connection_end(&socket->connection, &socket->counted, &ending);
}

/* The same for a young connection. */
static __noinline int connection_abandon(struct weft_connection *connection)
{
	struct connection_ending ending = {};

	return connection_end(connection, NULL, &ending);
}

static __always_inline void peer_traffic_key(const struct weft_udp_peer *peer, struct weft_traffic_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->source = peer->source;
	key->service = peer->service;
	key->destination = peer->destination;
	key->lane = peer->lane;
	key->reporter = peer->both_ends ? WEFT_REPORTER_BOTH : WEFT_REPORTER_SOURCE;
	key->protocol = IPPROTO_UDP;
	key->address_class = peer->address_class;
}

/* Ends one conversation of an unconnected UDP socket. `peer` is the caller's own copy. */
static __noinline int peer_end(struct weft_udp_peer *peer)
{
	struct weft_volume taken;
	struct weft_traffic_key key;
	struct weft_traffic *counters;
	struct weft_flow *flow;

	backend_load_add(peer->backend, -1);
	peer_traffic_key(peer, &key);
	take_volume(&peer->counted, &peer->volume, &taken);
	counters = traffic_of(&key);
	if (counters) {
		ADD(counters->closed, 1);
		add_volume(counters, &taken);
	}
	flow = bpf_ringbuf_reserve(&flows, sizeof(*flow), 0);
	if (!flow) {
		count_node(WEFT_COUNT_FLOWS_LOST);
		return 0;
	}
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->started_ns = peer->started_ns;
	flow->ended_ns = bpf_ktime_get_ns();
	flow->source = peer->source;
	flow->service = peer->service;
	flow->destination = peer->destination;
	flow->rule = peer->rule;
	flow->sent_bytes = peer->volume.sent_bytes;
	flow->received_bytes = peer->volume.received_bytes;
	flow->service_address = peer->service_address;
	flow->peer_address = peer->backend_address;
	flow->service_port = peer->service_port;
	flow->peer_port = peer->backend_port;
	flow->protocol = IPPROTO_UDP;
	flow->lane = peer->lane;
	flow->event = WEFT_FLOW_CLOSED;
	flow->address_class = peer->address_class;
	flow_submit(flow);
	return 0;
}

#endif
