/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The sweep, run by the agent every second and after each change, so that connections themselves pay nothing for it:
 *
 * 1. `aged` names the network namespaces in which connections of `connections` are not young any more.
 * 2. `settle`, run in each of these, moves such connections into their sockets' storage.
 * 3. `sweep`, over the storage of all mesh sockets, moves what open connections have carried into the counters, decides
 *    each connection's policy anew, and writes to its reader those that have to end (struct weft_doomed).
 *
 * Beside it: `accept_queues`, run every second; `enlist`, run in the namespaces of local workloads when the
 * enrolment of cgroups has changed; and `unread`, run before the maps are removed.
 */
#include "kernel.h"

#include "guard.h"
#include "listener.h"
#include "pair.h"
#include "socket.h"
#include "strict.h"
#include "verdict.h"

char _license[] SEC("license") = "GPL";

#define CONNECT_GRACE_NS 1000000000ull

/* The latest start of a connection that is not young any more. */
static __always_inline __u64 aged_limit(void)
{
	__u32 zero = 0;
	struct weft_settings *node = bpf_map_lookup_elem(&settings, &zero);

	return bpf_ktime_get_ns() - (node ? node->young_ms : 0) * 1000000ull;
}

static __always_inline int is_aged(const struct weft_connection *connection, __u64 limit)
{
	return connection->phase == WEFT_PHASE_OPEN && connection->started_ns <= limit;
}

struct aged_search {
	struct seq_file *output;
	__u64 limit;
	__u64 last; /* neighbours are often of one namespace */
};

/* Looks without any lock: what has just changed hands names a namespace in vain at most. */
static long aged_one(struct bpf_map *map, __u32 *index, struct weft_young *young, struct aged_search *search)
{
	__u64 netns_cookie;

	if (!young->cookie || !is_aged(&young->connection, search->limit))
		return 0;
	netns_cookie = young->connection.netns_cookie;
	if (netns_cookie == search->last)
		return 0;
	search->last = netns_cookie;
	bpf_seq_write(search->output, &netns_cookie, sizeof(netns_cookie));
	return 0;
}

static long count_one(struct bpf_map *map, __u32 *index, struct weft_pair *pair, void *unused)
{
	if (pair->client && pair->client != PAIR_CHANGING)
		pair_count(pair);
	return 0;
}

/* Over `settings`, which has one entry: once. What pairs have carried is counted by the way. */
SEC("iter/bpf_map_elem")
int aged(struct bpf_iter__bpf_map_elem *ctx)
{
	struct aged_search search = { .output = ctx->meta->seq, .limit = aged_limit() };
	struct weft_settings *node = ctx->value;

	if (!node)
		return 0;
	bpf_for_each_map_elem(&connections, aged_one, &search, 0);
	if (node->acceleration)
		bpf_for_each_map_elem(&pairs, count_one, NULL, 0);
	return 0;
}

/*
 * Over the TCP sockets of a network namespace, each of them locked, as it is for the hooks of its connection: so its
 * state is in one place or the other for all of them.
 */
SEC("iter/tcp")
int settle(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct weft_socket *socket;
	struct weft_young *young;
	struct tcp_sock *tcp;

	if (!common)
		return 0;
	young = young_find(common->skc_cookie.counter);
	if (!young || !is_aged(&young->connection, aged_limit()))
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp)
		return 0;
	socket = bpf_sk_storage_get(&sockets, tcp, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket)
		return 0;
	socket->connection = young->connection;
	young_free(young);
	return 0;
}

/*
 * Over the TCP sockets of a network namespace: enters those that listen as what their cgroup is now. One of the
 * kernel's own is entered only if the lifecycle program has watched it since it began, because it would never leave.
 */
SEC("iter/tcp")
int enlist(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct weft_listening *entered;
	struct tcp_sock *tcp;
	__u64 workload;

	if (!common || common->skc_state != TCP_LISTEN_STATE)
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp || (is_kernels_own(tcp) && !(tcp->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG)))
		return 0;
	workload = workload_of_socket(tcp);
	if (!workload || workload == WEFT_WORKLOAD_AGENT) {
		listener_leave(bpf_sk_storage_get(&listening, tcp, 0, 0));
		return 0;
	}
	entered = bpf_sk_storage_get(&listening, tcp, 0, BPF_SK_STORAGE_GET_F_CREATE);
	listener_enter(tcp, entered, workload);
	return 0;
}

static __noinline void count_open(struct weft_socket *socket, struct tcp_sock *tcp)
{
	struct weft_volume carried, taken;
	struct weft_traffic_key key;
	struct weft_traffic *counters;
	__u32 rtt_us = 0;

	if (tcp) {
		tcp_volume(tcp, &carried);
		if (socket->connection.flags & WEFT_SOCKET_PAIRED)
			pair_volume(cookie_of(tcp), &carried);
		rtt_us = tcp->srtt_us >> 3;
	} else {
		carried = socket->udp;
	}
	if (!take_volume(&socket->counted, &carried, &taken))
		rtt_us = 0;
	traffic_key_of(&socket->connection, &key);
	counters = traffic_of(&key);
	if (counters) {
		add_volume(counters, &taken);
		if (rtt_us)
			histogram_add(&counters->rtt_us, rtt_us);
	}
}

static __always_inline int is_workload(__u64 id)
{
	return bpf_map_lookup_elem(&workloads, &id) != NULL;
}

/* The same for a connection that the agent carries: each place that its requests may go to has to allow it. */
static __noinline int capture_doom(const struct weft_connection *connection, const struct weft_address *local,
                                   struct weft_doomed *doomed)
{
	__u64 service = connection->service;
	struct weft_capture *capture = bpf_map_lookup_elem(&captures, &service);
	struct verdict_request request = { .protocol = IPPROTO_TCP, .quiet = 1 };
	struct verdict verdict = {};

	/* A service that has left the lane, or the mesh, guards nothing any more. */
	if (!capture)
		return 0;
	request.workload = is_workload(connection->source) ? connection->source : 0;
	if (!capture_egress_denied(capture, &request, &verdict)) {
		request.peer = connection->source;
		request.address = *local;
		request.address_known = 1;
		if (!capture_denied(capture, &request, &verdict))
			return 0;
	}
	doomed->rule = verdict.rule;
	return WEFT_DOOM_POLICY;
}

/*
 * The same for a connection through a tunnel: its own ends are at the agent, so the question is asked as connect() did.
 * A backend that is gone leaves it to the destination's node.
 */
static __noinline int tunnel_doom(const struct weft_connection *connection, const struct weft_address *local,
                                  struct weft_doomed *doomed)
{
	struct verdict_request request = {
		.workload = connection->source,
		.peer = connection->destination,
		.address = connection->service_address,
		.port = connection->service_port,
		.protocol = IPPROTO_TCP,
		.address_known = 1,
		.quiet = 1,
	};
	struct verdict verdict = {};

	if (!is_workload(connection->destination))
		return 0;
	if (connection->backend) {
		__u64 id = connection->backend;
		struct weft_backend *backend = bpf_map_lookup_elem(&backends, &id);

		if (!backend)
			return 0;
		request.address = backend->address;
		request.port = backend->port;
	}
	if (is_workload(connection->source))
		egress_verdict(&request, &verdict);
	if (!verdict.denied) {
		request.workload = connection->destination;
		request.peer = connection->source;
		request.address = *local;
		if (weft_address_is_loopback(local)) {
			struct weft_workload *source = bpf_map_lookup_elem(&workloads, &request.peer);

			request.address_known = source && !weft_address_is_unspecified(&source->address);
			if (request.address_known)
				request.address = source->address;
		}
		policy_verdict(&request, &verdict);
	}
	if (!verdict.denied)
		return 0;
	doomed->rule = verdict.rule;
	return WEFT_DOOM_POLICY;
}

/* Whether the NetworkPolicies of a client no longer allow its connection. */
static __noinline int egress_denied(const struct weft_connection *connection, struct weft_doomed *doomed)
{
	struct verdict_request request = {
		.workload = connection->source,
		.peer = connection->destination,
		.address = connection->peer_address,
		.port = connection->peer_port,
		.protocol = connection->protocol,
		.address_known = 1,
		.quiet = 1,
	};
	struct verdict verdict = {};

	if (connection->role != WEFT_ROLE_CLIENT || !is_workload(request.workload))
		return 0;
	if (connection->lane == WEFT_LANE_PASSTHROUGH) {
		/* A question for names may have gone to the agent instead. */
		request.address = connection->service_address;
		request.port = connection->service_port;
	}
	egress_verdict(&request, &verdict);
	doomed->rule = verdict.rule;
	return verdict.denied;
}

/* Why an open connection has to end; 0 if it may stay. */
static __noinline int doom_of(const struct weft_connection *connection, const struct weft_address *local,
                              struct weft_doomed *doomed)
{
	if (connection->role == WEFT_ROLE_CLIENT && connection->backend) {
		__u64 id = connection->backend;
		struct weft_backend *backend = bpf_map_lookup_elem(&backends, &id);

		if (backend && backend->state == WEFT_BACKEND_DRAINING && backend->drain_deadline_ns &&
		    bpf_ktime_get_ns() >= backend->drain_deadline_ns)
			return WEFT_DOOM_DRAINED;
	}
	if (connection->lane == WEFT_LANE_PROXY)
		return capture_doom(connection, local, doomed);
	if (connection->lane == WEFT_LANE_TUNNEL)
		return tunnel_doom(connection, local, doomed);
	if (egress_denied(connection, doomed))
		return WEFT_DOOM_POLICY;
	/*
	 * The client's end decides for local pairs; the server's end for clients of other nodes. A workload that is no
	 * longer configured guards nothing: refusing what is unknown is for new connections.
	 */
	if (connection->destination && is_workload(connection->destination) &&
	    (connection->role == WEFT_ROLE_CLIENT || !(connection->flags & WEFT_SOCKET_LOCAL_PEER))) {
		struct verdict_request request = {
			.workload = connection->destination,
			.peer = connection->source,
			.address = connection->role == WEFT_ROLE_CLIENT ? *local : connection->peer_address,
			.port = connection->role == WEFT_ROLE_CLIENT ? connection->peer_port : connection->service_port,
			.protocol = connection->protocol,
			.address_known = 1,
			.quiet = 1,
		};
		struct weft_inbound_port *port;
		struct verdict verdict;

		policy_verdict(&request, &verdict);
		if (verdict.denied) {
			doomed->rule = verdict.rule;
			return WEFT_DOOM_POLICY;
		}
		port = inbound_port(request.workload, request.port, verdict.destination_flags);
		if (connection->role == WEFT_ROLE_SERVER && is_strict(port, verdict.destination_flags)) {
			doomed->rule = strict_rule;
			return WEFT_DOOM_POLICY;
		}
		/* It is older than the rules about requests, or came past them: nobody reads what it asks for. */
		if (port && port->service && connection->source != WEFT_WORKLOAD_AGENT) {
			doomed->rule = 0;
			return WEFT_DOOM_POLICY;
		}
	}
	return 0;
}

/* Lets the record that a connection leaves when it ends say why: the agent ends it right after the sweep. */
static __always_inline void mark_doomed(struct weft_connection *connection, int reason, __u64 rule)
{
	__u32 flag = reason == WEFT_DOOM_POLICY ? WEFT_SOCKET_DENIED : WEFT_SOCKET_DRAINED;

	if (reason == WEFT_DOOM_POLICY)
		connection->rule = rule;
	__sync_fetch_and_or(&connection->flags, flag);
}

/* It could not be ended, and may stay now. */
static __always_inline void unmark_doomed(struct weft_connection *connection)
{
	if (!(connection->flags & (WEFT_SOCKET_DENIED | WEFT_SOCKET_DRAINED)))
		return;
	if (connection->flags & WEFT_SOCKET_DENIED)
		connection->rule = 0;
	__sync_fetch_and_and(&connection->flags, ~(__u32)(WEFT_SOCKET_DENIED | WEFT_SOCKET_DRAINED));
}

SEC("iter/bpf_sk_storage_map")
int sweep(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sock *sk = ctx->sk;
	struct weft_doomed doomed = {};
	struct weft_socket *socket;
	struct tcp_sock *tcp;
	int reason;

	if (!sk)
		return 0;
	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!socket || socket->connection.phase != WEFT_PHASE_OPEN)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp && sk->__sk_common.skc_state != TCP_ESTABLISHED_STATE &&
	    bpf_ktime_get_ns() - socket->connection.started_ns > CONNECT_GRACE_NS) {
		/* Disconnected, by its owner or by the last sweep: no hook says so. */
		socket_abandon(socket);
		return 0;
	}
	count_open(socket, tcp);

	socket_ends(&sk->__sk_common, &doomed.local_address, &doomed.local_port, &doomed.peer_address,
	            &doomed.peer_port);
	reason = doom_of(&socket->connection, &doomed.local_address, &doomed);
	if (!reason) {
		unmark_doomed(&socket->connection);
		return 0;
	}
	mark_doomed(&socket->connection, reason, doomed.rule);
	doomed.reason = reason;
	doomed.cookie = sk->__sk_common.skc_cookie.counter;
	doomed.netns_cookie = sk->__sk_common.skc_net.net->net_cookie;
	doomed.source = socket->connection.source;
	doomed.service = socket->connection.service;
	doomed.destination = socket->connection.destination;
	doomed.protocol = socket->connection.protocol;
	doomed.family = sk->__sk_common.skc_family;
	bpf_seq_write(ctx->meta->seq, &doomed, sizeof(doomed));
	return 0;
}

/* Whether a backend is not to be used any more: gone, or past the deadline of its drain. */
static __always_inline int is_spent(__u64 id)
{
	struct weft_backend *backend;

	if (!id)
		return 0;
	backend = bpf_map_lookup_elem(&backends, &id);
	return !backend || (backend->state == WEFT_BACKEND_DRAINING && backend->drain_deadline_ns &&
	                    bpf_ktime_get_ns() >= backend->drain_deadline_ns);
}

/* Takes what one conversation has carried since the last time, or the conversation itself if it is over. */
static __noinline int take_peer(struct weft_udp_socket *udp, int index, struct weft_udp_peer *copy)
{
	__u64 backend;
	int spent;

	if (index < 0 || index >= WEFT_UDP_PEERS)
		return 0;
	backend = udp->peers[index].backend;
	spent = is_spent(backend);
	bpf_spin_lock(&udp->lock);
	*copy = udp->peers[index];
	if (spent && copy->used && copy->backend == backend)
		udp->peers[index].used = 0;
	else
		udp->peers[index].counted = copy->volume;
	bpf_spin_unlock(&udp->lock);
	if (!copy->used)
		return 0;
	if (spent && copy->backend == backend) {
		peer_end(copy);
		return 0;
	}
	return 1;
}

SEC("iter/bpf_sk_storage_map")
int sweep_udp(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sock *sk = ctx->sk;
	struct weft_udp_socket *udp;

	if (!sk)
		return 0;
	udp = bpf_sk_storage_get(&udp_sockets, sk, 0, 0);
	if (!udp)
		return 0;
	for (int i = 0; i < WEFT_UDP_PEERS; i++) {
		struct weft_udp_peer peer;
		struct weft_volume taken;
		struct weft_traffic_key key;
		struct weft_traffic *counters;

		if (!take_peer(udp, i, &peer))
			continue;
		peer_traffic_key(&peer, &key);
		take_volume(&peer.counted, &peer.volume, &taken);
		counters = traffic_of(&key);
		if (counters)
			add_volume(counters, &taken);
	}
	return 0;
}

/* Over `listening`: how many connections wait for accept() at the sockets of local workloads. */
SEC("iter/bpf_sk_storage_map")
int accept_queues(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct weft_listening *listening = ctx->value;
	struct sock *sk = ctx->sk;
	struct weft_accept_queue queue = {};

	if (!sk || !listening || !listening->workload || sk->__sk_common.skc_state != TCP_LISTEN_STATE)
		return 0;
	queue.workload = listening->workload;
	queue.port = listening->key.port;
	queue.length = sk->sk_ack_backlog;
	queue.limit = sk->sk_max_ack_backlog;
	bpf_seq_write(ctx->meta->seq, &queue, sizeof(queue));
	return 0;
}

/* Over `members`: those that hold bytes which their readers have not taken, and would lose them with the map. */
SEC("iter/sockmap")
int unread(struct bpf_iter__sockmap *ctx)
{
	struct sock *sk = ctx->sk;
	__u64 psock, queue, first = 0;

	if (!sk)
		return 0;
	psock = (__u64)sk->sk_user_data & ~SK_USER_DATA_FLAGS;
	if (!psock)
		return 0;
	queue = psock + bpf_core_field_offset(struct sk_psock, ingress_msg);
	bpf_probe_read_kernel(&first, sizeof(first), (void *)queue);
	if (first && first != queue)
		bpf_seq_write(ctx->meta->seq, &psock, sizeof(psock));
	return 0;
}
