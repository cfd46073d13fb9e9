/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The behaviour probes' counterpart of redirect.bpf.c: the same redirect without any guard, so that it can be seen what
 * this kernel does with a socket that is a member, and what the guard is needed for. Loaded by the probes alone, and
 * attached to nothing but their own map.
 */
#include "abi.h"
#include "abi_redirect.h"
#include "abi_trial.h"
#include "kernel.h"

#define TRIAL_PLACES 128

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, TRIAL_PLACES);
	__type(key, __u32);
	__type(value, __u64);
} members SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct weft_member);
} ends SEC(".maps");

/* What becomes of the sends of an end, by its place in `members`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TRIAL_PLACES);
	__type(key, __u32);
	__type(value, struct weft_trial);
} trials SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TRIAL_PLACES);
	__type(key, __u32);
	__type(value, struct weft_pair);
} pairs SEC(".maps");

/* Puts down where the members' sockets are, as pair.h does for those of applications when they join. */
SEC("iter/bpf_sk_storage_map")
int seat(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct weft_member *member = ctx->value;
	struct sock *sk = ctx->sk;
	struct weft_pair *pair;
	__u32 index;

	if (!sk || !member)
		return 0;
	index = member->pair;
	pair = bpf_map_lookup_elem(&pairs, &index);
	if (pair && pair->client == member->client)
		pair->socks[member->end & 1] = (__u64)sk;
	return 0;
}

SEC("sk_msg")
int redirect(struct sk_msg_md *msg)
{
	struct weft_member *member;
	struct weft_trial *trial;
	__u32 place;

	if (!msg->sk)
		return SK_PASS;
	member = bpf_sk_storage_get(&ends, msg->sk, 0, 0);
	if (!member)
		return SK_PASS;
	place = member->pair * WEFT_ENDS + member->end;
	trial = bpf_map_lookup_elem(&trials, &place);
	if (!trial)
		return SK_PASS;
	trial->sends++;
	if (trial->path == WEFT_TRIAL_TCP || (trial->path == WEFT_TRIAL_ALTERNATE && trial->sends % 2))
		return SK_PASS;
	return bpf_msg_redirect_map(msg, &members, place ^ 1, BPF_F_INGRESS);
}

char _license[] SEC("license") = "GPL";
