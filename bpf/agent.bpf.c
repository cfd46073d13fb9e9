/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The agent's own sockets. These programs are attached to the agent's cgroup only, so nobody else pays for them.
 *
 * A captured connection arrives at the agent's listener as one from the client to the listener. When its end here is
 * established, what the client asked for moves from `origins` to the socket itself, where getsockopt() finds it for as
 * long as the socket lives, even if the client is gone by then.
 */
#include "kernel.h"

#include "identity.h"
#include "pair.h"
#include "socket.h"
#include "tuple.h"

char _license[] SEC("license") = "GPL";

#define SOL_IP 0
#define SOL_IPV6 41
#define SO_ORIGINAL_DST 80 /* of netfilter; IP6T_SO_ORIGINAL_DST is the same number */
#define PROCEED 1

/* The kernel's own buffer for options has one page: what is longer goes past a program that leaves the length alone. */
#define LONGEST_OPTION 4096

struct sockaddr_in {
	__u16 family;
	__be16 port;
	__be32 address;
	__u8 zero[8];
};

struct sockaddr_in6 {
	__u16 family;
	__be16 port;
	__be32 flow;
	__be32 address[4];
	__u32 scope;
};

/* By the tuple as the client has it. */
static __always_inline void key_of_accepted(struct tcp_sock *tcp, struct weft_tuple_key *key, __u64 netns_cookie)
{
	struct weft_address local, remote;
	__be16 local_port, remote_port;

	socket_ends(common_of(tcp), &local, &local_port, &remote, &remote_port);
	tuple_key(key, &remote, remote_port, &local, local_port, netns_cookie);
}

static __noinline int on_accepted(struct bpf_sock_ops *ctx, struct bpf_sock *sk, struct tcp_sock *tcp)
{
	struct weft_tuple_key key;
	struct weft_origin *origin, *kept;

	key_of_accepted(tcp, &key, bpf_get_netns_cookie(ctx));
	origin = bpf_map_lookup_elem(&origins, &key);
	if (!origin)
		return 0;
	kept = bpf_sk_storage_get(&agent_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (kept)
		*kept = *origin;
	else
		count_node(WEFT_COUNT_SOCKETS_UNTRACKED);
	if (origin->pair)
		member_join(ctx, sk, tcp, origin->pair, WEFT_END_SERVER);
	bpf_map_delete_elem(&origins, &key);
	return 0;
}

static __always_inline void key_of_connected(struct tcp_sock *tcp, struct weft_tuple_key *key, __u64 netns_cookie)
{
	struct weft_address local, remote;
	__be16 local_port, remote_port;

	socket_ends(common_of(tcp), &local, &local_port, &remote, &remote_port);
	tuple_key(key, &local, local_port, &remote, remote_port, netns_cookie);
}

/* Makes a connection to a workload of the node a pair, if that may be accelerated. */
static __noinline __u64 pair_begin(const struct weft_tuple_key *key, __u64 cookie)
{
	__u32 zero = 0;
	struct weft_settings *node = bpf_map_lookup_elem(&settings, &zero);
	struct weft_workload *workload;
	struct weft_pair *pair;
	__u64 id;

	if (!node || !node->acceleration)
		return 0;
	id = workload_of_address(&key->server_address, key->server_port, IPPROTO_TCP, key->scope);
	workload = id ? bpf_map_lookup_elem(&workloads, &id) : NULL;
	if (!workload || ~workload->flags & (WEFT_WORKLOAD_ACCELERATED | WEFT_WORKLOAD_LOCAL))
		return 0;
	pair = pair_take(cookie);
	if (!pair)
		return 0;
	pair->source = WEFT_WORKLOAD_AGENT;
	pair->destination = id;
	pair->lane = WEFT_LANE_PROXY;
	pair->unread = 1;
	pair_filled(pair, cookie);
	return cookie;
}

/* The agent's connections were decided for those whose requests they carry: policy at the destination lets them pass.
 */
static __noinline int on_connect(struct bpf_sock_ops *ctx, struct tcp_sock *tcp)
{
	struct weft_tuple tuple = { .source = WEFT_WORKLOAD_AGENT, .destination = WEFT_WORKLOAD_AGENT };
	struct weft_tuple_key key;
	__u64 cookie = bpf_get_socket_cookie(ctx);

	key_of_connected(tcp, &key, bpf_get_netns_cookie(ctx));
	tuple.pair = pair_begin(&key, cookie);
	tuple_insert(&key, &tuple, cookie);
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	return 0;
}

/* Only sockets that have connected are watched. */
static __noinline int on_closed(struct bpf_sock_ops *ctx, struct tcp_sock *tcp)
{
	struct weft_tuple_key key;

	key_of_connected(tcp, &key, bpf_get_netns_cookie(ctx));
	tuple_remove(&key, cookie_of(tcp));
	return pair_free(cookie_of(tcp));
}

SEC("sockops")
int agent_lifecycle(struct bpf_sock_ops *ctx)
{
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
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		on_connect(ctx, tcp);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		if (member_join(ctx, sk, tcp, cookie_of(tcp), WEFT_END_CLIENT))
			pair_free(cookie_of(tcp));
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		on_accepted(ctx, sk, tcp);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		on_closed(ctx, tcp);
		break;
	}
	return 1;
}

static __always_inline int answered(struct bpf_sockopt *ctx, __s32 length)
{
	ctx->optlen = length;
	/* The compiler would join the two fields' stores into one, which the verifier refuses. */
	barrier();
	ctx->retval = 0;
	return PROCEED;
}

static __always_inline int answer4(struct bpf_sockopt *ctx, const struct weft_origin *origin)
{
	struct sockaddr_in *answer = ctx->optval;

	if ((void *)(answer + 1) > ctx->optval_end || !weft_address_is_v4(&origin->address))
		return PROCEED;
	__builtin_memset(answer, 0, sizeof(*answer));
	answer->family = AF_INET;
	answer->port = origin->port;
	answer->address = weft_address_to_v4(&origin->address);
	return answered(ctx, sizeof(*answer));
}

static __always_inline int answer6(struct bpf_sockopt *ctx, const struct weft_origin *origin)
{
	struct sockaddr_in6 *answer = ctx->optval;

	if ((void *)(answer + 1) > ctx->optval_end)
		return PROCEED;
	__builtin_memset(answer, 0, sizeof(*answer));
	answer->family = AF_INET6;
	answer->port = origin->port;
	answer->address[0] = weft_address_word(&origin->address, 0);
	answer->address[1] = weft_address_word(&origin->address, 1);
	answer->address[2] = weft_address_word(&origin->address, 2);
	answer->address[3] = weft_address_word(&origin->address, 3);
	return answered(ctx, sizeof(*answer));
}

static __always_inline int answer_all(struct bpf_sockopt *ctx, const struct weft_origin *origin)
{
	struct weft_origin *answer = ctx->optval;

	if ((void *)(answer + 1) > ctx->optval_end)
		return PROCEED;
	*answer = *origin;
	return answered(ctx, sizeof(*answer));
}

/* What has no origin was not captured: the kernel's own answer, an error, stays. */
SEC("cgroup/getsockopt")
int agent_getsockopt(struct bpf_sockopt *ctx)
{
	struct weft_origin *origin;
	struct bpf_sock *sk = ctx->sk;

	if (ctx->optlen > LONGEST_OPTION) {
		ctx->optlen = 0;
		return PROCEED;
	}
	if (ctx->optname != SO_ORIGINAL_DST || (ctx->level != SOL_IP && ctx->level != SOL_IPV6) || !sk)
		return PROCEED;
	origin = bpf_sk_storage_get(&agent_sockets, sk, 0, 0);
	if (!origin)
		return PROCEED;
	if (ctx->optlen == sizeof(*origin))
		return answer_all(ctx, origin);
	return ctx->level == SOL_IP ? answer4(ctx, origin) : answer6(ctx, origin);
}
