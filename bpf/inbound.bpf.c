/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What arrives at workloads.
 *
 * sk_lookup: policy, and the demand for mutual TLS, for connections that no hook of this node has decided, because
 * their client is on another node or outside of the cgroup, and the way to the agent for those with rules about
 * requests and for tunnels. Attached in every network namespace with a workload that has such rules, and only there.
 *
 * cgroup_skb: TCP keeps its own books and passes at once; datagrams are counted here, because nobody else does.
 * Attached only while the mesh has a UDP service.
 */
#include "kernel.h"

#include "identity.h"
#include "listener.h"
#include "socket.h"
#include "strict.h"
#include "tuple.h"
#include "verdict.h"

char _license[] SEC("license") = "GPL";

#define PASS 1
#define NOBODY_LISTENS -1
#define IPV4_MINIMUM 20
#define IPV6_HEADER 40
#define UDP_HEADER 8

struct datagram {
	struct weft_address remote;
	__be16 remote_port;
	__u32 payload;
};

/* Reads the remote end and the payload's length from the headers; 0 if this is not a plain UDP packet. */
static __noinline int read_datagram(struct __sk_buff *skb, struct datagram *datagram, int egress)
{
	__be32 words[4];
	__be16 ports[2];
	__u8 first, next;
	__u32 header;

	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return 0;
	if (first >> 4 == 4) {
		header = (first & 0xf) * 4;
		if (header < IPV4_MINIMUM || bpf_skb_load_bytes(skb, 9, &next, 1) || next != IPPROTO_UDP)
			return 0;
		if (bpf_skb_load_bytes(skb, egress ? 16 : 12, words, 4))
			return 0;
		datagram->remote = weft_address_v4(words[0]);
	} else {
		/* Extension headers are not followed: applications' datagrams have none on this path. */
		header = IPV6_HEADER;
		if (bpf_skb_load_bytes(skb, 6, &next, 1) || next != IPPROTO_UDP)
			return 0;
		if (bpf_skb_load_bytes(skb, egress ? 24 : 8, words, sizeof(words)))
			return 0;
		datagram->remote = weft_address_v6(words[0], words[1], words[2], words[3]);
	}
	if (bpf_skb_load_bytes(skb, header, ports, sizeof(ports)) || skb->len < header + UDP_HEADER)
		return 0;
	datagram->remote_port = egress ? ports[1] : ports[0];
	datagram->payload = skb->len - header - UDP_HEADER;
	return 1;
}

static __always_inline void add_datagram(struct weft_volume *volume, __u32 payload, int egress)
{
	if (egress) {
		ADD(volume->sent_bytes, payload);
		ADD(volume->sent_segments, 1);
	} else {
		ADD(volume->received_bytes, payload);
		ADD(volume->received_segments, 1);
	}
}

static __always_inline int count_datagram(struct __sk_buff *skb, int egress)
{
	struct bpf_sock *sk = skb->sk;
	struct weft_udp_socket *udp;
	struct datagram datagram;
	struct weft_socket *socket;
	__u64 latest = 0;
	int found = -1;

	if (!sk)
		return PASS;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_UDP)
		return PASS;
	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	/* Between the tests a barrier: the compiler would join two pointers with OR, which the verifier refuses. */
	udp = bpf_sk_storage_get(&udp_sockets, sk, 0, 0);
	if (!socket) {
		barrier_var(udp);
		if (!udp)
			return PASS;
	}
	if (!read_datagram(skb, &datagram, egress))
		return PASS;

	if (socket && socket->connection.role == WEFT_ROLE_CLIENT &&
	    socket->connection.peer_port == datagram.remote_port &&
	    weft_address_equal(&socket->connection.peer_address, &datagram.remote)) {
		add_datagram(&socket->udp, datagram.payload, egress);
		return PASS;
	}
	if (!udp)
		return PASS;
	bpf_spin_lock(&udp->lock);
	for (int i = 0; i < WEFT_UDP_PEERS; i++) {
		struct weft_udp_peer *peer = &udp->peers[i];

		if (peer->used && peer->backend_port == datagram.remote_port && peer->last_used_ns >= latest &&
		    weft_address_equal(&peer->backend_address, &datagram.remote)) {
			latest = peer->last_used_ns;
			found = i;
		}
	}
	if (found >= 0 && found < WEFT_UDP_PEERS) {
		struct weft_volume *volume = &udp->peers[found].volume;

		if (egress) {
			volume->sent_bytes += datagram.payload;
			volume->sent_segments += 1;
		} else {
			volume->received_bytes += datagram.payload;
			volume->received_segments += 1;
		}
	}
	bpf_spin_unlock(&udp->lock);
	return PASS;
}

SEC("cgroup_skb/egress")
int datagram_out(struct __sk_buff *skb)
{
	return count_datagram(skb, 1);
}

SEC("cgroup_skb/ingress")
int datagram_in(struct __sk_buff *skb)
{
	return count_datagram(skb, 0);
}

/* ------------------------------------------------------------------------------------------------- inbound policy */

/* The namespace that the program is attached in; set before loading, because sk_lookup cannot ask for it. */
const volatile __u64 attached_netns_cookie;

/* Counts and reports a refusal at the destination. */
static __noinline int report_inbound(const struct verdict_request *request, __u64 rule,
                                     const struct weft_tuple_key *ends)
{
	struct weft_traffic_key key = {
		.destination = request->workload,
		.lane = WEFT_LANE_KERNEL,
		.reporter = WEFT_REPORTER_DESTINATION,
		.protocol = request->protocol,
	};
	struct weft_traffic *counters = traffic_of(&key);
	struct weft_flow *flow;

	if (counters)
		ADD(counters->denied, 1);
	flow = bpf_ringbuf_reserve(&flows, sizeof(*flow), 0);
	if (!flow) {
		count_node(WEFT_COUNT_FLOWS_LOST);
		return 0;
	}
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->started_ns = bpf_ktime_get_ns();
	flow->ended_ns = flow->started_ns;
	flow->netns_cookie = attached_netns_cookie;
	flow->destination = request->workload;
	flow->rule = rule;
	flow->source_address = ends->client_address;
	flow->source_port = ends->client_port;
	flow->service_address = ends->server_address;
	flow->service_port = ends->server_port;
	flow->peer_address = ends->server_address;
	flow->peer_port = ends->server_port;
	flow->protocol = request->protocol;
	flow->lane = WEFT_LANE_KERNEL;
	flow->event = WEFT_FLOW_DENIED;
	flow->reporter = WEFT_REPORTER_DESTINATION;
	flow->error = EPERM;
	/* Every datagram of a refused client comes here: they are not worth waking the agent for. */
	if (request->protocol == IPPROTO_UDP)
		bpf_ringbuf_submit(flow, BPF_RB_NO_WAKEUP);
	else
		flow_submit(flow);
	return 0;
}

/*
 * Gives a connection to one of the agent's listeners in this namespace. The socket that the agent accepts has the
 * address that the client connected to. Returns NOBODY_LISTENS, or the verdict.
 */
static __noinline int give_to_agent(struct bpf_sk_lookup *ctx, __u32 kind)
{
	struct weft_inbound_socket_key key = { .netns_cookie = attached_netns_cookie, .kind = kind };
	struct bpf_sock *listener;
	int error;

	/* Behind the kind for IPv4 there is that for IPv6. */
	if (ctx->family != AF_INET)
		key.kind += WEFT_INBOUND_IPV6;
	listener = bpf_map_lookup_elem(&inbound_socks, &key);
	if (!listener)
		return NOBODY_LISTENS;
	error = bpf_sk_assign(ctx, listener, 0);
	bpf_sk_release(listener);
	return error ? SK_DROP : SK_PASS;
}

/* What has rules about requests at its port goes to the agent. `service`: whose rules they are. */
static __noinline int steer(struct bpf_sk_lookup *ctx, __u64 service)
{
	int verdict = give_to_agent(ctx, WEFT_INBOUND_IPV4);
	struct weft_capture *capture;

	if (verdict != NOBODY_LISTENS)
		return verdict;
	/* Nobody is there to apply the rules. */
	capture = bpf_map_lookup_elem(&captures, &service);
	return capture && capture->flags & WEFT_CAPTURE_FAIL_OPEN ? SK_PASS : SK_DROP;
}

/* Whether somebody's own sendmsg() or connect() on this node has decided about a datagram from this address. */
static __always_inline int is_of_this_node(const struct weft_address *remote)
{
	struct weft_workload *client;
	__u64 id;

	if (weft_address_is_loopback(remote))
		return 1;
	/* As for TCP: the owner of the whole address, whatever the port. */
	id = workload_of_address(remote, 0, IPPROTO_TCP, attached_netns_cookie);
	client = id ? bpf_map_lookup_elem(&workloads, &id) : NULL;
	return client && client->flags & WEFT_WORKLOAD_LOCAL;
}

static __always_inline int has_inbound_rules(const struct weft_workload *workload, __u32 protocol)
{
	if (protocol == IPPROTO_UDP)
		return workload->ingress != 0;
	return workload->policy || workload->ingress ||
	       workload->flags & (WEFT_WORKLOAD_INBOUND | WEFT_WORKLOAD_STRICT);
}

/* The rest of `inbound`, for what no hook of this node has decided. */
static __noinline int decide_inbound(struct bpf_sk_lookup *ctx, struct verdict_request *request,
                                     const struct weft_tuple_key *ends, __u32 flags)
{
	struct weft_inbound_port *port = NULL;
	struct verdict verdict = {};

	if (request->protocol == IPPROTO_TCP) {
		port = inbound_port(request->workload, request->port, flags);
		if (is_strict(port, flags)) {
			count_rule(strict_rule, WEFT_VERDICT_DENY, WEFT_MODE_ENFORCE);
			report_inbound(request, strict_rule, ends);
			return SK_DROP;
		}
	}
	request->quiet = port && port->service;
	policy_verdict(request, &verdict);
	if (request->quiet)
		count_carried(request, &verdict);
	if (verdict.denied) {
		report_inbound(request, verdict.rule, ends);
		return SK_DROP;
	}
	return port && port->service ? steer(ctx, port->service) : SK_PASS;
}

/*
 * Runs when a SYN, or a datagram of nobody that a socket is connected to, looks for its socket. A plain client has no
 * identity: its address can satisfy ipBlocks and the selectors of NetworkPolicies, and nothing that asks for a
 * principal. Dropping answers with a reset, before the workload sees a byte.
 */
SEC("sk_lookup")
int inbound_policy(struct bpf_sk_lookup *ctx)
{
	struct verdict_request request = {};
	struct weft_tuple_key ends;
	struct weft_address local, remote;
	__be16 local_port = bpf_htons(ctx->local_port);
	struct weft_workload *workload;
	struct weft_tuple tuple = {};
	struct weft_proxy *agent;
	int is_declared = 1;
	__u32 flags = 0;
	__u32 zero = 0;

	if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP)
		return SK_PASS;
	if (ctx->family == AF_INET) {
		local = weft_address_v4(ctx->local_ip4);
		remote = weft_address_v4(ctx->remote_ip4);
	} else {
		local = weft_address_v6(ctx->local_ip6[0], ctx->local_ip6[1], ctx->local_ip6[2], ctx->local_ip6[3]);
		remote =
		    weft_address_v6(ctx->remote_ip6[0], ctx->remote_ip6[1], ctx->remote_ip6[2], ctx->remote_ip6[3]);
	}
	/* No packet: connect() asks who listens somewhere (workload_listening). */
	if (!ctx->remote_port && weft_address_is_unspecified(&remote))
		return SK_PASS;
	request.protocol = ctx->protocol;
	request.workload = workload_of_address(&local, local_port, request.protocol, attached_netns_cookie);
	if (!request.workload && request.protocol == IPPROTO_TCP) {
		request.workload = workload_of_listener(&local, local_port, attached_netns_cookie);
		is_declared = 0;
	}
	if (!request.workload || request.workload == WEFT_WORKLOAD_AGENT)
		return SK_PASS;
	workload = bpf_map_lookup_elem(&workloads, &request.workload);
	/* One that is no longer configured guards nothing at addresses that were never its own. */
	if (!workload && !is_declared)
		return SK_PASS;
	if (workload) {
		flags = workload->flags;
		if (!(flags & WEFT_WORKLOAD_LOCAL))
			return SK_PASS;
		/* What comes through a tunnel is decided when it leaves it. */
		agent = bpf_map_lookup_elem(&proxy, &zero);
		if (agent && agent->tunnel_port && agent->tunnel_port == local_port &&
		    request.protocol == IPPROTO_TCP) {
			int verdict = give_to_agent(ctx, WEFT_INBOUND_TUNNEL_IPV4);

			if (verdict != NOBODY_LISTENS)
				return verdict;
		}
		if (!has_inbound_rules(workload, request.protocol))
			return SK_PASS;
	}

	tuple_key(&ends, &remote, ctx->remote_port, &local, local_port, attached_netns_cookie);
	if (request.protocol == IPPROTO_UDP) {
		if (is_of_this_node(&remote))
			return SK_PASS;
		request.network_only = 1;
	} else {
		/* A client of this node has been decided in its connect(), with its identity; so have those of the
		 * agent. What a workload says to itself is no business of the mesh. */
		if (tuple_find(&ends, &tuple) &&
		    (tuple.destination == request.workload || tuple.source == WEFT_WORKLOAD_AGENT ||
		     (!tuple.destination && tuple.source == request.workload)))
			return SK_PASS;
		request.peer = tuple.source;
	}
	request.address = remote;
	request.address_known = 1;
	request.port = local_port;
	return decide_inbound(ctx, &request, &ends, flags);
}
