/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The lanes through the agent at connect(): a connection to a service whose rules are about requests, or to a workload
 * of another node that takes tunnels, goes to the agent on this node, which learns where it was meant to go from
 * `origins`. Included by route.h; other connections never come here.
 */
#ifndef WEFT_CAPTURE_H
#define WEFT_CAPTURE_H

#include "guard.h"

/* Whether somebody takes captured connections at the route's peer, in the namespace of the socket that connects. */
static __noinline int proxy_listens(struct bpf_sock_addr *ctx, const struct route *route)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = sizeof(tuple.ipv6);
	struct bpf_sock *sk;
	int listens;

	if (weft_address_is_v4(&route->peer)) {
		size = sizeof(tuple.ipv4);
		tuple.ipv4.daddr = weft_address_to_v4(&route->peer);
		tuple.ipv4.dport = route->peer_port;
	} else {
		tuple.ipv6.daddr[0] = weft_address_word(&route->peer, 0);
		tuple.ipv6.daddr[1] = weft_address_word(&route->peer, 1);
		tuple.ipv6.daddr[2] = weft_address_word(&route->peer, 2);
		tuple.ipv6.daddr[3] = weft_address_word(&route->peer, 3);
		tuple.ipv6.dport = route->peer_port;
	}
	sk = bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	listens = sk->state == TCP_LISTEN_STATE;
	bpf_sk_release(sk);
	return listens;
}

/* Makes the agent's listener the route's peer. */
static __always_inline void turn_to(const struct weft_proxy *agent, struct route *route)
{
	route->peer = weft_address_is_v4(&route->asked) ? agent->outbound4 : agent->outbound6;
	route->peer_port = agent->outbound_port;
}

/*
 * Gives a connection that policy has allowed to the agent, which carries it through a tunnel to its destination's node.
 * Where no agent takes it, it is refused: it is never sent in the clear instead.
 */
static __noinline int enter_tunnel(struct route *route)
{
	__u32 zero = 0;
	struct weft_proxy *agent = bpf_map_lookup_elem(&proxy, &zero);

	route->lane = WEFT_LANE_TUNNEL;
	if (!agent || !agent->outbound_port) {
		route->error = ECONNREFUSED;
		return 0;
	}
	turn_to(agent, route);
	return 0;
}

/*
 * Turns a connection of the proxy lane to the agent. Returns 1 if it is to go past the agent instead, because that is
 * not there and the service would rather have its connections balanced without its rules than refused.
 */
static __noinline int capture(struct bpf_sock_addr *ctx, struct route *route)
{
	__u64 id = route->service;
	__u32 zero = 0;
	struct weft_capture *capture = bpf_map_lookup_elem(&captures, &id);
	struct weft_proxy *agent = bpf_map_lookup_elem(&proxy, &zero);

	if (!capture || !agent) {
		count_node(WEFT_COUNT_FAIL_CLOSED);
		route->error = ECONNREFUSED;
		return 0;
	}
	turn_to(agent, route);
	if ((capture->flags & WEFT_CAPTURE_FAIL_OPEN) && !proxy_listens(ctx, route))
		return 1;
	if (!route->peer_port)
		route->error = ECONNREFUSED;
	return 0;
}

#endif
