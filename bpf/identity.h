/* SPDX-License-Identifier: GPL-2.0 */
/* Which workload a process, a socket or an address belongs to. */
#ifndef WEFT_IDENTITY_H
#define WEFT_IDENTITY_H

#include "kernel.h"
#include "lib/address.h"
#include "maps.h"

static __always_inline __u32 identity_generation(void)
{
	__u32 zero = 0;
	struct weft_settings *node = bpf_map_lookup_elem(&settings, &zero);

	return node ? node->identity_generation : 0;
}

/* `generation` is that from before the walk: enrolment that changes meanwhile makes the entry stale at once. */
static __always_inline void remember_cgroup(__u64 cgroup, __u64 workload, __u32 generation)
{
	struct weft_cgroup_identity found = {
		.workload = workload,
		.generation = generation,
	};

	bpf_map_update_elem(&cgroup_cache, &cgroup, &found, BPF_ANY);
}

/*
 * The workload of the current process, which is in `cgroup`: its nearest enrolled ancestor cgroup. The walk is cached
 * by cgroup id, which the kernel never uses twice; a change of enrolment makes the cache stale by its generation.
 */
static __noinline __u64 workload_of_current(__u64 cgroup)
{
	__u32 generation = identity_generation();
	struct weft_cgroup_identity *cached = bpf_map_lookup_elem(&cgroup_cache, &cgroup);
	__u64 workload = 0;

	if (cached && cached->generation == generation)
		return cached->workload;

	for (int level = 0; level < WEFT_CGROUP_DEPTH; level++) {
		__u64 ancestor = bpf_get_current_ancestor_cgroup_id(level);
		__u64 *enrolled;

		if (!ancestor)
			break;
		enrolled = bpf_map_lookup_elem(&cgroups, &ancestor);
		if (enrolled)
			workload = *enrolled;
	}
	remember_cgroup(cgroup, workload, generation);
	return workload;
}

/*
 * The workload of a socket, by the cgroup of the process that made it: for hooks that run in no process's context. The
 * ancestors are a flexible array, which the verifier does not let a program index through BTF: they are read as memory.
 */
static __noinline __u64 workload_of_socket(struct tcp_sock *tcp)
{
	__u32 generation = identity_generation();
	struct cgroup *group = tcp->inet_conn.icsk_inet.sk.sk_cgrp_data.cgroup;
	struct weft_cgroup_identity *cached;
	__u64 workload = 0;
	__u64 id;

	if (!group)
		return 0;
	id = group->kn->id;
	cached = bpf_map_lookup_elem(&cgroup_cache, &id);
	if (cached && cached->generation == generation)
		return cached->workload;

	for (int level = 0; level < WEFT_CGROUP_DEPTH; level++) {
		struct kernfs_node *node = NULL;
		struct cgroup *ancestor = NULL;
		__u64 *enrolled;
		__u64 ancestor_id = 0;

		if (level > group->level)
			break;
		bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
		                      (void *)group + bpf_core_field_offset(struct cgroup, ancestors) +
		                          level * sizeof(ancestor));
		if (!ancestor)
			break;
		bpf_probe_read_kernel(&node, sizeof(node), (void *)ancestor + bpf_core_field_offset(struct cgroup, kn));
		if (!node)
			break;
		bpf_probe_read_kernel(&ancestor_id, sizeof(ancestor_id),
		                      (void *)node + bpf_core_field_offset(struct kernfs_node, id));
		enrolled = bpf_map_lookup_elem(&cgroups, &ancestor_id);
		if (enrolled)
			workload = *enrolled;
	}
	remember_cgroup(id, workload, generation);
	return workload;
}

/* The workload that owns an address and port, seen from a namespace; 0 if none does. */
static __noinline __u64 workload_of_address(const struct weft_address *address, __be16 port, __u8 protocol,
                                            __u64 netns_cookie)
{
	struct weft_endpoint_key key = { .address = *address, .port = port, .protocol = protocol };
	__u64 *workload;

	key.scope = netns_cookie;
	workload = bpf_map_lookup_elem(&addresses, &key);
	if (workload)
		return *workload;
	key.scope = 0;
	workload = bpf_map_lookup_elem(&addresses, &key);
	if (workload)
		return *workload;

	/*
	 * Then the owner of the whole address; not for datagrams, because a server's answer goes to a port of its
	 * client that nobody has declared, and is no connection to it.
	 */
	if (protocol == IPPROTO_UDP)
		return 0;
	key.port = 0;
	key.protocol = 0;
	workload = bpf_map_lookup_elem(&addresses, &key);
	if (workload)
		return *workload;
	key.scope = netns_cookie;
	workload = bpf_map_lookup_elem(&addresses, &key);
	return workload ? *workload : 0;
}

/* What a port of a workload has of its own; NULL if nothing. `flags`: of its workload. */
static __always_inline struct weft_inbound_port *inbound_port(__u64 workload, __be16 port, __u32 flags)
{
	struct weft_inbound_key key = { .workload = workload, .port = port };

	return flags & WEFT_WORKLOAD_INBOUND ? bpf_map_lookup_elem(&inbound_ports, &key) : NULL;
}

#endif
