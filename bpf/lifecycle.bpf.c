/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The life of TCP connections (sockops): births, deaths, what they carried, and which workloads they joined. Nothing
 * here runs per packet.
 */
#include "kernel.h"

#include "identity.h"
#include "socket.h"

char _license[] SEC("license") = "GPL";

static __always_inline void watch_state(struct bpf_sock_ops *ctx)
{
	/* Flags that another program has set stay. */
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

/* Tells the agent's end of a captured connection, which sees only this tuple, what the client asked for. */
static __noinline int origin_insert(struct tcp_sock *tcp, const struct weft_socket *socket)
{
	struct weft_origin origin = {
		.address = socket->service_address,
		.port = socket->service_port,
		.service = socket->service,
		.source = socket->source,
		.netns_cookie = socket->netns_cookie,
		.cgroup = socket->cgroup,
		.started_ns = socket->started_ns,
	};
	struct weft_address local, remote;
	__be16 local_port, remote_port;
	struct weft_tuple_key key;

	socket_ends(common_of(tcp), &local, &local_port, &remote, &remote_port);
	tuple_key(&key, &local, local_port, &remote, remote_port, socket->netns_cookie);
	if (bpf_map_update_elem(&origins, &key, &origin, BPF_ANY))
		count_node(WEFT_COUNT_TUPLES_LOST);
	return 0;
}

/* Before the SYN: addresses and ports are final. */
static __always_inline void on_connect(struct bpf_sock_ops *ctx, struct tcp_sock *tcp, struct weft_socket *socket)
{
	struct weft_address local, remote;
	__be16 local_port, remote_port;
	struct weft_tuple_key key;
	struct weft_tuple tuple = {};

	if (!socket || socket->role != WEFT_ROLE_CLIENT || socket->phase != WEFT_PHASE_CONNECTING)
		return;
	watch_state(ctx);
	if (socket->lane == WEFT_LANE_PROXY) {
		origin_insert(tcp, socket);
		return;
	}
	if (!(socket->flags & WEFT_SOCKET_LOCAL_PEER))
		return;
	socket_ends(common_of(tcp), &local, &local_port, &remote, &remote_port);
	tuple_key(&key, &local, local_port, &remote, remote_port, socket->netns_cookie);
	tuple.source = socket->source;
	tuple.service = socket->service;
	tuple.destination = socket->destination;
	tuple_insert(&key, &tuple);
}

static __always_inline void on_established(struct weft_socket *socket)
{
	if (socket && socket->role == WEFT_ROLE_CLIENT && socket->phase == WEFT_PHASE_CONNECTING)
		socket_established(socket, bpf_ktime_get_ns());
}

/*
 * A connection whose client is tracked on this node is counted there, for both ends. Any other one belongs to the
 * workload of its listener: the kernel hands the listener's cgroup on to the sockets that it accepts.
 */
static __always_inline void on_accepted(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct tcp_sock *tcp)
{
	struct weft_socket *socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	struct weft_address local, remote;
	__be16 local_port, remote_port;
	struct weft_tuple_key key;
	struct weft_tuple *tuple;
	__u64 workload;

	if (socket) {
		/* A socket that connected to itself, or to one that connected to it at the same time. */
		on_established(socket);
		return;
	}
	socket_ends(common_of(tcp), &local, &local_port, &remote, &remote_port);
	tuple_key(&key, &remote, remote_port, &local, local_port, bpf_get_netns_cookie(ctx));
	tuple = tuple_find(&key);
	if (tuple && tuple->destination)
		return;
	workload = workload_of_socket(tcp);
	/* What the agent accepts has been counted at its client's end. */
	if (!workload || workload == WEFT_WORKLOAD_AGENT)
		return;
	socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket) {
		count_node(WEFT_COUNT_SOCKETS_UNTRACKED);
		return;
	}
	__builtin_memset(socket, 0, sizeof(*socket));
	socket->role = WEFT_ROLE_SERVER;
	socket->protocol = IPPROTO_TCP;
	socket->lane = WEFT_LANE_KERNEL;
	/* A local client that came by an address at which no workload is known: its policy is decided here. */
	socket->source = tuple ? tuple->source : 0;
	socket->destination = workload;
	socket->netns_cookie = bpf_get_netns_cookie(ctx);
	socket->started_ns = bpf_ktime_get_ns();
	socket->service_address = local;
	socket->service_port = local_port;
	socket->peer_address = remote;
	socket->peer_port = remote_port;
	watch_state(ctx);
	socket_established(socket, socket->started_ns);
}

static __always_inline void on_closed(struct tcp_sock *tcp, struct weft_socket *socket)
{
	struct socket_ending ending = {
		/* Only if somebody has asked for it before: making one costs more than it tells. */
		.cookie = common_of(tcp)->skc_cookie.counter,
		.rtt_us = tcp->srtt_us >> 3,
		.error = tcp->inet_conn.icsk_inet.sk.sk_err,
	};
	struct weft_address remote;
	__be16 remote_port;

	if (!socket || socket->role == WEFT_ROLE_NONE)
		return;
	socket_ends(common_of(tcp), &ending.source_address, &ending.source_port, &remote, &remote_port);
	if (socket->lane == WEFT_LANE_PROXY) {
		struct weft_tuple_key key;

		tuple_key(&key, &ending.source_address, ending.source_port, &remote, remote_port, socket->netns_cookie);
		bpf_map_delete_elem(&origins, &key);
	}
	if (socket->flags & WEFT_SOCKET_LOCAL_PEER) {
		struct weft_tuple_key tuple;

		tuple_key(&tuple, &ending.source_address, ending.source_port, &remote, remote_port,
		          socket->netns_cookie);
		tuple_remove(&tuple);
	}
	if (socket->role == WEFT_ROLE_SERVER) {
		ending.source_address = remote;
		ending.source_port = remote_port;
	}
	tcp_volume(tcp, &ending.carried);
	socket_end(socket, &ending);
}

SEC("sockops")
int lifecycle(struct bpf_sock_ops *ctx)
{
	struct weft_socket *socket;
	struct tcp_sock *tcp;
	struct bpf_sock *sk;

	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
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
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		on_accepted(ctx, sk, tcp);
		return 1;
	}
	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);

	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		on_connect(ctx, tcp, socket);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		on_established(socket);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		on_closed(tcp, socket);
		break;
	}
	return 1;
}
