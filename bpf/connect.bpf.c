/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Addresses at the border between application and kernel: connect() and sendmsg() turn a service's address into a
 * backend's, getpeername() and recvmsg() turn it back, sock_release ends what the kernel does not end by itself.
 *
 * Every decision about a connection is made here, once, before its first packet: which service, which backend, whether
 * policy allows it. Afterwards the connection is the kernel's own and costs nothing.
 */
#include "kernel.h"

#include "listener.h"
#include "route.h"
#include "socket.h"

char _license[] SEC("license") = "GPL";

#define PROCEED 1
#define REFUSE 0

#define TCP_SYN_SENT_STATE 2

static __always_inline int refuse(int error)
{
	bpf_set_retval(-error);
	return REFUSE;
}

/*
 * Whether the other end of a connection is on this node, so that it will look for its client. The kernel connects the
 * unspecified address to this host.
 */
static __always_inline int peer_is_local(const struct route *route)
{
	return route->destination_flags & WEFT_WORKLOAD_LOCAL || weft_address_is_loopback(&route->peer) ||
	       weft_address_is_unspecified(&route->peer);
}

/*
 * Keeps the state of a new connection: in `connections`, because a TCP connection starts young, and only if its place
 * is taken there in its socket's storage, as it is for datagrams.
 */
static __noinline int track(struct bpf_sock_addr *ctx, const struct route *route)
{
	struct weft_connection connection = {
		.service_address = route->asked,
		.peer_address = route->peer,
		.service_port = route->asked_port,
		.peer_port = route->peer_port,
		.protocol = route->protocol,
		.lane = route->lane,
		.role = WEFT_ROLE_CLIENT,
		.address_class = route->address_class,
		.phase = WEFT_PHASE_CONNECTING,
		.source = route->source,
		.service = route->service,
		.destination = route->destination,
		.backend = route->backend,
		.cgroup = route->cgroup,
		.netns_cookie = route->netns_cookie,
		.rule = route->rule,
		.started_ns = bpf_ktime_get_ns(),
	};
	struct bpf_sock *sk = ctx->sk;
	struct weft_young *young = NULL;
	struct weft_socket *socket;
	struct tcp_sock *tcp;
	__u64 cookie;

	if (!sk)
		return ENOMEM;
	if (!is_carried(route->lane) && peer_is_local(route))
		connection.flags |= WEFT_SOCKET_LOCAL_PEER;
	if (route->destination_flags & WEFT_WORKLOAD_LOCAL)
		connection.flags |= WEFT_SOCKET_BOTH_ENDS;
	if (route->backend)
		connection.flags |= WEFT_SOCKET_LOADED;

	tcp = bpf_skc_to_tcp_sock(sk);
	cookie = bpf_get_socket_cookie(ctx);
	if (tcp && !is_kernels_own(tcp))
		young = young_take(cookie);
	if (young) {
		young->connection = connection;
	} else {
		socket = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!socket) {
			/* Its peer's address could not be translated back: rather no connection than a wrong one. */
			count_node(WEFT_COUNT_SOCKETS_UNTRACKED);
			return ENOMEM;
		}
		socket->connection = connection;
		if (!tcp)
			/* A datagram socket is connected at once. */
			connection_established(&socket->connection, connection.started_ns);
	}
	backend_load_add(route->backend, 1);
	return 0;
}

/* Ends what a socket had in the mesh. `cookie`: of a TCP socket, 0 if it has none. */
static __noinline int untrack(struct bpf_sock *sk, __u64 cookie)
{
	struct weft_socket *socket;

	if (sk->protocol == IPPROTO_TCP) {
		struct weft_young *young;

		if (!cookie)
			return 0;
		exchange_forget(cookie);
		pair_free(cookie);
		young = young_find(cookie);
		if (young) {
			connection_abandon(&young->connection);
			young_free(young);
			return 0;
		}
	}
	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (socket && socket->connection.role != WEFT_ROLE_NONE) {
		socket_abandon(socket);
		__builtin_memset(socket, 0, sizeof(*socket));
	}
	return 0;
}

static __always_inline int may_connect(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return 0;
	if (ctx->protocol == IPPROTO_UDP)
		return 1;
	/* connect() on a socket that is connecting or connected changes nothing: its decision has been made. */
	return ctx->protocol == IPPROTO_TCP && sk->state == TCP_CLOSE_STATE;
}

/* Decides and records; returns 0, or the errno to refuse with. */
static __always_inline int connect_route(struct bpf_sock_addr *ctx, struct route *route)
{
	struct bpf_sock *sk = ctx->sk;

	decide(ctx, route);
	if (route->error)
		return route->error;
	if (sk) {
		/* What it had before, in the mesh or not in the mesh from now on. */
		struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

		untrack(sk, tcp ? cookie_of(tcp) : 0);
	}
	return route->tracked ? track(ctx, route) : 0;
}

static __always_inline void write_address6(struct bpf_sock_addr *ctx, const struct weft_address *address, __be16 port)
{
	ctx->user_ip6[0] = weft_address_word(address, 0);
	ctx->user_ip6[1] = weft_address_word(address, 1);
	ctx->user_ip6[2] = weft_address_word(address, 2);
	ctx->user_ip6[3] = weft_address_word(address, 3);
	ctx->user_port = port;
}

static __always_inline struct weft_address read_address6(struct bpf_sock_addr *ctx)
{
	return weft_address_v6(ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]);
}

/* The port is 16 bits in a 32-bit field that may only be read whole. */
static __always_inline __be16 read_port(struct bpf_sock_addr *ctx)
{
	return (__be16) * (volatile __u32 *)&ctx->user_port;
}

SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *ctx)
{
	struct route route = {};
	int error;

	if (!may_connect(ctx))
		return PROCEED;
	if (ctx->user_ip4 == bpf_htonl(WEFT_PROBE_ADDRESS) && read_port(ctx) == bpf_htons(WEFT_PROBE_PORT))
		return refuse(WEFT_PROBE_ERRNO);

	route.asked = weft_address_v4(ctx->user_ip4);
	route.asked_port = read_port(ctx);
	route.protocol = ctx->protocol;
	error = connect_route(ctx, &route);
	if (error)
		return refuse(error);
	if (route.translated) {
		if (!weft_address_is_v4(&route.peer))
			return refuse(ECONNREFUSED);
		ctx->user_ip4 = weft_address_to_v4(&route.peer);
		ctx->user_port = route.peer_port;
	}
	return PROCEED;
}

SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *ctx)
{
	struct route route = {};
	int error;

	if (!may_connect(ctx))
		return PROCEED;
	route.asked = read_address6(ctx);
	route.asked_port = read_port(ctx);
	route.protocol = ctx->protocol;
	error = connect_route(ctx, &route);
	if (error)
		return refuse(error);
	if (route.translated)
		write_address6(ctx, &route.peer, route.peer_port);
	return PROCEED;
}

/* ------------------------------------------------------------------------------------ datagrams without connect() */

static __always_inline int same_service(const struct weft_udp_peer *peer, const struct route *route)
{
	return peer->used && peer->current && peer->service_port == route->asked_port &&
	       weft_address_equal(&peer->service_address, &route->asked);
}

/* The backend that this socket uses for a service already, so that a conversation stays where it is. */
static __noinline __u64 known_backend(struct weft_udp_socket *socket, const struct route *route)
{
	__u64 backend = 0;

	bpf_spin_lock(&socket->lock);
	for (int i = 0; i < WEFT_UDP_PEERS; i++) {
		struct weft_udp_peer *peer = &socket->peers[i];

		if (same_service(peer, route)) {
			backend = peer->backend;
			break;
		}
	}
	bpf_spin_unlock(&socket->lock);
	return backend;
}

/* Counts a new conversation of an unconnected socket. */
static __noinline int open_peer(const struct route *route)
{
	struct weft_traffic_key key = {
		.source = route->source,
		.service = route->service,
		.destination = route->destination,
		.lane = route->lane,
		.reporter = route->destination_flags & WEFT_WORKLOAD_LOCAL ? WEFT_REPORTER_BOTH : WEFT_REPORTER_SOURCE,
		.protocol = IPPROTO_UDP,
		.address_class = route->address_class,
	};
	struct weft_traffic *counters = traffic_of(&key);

	if (counters)
		ADD(counters->opened, 1);
	if (route->backend)
		backend_load_add(route->backend, 1);
	return 0;
}

/*
 * Finds or makes the entry of a conversation. The place of a new one is an unused entry, else the least recently used;
 * an entry of the same service with another backend stays, superseded, so that a late reply is still translated.
 */
static __noinline int track_peer(struct weft_udp_socket *socket, const struct route *route)
{
	struct weft_udp_peer evicted = {};
	__u64 now = bpf_ktime_get_ns();
	__u64 oldest = ~0ull;
	int known = 0;
	int place = 0;

	bpf_spin_lock(&socket->lock);
	for (int i = 0; i < WEFT_UDP_PEERS; i++) {
		struct weft_udp_peer *peer = &socket->peers[i];

		if (same_service(peer, route)) {
			if (peer->backend == route->backend && peer->backend_port == route->peer_port &&
			    weft_address_equal(&peer->backend_address, &route->peer)) {
				peer->last_used_ns = now;
				known = 1;
				break;
			}
			peer->current = 0;
		}
		if (!peer->used) {
			if (oldest) {
				oldest = 0;
				place = i;
			}
		} else if (peer->last_used_ns < oldest) {
			oldest = peer->last_used_ns;
			place = i;
		}
	}
	/* What is not translated needs no translation back: it takes a free place or none. */
	if (!route->translated && oldest)
		place = -1;
	if (!known && place >= 0 && place < WEFT_UDP_PEERS) {
		struct weft_udp_peer *peer = &socket->peers[place];

		evicted = *peer;
		__builtin_memset(peer, 0, sizeof(*peer));
		peer->service_address = route->asked;
		peer->service_port = route->asked_port;
		peer->backend_address = route->peer;
		peer->backend_port = route->peer_port;
		peer->current = 1;
		peer->used = 1;
		peer->lane = route->lane;
		peer->address_class = route->address_class;
		peer->both_ends = !!(route->destination_flags & WEFT_WORKLOAD_LOCAL);
		peer->source = route->source;
		peer->service = route->service;
		peer->destination = route->destination;
		peer->backend = route->backend;
		peer->rule = route->rule;
		peer->started_ns = now;
		peer->last_used_ns = now;
	}
	bpf_spin_unlock(&socket->lock);

	if (known || place < 0)
		return 0;
	if (evicted.used) {
		count_node(WEFT_COUNT_UDP_PEERS_EVICTED);
		peer_end(&evicted);
	}
	open_peer(route);
	return 0;
}

/* Decides the destination of one datagram; returns 0, or the errno to refuse with. */
static __noinline int send_route(struct bpf_sock_addr *ctx, struct route *route)
{
	struct weft_udp_socket *socket;
	struct weft_socket *connected;
	struct bpf_sock *sk = ctx->sk;
	__u64 backend;

	if (!sk)
		return 0;
	socket = bpf_sk_storage_get(&udp_sockets, sk, 0, 0);
	connected = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (connected && connected->connection.phase == WEFT_PHASE_OPEN &&
	    connected->connection.service_port == route->asked_port &&
	    weft_address_equal(&connected->connection.service_address, &route->asked)) {
		/* sendto() with the address that the socket is connected to: the same conversation. */
		route->backend = connected->connection.backend;
		route->quiet = 1;
	} else {
		connected = NULL;
		if (socket) {
			route->backend = known_backend(socket, route);
			route->quiet = route->backend != 0;
		}
	}
	backend = route->backend;
	decide(ctx, route);
	if (route->error)
		return route->error;
	/* What goes past the mesh is not followed datagram by datagram. */
	if (!route->tracked || (!route->translated && !route->destination))
		return 0;
	if (connected && route->backend == backend)
		return 0;
	if (!socket) {
		socket = bpf_sk_storage_get(&udp_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!socket) {
			count_node(WEFT_COUNT_SOCKETS_UNTRACKED);
			return ENOMEM;
		}
	}
	track_peer(socket, route);
	return 0;
}

SEC("cgroup/sendmsg4")
int sendmsg4(struct bpf_sock_addr *ctx)
{
	struct route route = {};
	int error;

	route.asked = weft_address_v4(ctx->user_ip4);
	route.asked_port = read_port(ctx);
	route.protocol = IPPROTO_UDP;
	error = send_route(ctx, &route);
	if (error)
		return refuse(error);
	if (route.translated) {
		if (!weft_address_is_v4(&route.peer))
			return refuse(ECONNREFUSED);
		ctx->user_ip4 = weft_address_to_v4(&route.peer);
		ctx->user_port = route.peer_port;
	}
	return PROCEED;
}

SEC("cgroup/sendmsg6")
int sendmsg6(struct bpf_sock_addr *ctx)
{
	struct route route = {};
	int error;

	route.asked = read_address6(ctx);
	route.asked_port = read_port(ctx);
	route.protocol = IPPROTO_UDP;
	error = send_route(ctx, &route);
	if (error)
		return refuse(error);
	if (route.translated)
		write_address6(ctx, &route.peer, route.peer_port);
	return PROCEED;
}

/* ------------------------------------------------------------------------------------------- translation backwards */

/* Where a socket is connected to; NULL if the mesh does not know. */
static __always_inline struct weft_connection *connection_of(struct bpf_sock *sk)
{
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	struct weft_socket *socket;

	if (tcp) {
		struct weft_young *young = young_find(cookie_of(tcp));

		if (young)
			return &young->connection;
	}
	socket = bpf_sk_storage_get(&sockets, sk, 0, 0);
	return socket ? &socket->connection : NULL;
}

/* The service address that stands for a peer on this socket; 0 when there is none and the address stays as it is. */
static __noinline int service_of_peer(struct bpf_sock_addr *ctx, struct weft_address *address, __be16 *port,
                                      int datagram)
{
	struct weft_connection *connection;
	struct weft_udp_socket *udp;
	struct bpf_sock *sk = ctx->sk;
	__u64 latest = 0;
	int found = -1;

	if (!sk)
		return 0;
	connection = connection_of(sk);
	if (connection && connection->role == WEFT_ROLE_CLIENT && connection->peer_port == *port &&
	    weft_address_equal(&connection->peer_address, address)) {
		*address = connection->service_address;
		*port = connection->service_port;
		return 1;
	}
	if (!datagram)
		return 0;
	udp = bpf_sk_storage_get(&udp_sockets, sk, 0, 0);
	if (!udp)
		return 0;
	bpf_spin_lock(&udp->lock);
	for (int i = 0; i < WEFT_UDP_PEERS; i++) {
		struct weft_udp_peer *peer = &udp->peers[i];

		/* Services may share a backend: the answer is for the one that was asked last. */
		if (peer->used && peer->backend_port == *port && peer->last_used_ns >= latest &&
		    weft_address_equal(&peer->backend_address, address)) {
			latest = peer->last_used_ns;
			found = i;
		}
	}
	if (found >= 0 && found < WEFT_UDP_PEERS) {
		*address = udp->peers[found].service_address;
		*port = udp->peers[found].service_port;
	}
	bpf_spin_unlock(&udp->lock);
	return found >= 0;
}

static __always_inline int translate_back4(struct bpf_sock_addr *ctx, int datagram)
{
	struct weft_address address = weft_address_v4(ctx->user_ip4);
	__be16 port = read_port(ctx);

	if (service_of_peer(ctx, &address, &port, datagram) && weft_address_is_v4(&address)) {
		ctx->user_ip4 = weft_address_to_v4(&address);
		ctx->user_port = port;
	}
	return PROCEED;
}

static __always_inline int translate_back6(struct bpf_sock_addr *ctx, int datagram)
{
	struct weft_address address = read_address6(ctx);
	__be16 port = read_port(ctx);

	if (service_of_peer(ctx, &address, &port, datagram))
		write_address6(ctx, &address, port);
	return PROCEED;
}

SEC("cgroup/recvmsg4")
int recvmsg4(struct bpf_sock_addr *ctx)
{
	return translate_back4(ctx, 1);
}

SEC("cgroup/recvmsg6")
int recvmsg6(struct bpf_sock_addr *ctx)
{
	return translate_back6(ctx, 1);
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *ctx)
{
	return translate_back4(ctx, 0);
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *ctx)
{
	return translate_back6(ctx, 0);
}

/* ----------------------------------------------------------------------------------------------------------- close */

static __noinline int release_peer(struct weft_udp_socket *udp, int index)
{
	struct weft_udp_peer peer;

	if (index < 0 || index >= WEFT_UDP_PEERS)
		return 0;
	bpf_spin_lock(&udp->lock);
	peer = udp->peers[index];
	udp->peers[index].used = 0;
	bpf_spin_unlock(&udp->lock);
	if (peer.used)
		peer_end(&peer);
	return 0;
}

/*
 * A TCP connection ends with its state, which the lifecycle program watches from its SYN on. Of those that are
 * released, only one without a state has no end any more, and one whose SYN was never sent is not watched: so nobody
 * else is at it. The hook's context is the kernel's socket, but it has no helper that tells.
 */
static __always_inline int is_watched(struct bpf_sock *sk)
{
	__u8 flags = 0;

	if (sk->state == TCP_CLOSE_STATE)
		return 0;
	if (sk->state != TCP_SYN_SENT_STATE)
		return 1;
	bpf_probe_read_kernel(&flags, sizeof(flags),
	                      (void *)sk + bpf_core_field_offset(struct tcp_sock, bpf_sock_ops_cb_flags));
	return flags & BPF_SOCK_OPS_STATE_CB_FLAG;
}

SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *sk)
{
	struct weft_udp_socket *udp;

	if (sk->protocol == IPPROTO_TCP) {
		/* One that has listened may have been shut down since. */
		if (sk->state == TCP_LISTEN_STATE || sk->state == TCP_CLOSE_STATE)
			listener_leave(bpf_sk_storage_get(&listening, sk, 0, 0));
		if (!is_watched(sk))
			untrack(sk, bpf_get_socket_cookie(sk));
		return PROCEED;
	}
	if (sk->protocol != IPPROTO_UDP)
		return PROCEED;
	untrack(sk, 0);
	udp = bpf_sk_storage_get(&udp_sockets, sk, 0, 0);
	if (!udp)
		return PROCEED;
	for (int i = 0; i < WEFT_UDP_PEERS; i++)
		release_peer(udp, i);
	return PROCEED;
}
