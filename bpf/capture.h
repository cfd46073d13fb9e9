/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The lanes through the agent at connect(): a connection to a service whose rules are about requests, or to a workload
 * of another node that takes tunnels, goes to the agent on this node, which learns where it was meant to go from
 * `origins`. Included by route.h; other connections never come here.
 */
#ifndef WEFT_CAPTURE_H
#define WEFT_CAPTURE_H

#include "guard.h"

#define DNS_PORT 53

/* The other end of what would connect to an address; returns the size of its form. */
static __always_inline __u32 destination_tuple(const struct weft_address *address, __be16 port,
                                               struct bpf_sock_tuple *tuple)
{
	if (weft_address_is_v4(address)) {
		tuple->ipv4.daddr = weft_address_to_v4(address);
		tuple->ipv4.dport = port;
		return sizeof(tuple->ipv4);
	}
	tuple->ipv6.daddr[0] = weft_address_word(address, 0);
	tuple->ipv6.daddr[1] = weft_address_word(address, 1);
	tuple->ipv6.daddr[2] = weft_address_word(address, 2);
	tuple->ipv6.daddr[3] = weft_address_word(address, 3);
	tuple->ipv6.dport = port;
	return sizeof(tuple->ipv6);
}

/* The workload whose process listens where the application wants to connect to, in its namespace; 0 if none does. */
static __noinline __u64 workload_listening(struct bpf_sock_addr *ctx, const struct route *route)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = destination_tuple(&route->asked, route->asked_port, &tuple);
	struct tcp_sock *tcp;
	struct bpf_sock *sk;
	__u64 workload = 0;

	sk = bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	if (sk->state == TCP_LISTEN_STATE) {
		tcp = bpf_skc_to_tcp_sock(sk);
		if (tcp)
			workload = workload_of_socket(tcp);
	}
	bpf_sk_release(sk);
	return workload;
}

/* Whether somebody listens at the route's peer, in the namespace of the socket that connects. */
static __noinline int agent_listens(struct bpf_sock_addr *ctx, const struct route *route)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = destination_tuple(&route->peer, route->peer_port, &tuple);
	struct bpf_sock *sk;
	int listens;

	if (route->protocol == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		sk = bpf_sk_lookup_tcp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return 0;
	listens = route->protocol == IPPROTO_UDP || sk->state == TCP_LISTEN_STATE;
	bpf_sk_release(sk);
	return listens;
}

/* Whether an agent on another node takes tunnels for the route's destination at its port. */
static __always_inline int takes_tunnel(const struct route *route)
{
	__u32 flags = route->destination_flags;
	struct weft_inbound_port *port;

	if (flags & WEFT_WORKLOAD_LOCAL || route->protocol != IPPROTO_TCP)
		return 0;
	port = inbound_port(route->destination, route->peer_port, flags);
	if (port && port->tls != WEFT_PORT_TLS_INHERITED)
		return port->tls != WEFT_PORT_TLS_NONE;
	return flags & WEFT_WORKLOAD_TUNNEL;
}

/* Makes the agent's listener the route's peer. */
static __always_inline void turn_to(const struct weft_proxy *agent, struct route *route)
{
	route->peer = weft_address_is_v4(&route->asked) ? agent->outbound4 : agent->outbound6;
	route->peer_port = agent->outbound_port;
	route->translated = 1;
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
	if ((capture->flags & WEFT_CAPTURE_FAIL_OPEN) && !agent_listens(ctx, route))
		return 1;
	if (!route->peer_port)
		route->error = ECONNREFUSED;
	return 0;
}

/*
 * Turns a question for names to the agent, which answers for the mesh's own and asks its upstream for the others. Where
 * no agent listens the question goes where it was meant to go.
 */
static __noinline int ask_agent(struct bpf_sock_addr *ctx, struct route *route)
{
	__u32 zero = 0;
	struct weft_proxy *agent = bpf_map_lookup_elem(&proxy, &zero);

	if (!agent || !agent->dns_port)
		return 0;
	route->peer = weft_address_is_v4(&route->asked) ? agent->dns4 : agent->dns6;
	route->peer_port = agent->dns_port;
	route->translated = agent_listens(ctx, route);
	if (!route->translated) {
		route->peer = route->asked;
		route->peer_port = route->asked_port;
	}
	return 0;
}

#endif
