/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which workload listens where. A connection by an address that is nobody's leads to whoever listens at all addresses:
 * sk_lookup has no helper that finds a listener, so those of local workloads are entered when they begin to listen
 * (lifecycle), or when their cgroup is enrolled later (sweep), and leave when they are released.
 */
#ifndef WEFT_LISTENER_H
#define WEFT_LISTENER_H

#include "identity.h"
#include "socket.h"

static __always_inline int listener_leave(struct weft_listening *listening)
{
	struct weft_listener_key key;

	if (!listening || !listening->workload)
		return 0;
	key = listening->key;
	bpf_map_delete_elem(&listeners, &key);
	listening->workload = 0;
	return 0;
}

/* Where a socket listens; `families`: of the addresses that it takes connections to. */
static __always_inline void listener_place(struct tcp_sock *tcp, struct weft_listener_key *key, __u32 *families)
{
	struct sock_common *common = common_of(tcp);
	struct weft_address remote;
	__be16 remote_port;

	__builtin_memset(key, 0, sizeof(*key));
	key->netns_cookie = common->skc_net.net->net_cookie;
	socket_ends(common, &key->address, &key->port, &remote, &remote_port);
	if (common->skc_family == AF_INET)
		*families = WEFT_LISTENER_IPV4;
	else if (BPF_CORE_READ_BITFIELD(common, skc_ipv6only))
		*families = WEFT_LISTENER_IPV6;
	else
		*families = WEFT_LISTENER_IPV4 | WEFT_LISTENER_IPV6;
	if (weft_address_is_unspecified(&key->address))
		__builtin_memset(&key->address, 0, sizeof(key->address));
}

/* Enters a socket that listens for a workload, in place of what it has been entered as before. */
static __noinline int listener_enter(struct tcp_sock *tcp, struct weft_listening *listening, __u64 workload)
{
	struct weft_listener value = { .workload = workload };
	struct weft_listener_key key;

	if (!listening || listening->workload == workload)
		return 0;
	listener_leave(listening);
	listener_place(tcp, &key, &value.families);
	for (int slot = 0; slot < WEFT_LISTENER_SLOTS; slot++) {
		key.slot = slot;
		if (bpf_map_update_elem(&listeners, &key, &value, BPF_NOEXIST))
			continue;
		listening->key = key;
		listening->workload = workload;
		return 0;
	}
	return 0;
}

static __noinline __u64 listener_at(struct weft_listener_key *key, __u32 family)
{
	for (int slot = 0; slot < WEFT_LISTENER_SLOTS; slot++) {
		struct weft_listener *listener;

		key->slot = slot;
		listener = bpf_map_lookup_elem(&listeners, key);
		if (listener && listener->families & family)
			return listener->workload;
	}
	return 0;
}

/* The workload whose process takes TCP connections to an address and port in a namespace; 0 if none is known to. */
static __noinline __u64 workload_of_listener(const struct weft_address *address, __be16 port, __u64 netns_cookie)
{
	struct weft_listener_key key = { .netns_cookie = netns_cookie, .address = *address, .port = port };
	__u32 family = weft_address_is_v4(address) ? WEFT_LISTENER_IPV4 : WEFT_LISTENER_IPV6;
	__u64 workload = listener_at(&key, family);

	if (workload)
		return workload;
	__builtin_memset(&key.address, 0, sizeof(key.address));
	return listener_at(&key, family);
}

#endif
