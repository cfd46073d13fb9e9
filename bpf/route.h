/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The decision about one destination: which service, which backend, which workload, and whether policy allows it. It is
 * the same for connect() and for a datagram; what becomes of it is the business of connect.bpf.c.
 */
#ifndef WEFT_ROUTE_H
#define WEFT_ROUTE_H

#include "identity.h"
#include "pair.h"
#include "select.h"
#include "verdict.h"

/* What is decided about one destination. */
struct route {
	struct weft_address asked; /* by the application */
	struct weft_address peer;  /* where it goes */
	__be16 asked_port;
	__be16 peer_port;
	__u8 protocol;
	__u8 lane;
	__u8 address_class;
	__u8 tracked;            /* 0: not the mesh's business */
	__s32 error;             /* errno to refuse with; 0: allowed */
	__u32 quiet;             /* decide only: the connection has been counted before */
	__u32 destination_flags; /* enum weft_workload_flags */
	__u16 direct;            /* past the proxy, which is not there */
	__u16 translated;        /* the peer is not what was asked for */
	__u64 source;
	__u64 service;
	__u64 destination;
	__u64 backend;
	__u64 rule;
	__u64 netns_cookie;
	__u64 cgroup;
};

/* The bound source address of a socket, in the normal form; unspecified if it is not bound. */
static __always_inline struct weft_address bound_address(struct bpf_sock *sk)
{
	if (sk->family == AF_INET6)
		return weft_address_v6(sk->src_ip6[0], sk->src_ip6[1], sk->src_ip6[2], sk->src_ip6[3]);
	return weft_address_v4(sk->src_ip4);
}

/*
 * The source address that a connection will have, as far as it is known before the route is looked up: the bound one;
 * the loopback address towards loopback (the kernel's own choice); otherwise the workload's.
 */
static __noinline int source_address(const struct weft_address *bound, const struct route *route,
                                     struct verdict_request *request)
{
	struct weft_workload *source;

	if (!weft_address_is_unspecified(bound)) {
		request->address = *bound;
		request->address_known = 1;
		return 0;
	}
	if (weft_address_is_loopback(&route->peer)) {
		request->address =
		    weft_address_is_v4(&route->peer) ? weft_address_v4(bpf_htonl(0x7f000001)) : route->peer;
		request->address_known = 1;
		return 0;
	}
	source = bpf_map_lookup_elem(&workloads, &request->peer);
	if (source && !weft_address_is_unspecified(&source->address) &&
	    weft_address_is_v4(&source->address) == weft_address_is_v4(&route->peer)) {
		request->address = source->address;
		request->address_known = 1;
	}
	return 0;
}

/* Counts and reports a refusal. */
static __noinline int report_refusal(const struct route *route, const struct weft_address *bound)
{
	struct weft_traffic_key key = {
		.source = route->source,
		.service = route->service,
		.destination = route->destination,
		.lane = route->lane,
		.reporter = WEFT_REPORTER_SOURCE,
		.protocol = route->protocol,
		.address_class = route->address_class,
	};
	struct weft_traffic *counters = traffic_of(&key);
	struct weft_flow *flow;

	if (counters) {
		if (route->error == EPERM)
			ADD(counters->denied, 1);
		else
			ADD(counters->no_backend, 1);
	}
	flow = bpf_ringbuf_reserve(&flows, sizeof(*flow), 0);
	if (!flow) {
		count_node(WEFT_COUNT_FLOWS_LOST);
		return 0;
	}
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->started_ns = bpf_ktime_get_ns();
	flow->ended_ns = flow->started_ns;
	flow->netns_cookie = route->netns_cookie;
	flow->cgroup = route->cgroup;
	flow->source = route->source;
	flow->service = route->service;
	flow->destination = route->destination;
	flow->rule = route->rule;
	flow->source_address = *bound;
	flow->service_address = route->asked;
	flow->service_port = route->asked_port;
	flow->peer_address = route->peer;
	flow->peer_port = route->peer_port;
	flow->protocol = route->protocol;
	flow->lane = route->lane;
	flow->address_class = route->address_class;
	flow->event = route->error == EPERM ? WEFT_FLOW_DENIED : WEFT_FLOW_NO_BACKEND;
	flow->error = route->error;
	flow_submit(flow);
	return 0;
}

/* Service, backend, destination workload. */
VERIFIED_ALONE int find_destination(struct route *route, const struct weft_address *bound)
{
	struct weft_service_key key = {};
	struct weft_service *service;
	struct weft_backend *backend;
	__u64 id;

	if (!route || !bound)
		return 0;
	key.address = route->asked;
	key.port = route->asked_port;
	key.protocol = route->protocol;
	service = bpf_map_lookup_elem(&services, &key);
	if (!service) {
		struct weft_address target = route->asked;

		/* The kernel connects the unspecified address to this host. */
		if (weft_address_is_unspecified(&target)) {
			if (!weft_address_is_unspecified(bound))
				target = *bound;
			else if (weft_address_is_v4(&target))
				target = weft_address_v4(bpf_htonl(0x7f000001));
			else
				target = weft_address_v6(0, 0, 0, bpf_htonl(1));
		}
		route->destination =
		    workload_of_address(&target, route->asked_port, route->protocol, route->netns_cookie);
		if (route->destination == WEFT_WORKLOAD_AGENT) {
			/* The agent's own listeners take what was captured, and nothing else. */
			route->destination = 0;
			route->error = EPERM;
		} else if (route->destination) {
			route->lane = WEFT_LANE_KERNEL;
			route->tracked = 1;
		} else {
			route->lane = WEFT_LANE_PASSTHROUGH;
			route->address_class = weft_address_class_of(&route->asked);
			route->tracked = route->source != 0;
		}
		return 0;
	}

	route->tracked = 1;
	route->translated = 1;
	route->service = service->id;
	route->lane = route->direct ? WEFT_LANE_KERNEL : service->lane;
	if (route->lane == WEFT_LANE_PROXY)
		return 0;
	/* A socket that talks to several services by sendto() has a backend of each already. */
	backend = route->backend ? active_backend(route->backend) : NULL;
	if (!backend) {
		struct weft_affinity_key client = {
			.service = service->id,
			.netns_cookie = route->netns_cookie,
			.workload = route->source,
		};

		if (!weft_address_is_unspecified(bound))
			client.source = *bound;
		id = select_backend(service, &client);
		backend = active_backend(id);
		if (!backend) {
			id = select_again(service, &client);
			backend = active_backend(id);
		}
		route->backend = id;
		route->quiet = 0;
	}
	if (!backend) {
		route->backend = 0;
		route->error = ECONNREFUSED;
		return 0;
	}
	route->peer = backend->address;
	route->peer_port = backend->port;
	route->destination = backend->workload;
	return 0;
}

#include "capture.h"

/*
 * A loopback address that nobody has declared leads to whoever listens there, and so it does to a workload that listens
 * at all addresses: it is connected to as by its own address. What it says to itself is no business of the mesh.
 */
static __noinline int find_listener(struct bpf_sock_addr *ctx, struct route *route)
{
	__u64 id = workload_listening(ctx, route);
	struct weft_inbound_port *port;
	struct weft_workload *workload;

	if (!id || id == WEFT_WORKLOAD_AGENT || id == route->source)
		return 0;
	route->address_class = 0;
	route->tracked = 1;
	workload = bpf_map_lookup_elem(&workloads, &id);
	port = workload ? inbound_port(id, route->asked_port, workload->flags) : NULL;
	if (port && port->service) {
		route->lane = WEFT_LANE_PROXY;
		route->service = port->service;
	} else {
		route->lane = WEFT_LANE_KERNEL;
		route->destination = id;
	}
	return 0;
}

/* Policy for a connection that the agent takes: the places that its requests may go to have to allow it. */
static __noinline int judge_capture(struct route *route, const struct weft_address *bound)
{
	__u64 service = route->service;
	struct weft_capture *capture = bpf_map_lookup_elem(&captures, &service);
	struct verdict_request request = {
		.workload = route->source,
		.protocol = route->protocol,
		.quiet = route->quiet,
	};
	struct verdict verdict = {};

	if (!capture)
		return 0;
	if (capture_egress_denied(capture, &request, &verdict)) {
		route->destination = request.peer;
		route->error = EPERM;
	} else {
		request.peer = route->source;
		source_address(bound, route, &request);
		if (capture_denied(capture, &request, &verdict)) {
			route->destination = request.workload;
			route->error = EPERM;
		}
	}
	route->rule = verdict.rule;
	return 0;
}

/* Policy for a connection with its destination: that of the source's own connections, then that of the destination. */
static __noinline int judge(struct route *route, const struct weft_address *bound)
{
	struct verdict_request request = {
		.workload = route->source,
		.peer = route->destination,
		.address = route->peer,
		.port = route->peer_port,
		.protocol = route->protocol,
		.address_known = 1,
		.quiet = route->quiet,
	};
	struct verdict verdict = {};

	if (route->source) {
		egress_verdict(&request, &verdict);
		route->rule = verdict.rule;
	}
	if (!verdict.denied && route->destination) {
		request.workload = route->destination;
		request.peer = route->source;
		request.address_known = 0;
		source_address(bound, route, &request);
		policy_verdict(&request, &verdict);
		route->destination_flags = verdict.destination_flags;
		if (verdict.rule)
			route->rule = verdict.rule;
	}
	if (verdict.denied)
		route->error = EPERM;
	return 0;
}

static __noinline int count_slow_route(const struct route *route, __u32 reason)
{
	struct weft_acceleration_key key = {
		.source = route->source,
		.service = route->service,
		.destination = route->destination,
		.lane = WEFT_LANE_ACCELERATED,
	};
	struct weft_acceleration *counters = acceleration_of(&key);

	if (counters && reason < WEFT_SLOW_REASONS)
		ADD(counters->slow_connections[reason], 1);
	return 0;
}

/*
 * Whether a connection between two workloads of the node may go from socket to socket. A few that could stay with TCP,
 * so that the others have something to be compared with.
 */
static __noinline int may_accelerate(const struct route *route)
{
	__u32 zero = 0;
	struct weft_settings *node = bpf_map_lookup_elem(&settings, &zero);
	__u64 id = route->source;
	struct weft_workload *source;
	struct weft_conduct *judged;

	if (!node || !node->acceleration)
		return 0;
	source = bpf_map_lookup_elem(&workloads, &id);
	if (!source || !(source->flags & WEFT_WORKLOAD_ACCELERATED))
		return 0;
	id = route->service;
	judged = bpf_map_lookup_elem(&conduct, &id);
	if (judged && judged->evidence & WEFT_EVIDENCE_NO_GAIN)
		return count_slow_route(route, WEFT_SLOW_NO_GAIN);
	if (node->control_share && bpf_get_prandom_u32() % 10000 < node->control_share)
		return count_slow_route(route, WEFT_SLOW_CONTROL);
	return 1;
}

/* Decides everything about one destination; `asked`, `backend` (a wish, or 0) and `quiet` are filled by the caller. */
static __noinline int decide(struct bpf_sock_addr *ctx, struct route *route)
{
	struct weft_address bound;
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return 0;
	bound = bound_address(sk);
	route->peer = route->asked;
	route->peer_port = route->asked_port;
	route->netns_cookie = bpf_get_netns_cookie(ctx);
	route->cgroup = bpf_get_current_cgroup_id();
	route->source = workload_of_current(route->cgroup);
	if (route->source == WEFT_WORKLOAD_AGENT) {
		/* It goes where it wants to, as the processes that it speaks for have been decided. */
		route->source = 0;
		return 0;
	}
	find_destination(route, &bound);
	if (route->lane == WEFT_LANE_PASSTHROUGH && route->protocol == IPPROTO_TCP &&
	    (weft_address_is_loopback(&route->asked) || weft_address_is_unspecified(&route->asked)))
		find_listener(ctx, route);
	if (route->lane == WEFT_LANE_PROXY && capture(ctx, route)) {
		route->direct = 1;
		route->peer = route->asked;
		route->peer_port = route->asked_port;
		find_destination(route, &bound);
	}

	if (!route->error) {
		if (route->lane == WEFT_LANE_PROXY)
			judge_capture(route, &bound);
		else
			judge(route, &bound);
	}
	if (!route->error) {
		/* Who is no workload has no certificate, and goes as from a host without an agent. */
		if (route->source && takes_tunnel(route))
			enter_tunnel(route);
		else if (route->asked_port == bpf_htons(DNS_PORT) && route->lane == WEFT_LANE_PASSTHROUGH &&
		         route->source)
			ask_agent(ctx, route);
		else if (route->destination_flags & WEFT_WORKLOAD_ACCELERATED && route->lane == WEFT_LANE_KERNEL &&
		         route->protocol == IPPROTO_TCP && may_accelerate(route))
			route->lane = WEFT_LANE_ACCELERATED;
	}
	if (route->error)
		report_refusal(route, &bound);
	return 0;
}

#endif
