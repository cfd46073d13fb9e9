/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The life of TCP connections (sockops): births, deaths, what they carried, and which workloads they joined. Nothing
 * here runs per packet.
 */
#include "kernel.h"

#include "exchange.h"
#include "identity.h"
#include "listener.h"
#include "pair.h"
#include "socket.h"
#include "tuple.h"

char _license[] SEC("license") = "GPL";

static __always_inline void watch_state(struct bpf_sock_ops *ctx)
{
	/* Flags that another program has set stay. */
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* Tells the agent's end of a captured connection, which sees only this tuple, what the client asked for. */
static __noinline int origin_insert(struct tcp_sock *tcp, const struct weft_connection *connection)
{
	struct weft_origin origin = {
		.address = connection->service_address,
		.port = connection->service_port,
		.lane = connection->lane,
		.service = connection->service,
		.source = connection->source,
		.backend = connection->backend,
		.destination = connection->destination,
		.netns_cookie = connection->netns_cookie,
		.cgroup = connection->cgroup,
		.started_ns = connection->started_ns,
		.pair = connection->flags & WEFT_SOCKET_PAIRED ? cookie_of(tcp) : 0,
	};
	struct weft_address local, remote;
	__be16 local_port, remote_port;
	struct weft_tuple_key key;

	socket_ends(common_of(tcp), &local, &local_port, &remote, &remote_port);
	tuple_key(&key, &local, local_port, &remote, remote_port, connection->netns_cookie);
	if (bpf_map_update_elem(&origins, &key, &origin, BPF_ANY))
		count_node(WEFT_COUNT_TUPLES_LOST);
	return 0;
}

/*
 * Makes a connection a pair, if connect() has found that it may be one, or if its client talks to the agent and may be
 * accelerated.
 */
static __noinline int pair_begin(struct tcp_sock *tcp, struct weft_connection *connection)
{
	__u32 zero = 0;
	struct weft_settings *node;
	struct weft_pair *pair;
	__u64 cookie = cookie_of(tcp);

	if (connection->lane == WEFT_LANE_PROXY) {
		__u64 id = connection->source;
		struct weft_workload *source = bpf_map_lookup_elem(&workloads, &id);

		node = bpf_map_lookup_elem(&settings, &zero);
		if (!source || !(source->flags & WEFT_WORKLOAD_ACCELERATED) || !node || !node->acceleration)
			return 0;
	} else if (connection->lane != WEFT_LANE_ACCELERATED) {
		return 0;
	}
	pair = pair_take(cookie);
	if (!pair) {
		count_unpaired(connection, WEFT_SLOW_NO_PLACE);
		if (connection->lane == WEFT_LANE_ACCELERATED)
			connection->lane = WEFT_LANE_KERNEL;
		return 0;
	}
	pair->source = connection->source;
	pair->service = connection->service;
	pair->destination = connection->destination;
	pair->lane = connection->lane;
	pair->unread = connection->lane != WEFT_LANE_ACCELERATED;
	pair_filled(pair, cookie);
	connection->flags |= WEFT_SOCKET_PAIRED;
	return 0;
}

/* The client's end of a pair is there. */
static __noinline int pair_join(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct tcp_sock *tcp,
                                struct weft_connection *connection)
{
	__u64 cookie = cookie_of(tcp);
	int reason = member_join(ctx, sk, tcp, cookie, WEFT_END_CLIENT);

	if (!reason)
		return 0;
	/* Nothing has been counted of it yet, and its server has not looked for its pair. */
	pair_free(cookie);
	connection->flags &= ~WEFT_SOCKET_PAIRED;
	count_unpaired(connection, reason);
	if (connection->lane == WEFT_LANE_ACCELERATED)
		connection->lane = WEFT_LANE_KERNEL;
	return 0;
}

/* Before the SYN: addresses and ports are final. */
static __always_inline void on_connect(struct bpf_sock_ops *ctx, struct tcp_sock *tcp,
                                       struct weft_connection *connection)
{
	struct weft_address local, remote;
	__be16 local_port, remote_port;
	struct weft_tuple_key key;
	struct weft_tuple tuple = {};

	if (connection->role != WEFT_ROLE_CLIENT || connection->phase != WEFT_PHASE_CONNECTING)
		return;
	watch_state(ctx);
	pair_begin(tcp, connection);
	if (is_carried(connection->lane)) {
		connection->flags |= WEFT_SOCKET_ANNOUNCED;
		origin_insert(tcp, connection);
		return;
	}
	if (!(connection->flags & WEFT_SOCKET_LOCAL_PEER))
		return;
	socket_ends(common_of(tcp), &local, &local_port, &remote, &remote_port);
	tuple_key(&key, &local, local_port, &remote, remote_port, connection->netns_cookie);
	tuple.source = connection->source;
	tuple.service = connection->service;
	tuple.destination = connection->destination;
	tuple.pair = connection->flags & WEFT_SOCKET_PAIRED ? cookie_of(tcp) : 0;
	connection->flags |= WEFT_SOCKET_ANNOUNCED;
	tuple_insert(&key, &tuple, cookie_of(tcp));
}

static __always_inline void on_established(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct tcp_sock *tcp,
                                           struct weft_connection *connection)
{
	if (connection->role != WEFT_ROLE_CLIENT || connection->phase != WEFT_PHASE_CONNECTING)
		return;
	if (connection->flags & WEFT_SOCKET_PAIRED)
		pair_join(ctx, sk, tcp, connection);
	/* The kernel has just looked at the clock, when the SYN-ACK came. */
	connection_established(connection, tcp->tcp_clock_cache);
	/* Programs of others set flags here, some without regard to ours. */
	if (!(ctx->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_STATE_CB_FLAG))
		watch_state(ctx);
}

/* The state of a socket's connection; NULL if it is not tracked. */
static __always_inline struct weft_connection *connection_of(struct bpf_sock *sk, __u64 cookie)
{
	struct weft_young *young = young_find(cookie);
	struct weft_socket *socket;

	if (young)
		return &young->connection;
	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	return socket ? &socket->connection : NULL;
}

/*
 * The server's end of a pair is there: it joins if it is the workload's that the pair is for, and not somebody's else
 * who listens at its address.
 */
static __noinline int accept_pair(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct tcp_sock *tcp,
                                  const struct weft_tuple *tuple)
{
	__u64 id = workload_of_socket(tcp);
	struct weft_workload *workload = bpf_map_lookup_elem(&workloads, &id);

	if (workload && workload->flags & WEFT_WORKLOAD_ACCELERATED)
		member_join(ctx, sk, tcp, tuple->pair, WEFT_END_SERVER);
	return 0;
}

/*
 * A connection whose client is tracked on this node is counted there, for both ends. Any other one belongs to the
 * workload of its listener: the kernel hands the listener's cgroup on to the sockets that it accepts.
 */
static __noinline int on_accepted(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct tcp_sock *tcp)
{
	struct weft_connection connection = {};
	struct weft_address local, remote;
	__be16 local_port, remote_port;
	struct weft_young *young;
	struct weft_socket *socket;
	struct weft_tuple_key key;
	struct weft_tuple tuple = {};
	__u64 workload;

	socket_ends(common_of(tcp), &local, &local_port, &remote, &remote_port);
	tuple_key(&key, &remote, remote_port, &local, local_port, bpf_get_netns_cookie(ctx));
	if (tuple_find(&key, &tuple) && tuple.destination) {
		if (tuple.pair)
			accept_pair(ctx, sk, tcp, &tuple);
		return 0;
	}
	workload = workload_of_socket(tcp);
	/* What the agent accepts has been counted at its client's end; so has what a workload says to itself. */
	if (!workload || workload == WEFT_WORKLOAD_AGENT || workload == tuple.source)
		return 0;
	connection.role = WEFT_ROLE_SERVER;
	connection.protocol = IPPROTO_TCP;
	connection.lane = WEFT_LANE_KERNEL;
	/* A local client that came by an address at which no workload is known: its policy is decided here. */
	connection.source = tuple.source;
	connection.destination = workload;
	connection.netns_cookie = bpf_get_netns_cookie(ctx);
	connection.started_ns = bpf_ktime_get_ns();
	connection.service_address = local;
	connection.service_port = local_port;
	connection.peer_address = remote;
	connection.peer_port = remote_port;
	connection.phase = WEFT_PHASE_OPEN;
	young = young_take(bpf_get_socket_cookie(ctx));
	if (young) {
		young->connection = connection;
	} else {
		socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!socket) {
			count_node(WEFT_COUNT_SOCKETS_UNTRACKED);
			return 0;
		}
		socket->connection = connection;
	}
	connection_established(&connection, connection.started_ns);
	watch_state(ctx);
	return 0;
}

/*
 * Who has ended a connection first, by its last state. A reset leaves its error, and so does a peer that does not
 * answer any more; of an orderly end the first FIN counts.
 */
static __always_inline __u32 ending_of(const struct tcp_sock *tcp, const struct weft_connection *connection, int last)
{
	int finished = tcp->inet_conn.icsk_inet.sk.__sk_common.skc_flags >> SOCK_DONE_BIT & 1;
	int peer_first = last == TCP_CLOSE_WAIT_STATE || last == TCP_LAST_ACK_STATE ||
	                 (last == TCP_ESTABLISHED_STATE && tcp->inet_conn.icsk_inet.sk.sk_err);

	if (connection->role == WEFT_ROLE_CLIENT)
		return (peer_first ? EXCHANGE_SERVER_FIRST : 0) | (finished ? EXCHANGE_CLOSED : 0);
	/* A server that has not been reset has sent its FIN behind everything else. */
	return (peer_first ? 0 : EXCHANGE_SERVER_FIRST) |
	       (last != TCP_ESTABLISHED_STATE && last != TCP_CLOSE_WAIT_STATE ? EXCHANGE_CLOSED : 0);
}

/* `counted` as for connection_end; `told` as from exchange_end. */
static __noinline int on_closed(struct tcp_sock *tcp, struct weft_connection *connection, struct weft_volume *counted,
                                __u64 told)
{
	struct connection_ending ending = {
		.cookie = cookie_of(tcp),
		.rtt_us = tcp->srtt_us >> 3,
		.error = tcp->inet_conn.icsk_inet.sk.sk_err,
		.http = told,
	};
	struct weft_address remote;
	__be16 remote_port;

	socket_ends(common_of(tcp), &ending.source_address, &ending.source_port, &remote, &remote_port);
	if (connection->flags & WEFT_SOCKET_ANNOUNCED) {
		struct weft_tuple_key tuple;

		tuple_key(&tuple, &ending.source_address, ending.source_port, &remote, remote_port,
		          connection->netns_cookie);
		if (is_carried(connection->lane))
			bpf_map_delete_elem(&origins, &tuple);
		else
			tuple_remove(&tuple, ending.cookie);
		connection->flags &= ~WEFT_SOCKET_ANNOUNCED;
	}
	if (connection->role == WEFT_ROLE_SERVER) {
		ending.source_address = remote;
		ending.source_port = remote_port;
	}
	tcp_volume(tcp, &ending.carried);
	if (connection->flags & WEFT_SOCKET_PAIRED) {
		pair_volume(ending.cookie, &ending.carried);
		pair_free(ending.cookie);
	}
	return connection_end(connection, counted, &ending);
}

/*
 * Nothing says that a socket of the kernel's own, as of MPTCP, is released: it is watched, as are those that it
 * accepts.
 */
static __noinline int on_listening(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct tcp_sock *tcp)
{
	__u64 workload;

	if (is_kernels_own(tcp))
		watch_state(ctx);
	workload = workload_of_socket(tcp);
	if (workload && workload != WEFT_WORKLOAD_AGENT)
		listener_enter(tcp, bpf_sk_storage_get(&listening, sk, 0, BPF_SK_STORAGE_GET_F_CREATE), workload);
	return 0;
}

SEC("sockops")
int lifecycle(struct bpf_sock_ops *ctx)
{
	struct weft_connection *connection;
	struct weft_socket *socket;
	struct weft_young *young;
	struct tcp_sock *tcp;
	struct bpf_sock *sk;
	__u64 cookie, told;

	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] != TCP_CLOSE_STATE)
			return 1;
		break;
	default:
		return 1;
	}

	sk = ctx->sk;
	if (!sk)
		return 1;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 1;
	if (ctx->op == BPF_SOCK_OPS_TCP_LISTEN_CB) {
		on_listening(ctx, sk, tcp);
		return 1;
	}
	if (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[0] == TCP_LISTEN_STATE) {
		listener_leave(bpf_sk_storage_get(&listening, sk, 0, 0));
		return 1;
	}
	cookie = cookie_of(tcp);
	if (!cookie) {
		if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
			on_accepted(ctx, sk, tcp);
		return 1;
	}

	if (ctx->op == BPF_SOCK_OPS_STATE_CB) {
		young = young_find(cookie);
		if (young) {
			told = exchange_end_of(sk, &young->connection, cookie,
			                       ending_of(tcp, &young->connection, ctx->args[0]));
			on_closed(tcp, &young->connection, NULL, told);
			young_free(young);
			return 1;
		}
		socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
		if (socket && socket->connection.role != WEFT_ROLE_NONE) {
			told = exchange_end_of(sk, &socket->connection, cookie,
			                       ending_of(tcp, &socket->connection, ctx->args[0]));
			on_closed(tcp, &socket->connection, &socket->counted, told);
		}
		return 1;
	}

	connection = connection_of(sk, cookie);
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		if (connection)
			on_connect(ctx, tcp, connection);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		if (connection)
			on_established(ctx, sk, tcp, connection);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		/* A socket that connected to itself, or to one that connected to it at the same time. */
		if (connection)
			on_established(ctx, sk, tcp, connection);
		else
			on_accepted(ctx, sk, tcp);
		break;
	}
	return 1;
}
