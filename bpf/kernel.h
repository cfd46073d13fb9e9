/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The few kernel structures that the programs read, with only the fields that are read. Offsets are relocated against
 * the running kernel's BTF (CO-RE), so order and size here mean nothing.
 */
#ifndef WEFT_KERNEL_H
#define WEFT_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define WEFT_CORE __attribute__((preserve_access_index))

/*
 * A function that the verifier checks once, by itself, instead of again on every path that calls it. Its pointers are
 * checked to be as large as their types and may be NULL as far as it knows. Kernels before 6.2 do not take them, nor
 * what they point to, as the key or value of a map: those are copied to the stack first.
 *
 * A chain of calls has 512 bytes of stack, and older kernels round each frame up to 32: what a caller does not need any
 * more when it calls on belongs into a function of its own.
 */
#define VERIFIED_ALONE __attribute__((noinline))

#define O_NONBLOCK 04000

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define EPERM 1
#define ENOMEM 12
#define ECONNREFUSED 111

#define ECONNRESET 104
#define EPIPE 32

#define TCP_ESTABLISHED_STATE 1 /* of a datagram socket: connected */
#define TCP_CLOSE_STATE 7
#define TCP_CLOSE_WAIT_STATE 8
#define TCP_LAST_ACK_STATE 9
#define TCP_LISTEN_STATE 10

/* enum tcp_chrono: there is something to send, and the peer's receive window has no room for it. */
#define TCP_CHRONO_RWND_LIMITED 2

/* enum sock_flags: the peer's FIN has been received. */
#define SOCK_DONE_BIT 1

struct kernfs_node {
	__u64 id;
} WEFT_CORE;

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[];
} WEFT_CORE;

struct sock_cgroup_data {
	struct cgroup *cgroup;
} WEFT_CORE;

struct net {
	__u64 net_cookie;
} WEFT_CORE;

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
} WEFT_CORE;

struct hlist_node {
	struct hlist_node *next;
} WEFT_CORE;

struct hlist_head {
	struct hlist_node *first;
} WEFT_CORE;

struct epoll_event {
	__u32 events;
} WEFT_CORE;

/* One descriptor in one epoll instance. */
struct epitem {
	struct hlist_node fllink;
	struct epoll_event event;
} WEFT_CORE;

#define EPOLLET (1u << 31)

struct inode {
	unsigned short i_mode;
} WEFT_CORE;

struct file {
	void *private_data;
	struct inode *f_inode;
	unsigned int f_flags;
	struct hlist_head *f_ep; /* the epoll instances that it is in */
} WEFT_CORE;

struct sock;

struct socket {
	struct file *file;
	struct sock *sk;
} WEFT_CORE;

struct proto {
	unsigned long *memory_pressure;
} WEFT_CORE;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	unsigned char skc_ipv6only : 1;
	possible_net_t skc_net;
	unsigned long skc_flags;
	struct proto *skc_prot;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	struct {
		__s64 counter;
	} skc_cookie;
} WEFT_CORE;

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
	__u8 sk_kern_sock : 1;
	int sk_err;
	int sk_rcvlowat;
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
	struct socket *sk_socket;
	void *sk_user_data;
	__u16 sk_protocol;
} WEFT_CORE;

struct inet_sock {
	struct sock sk;
} WEFT_CORE;

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	const void *icsk_ulp_ops;
} WEFT_CORE;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 bytes_received;
	__u32 rcv_nxt;
	__u32 rcv_wnd;
	__u32 copied_seq;
	__u32 write_seq;
	__u8 recvmsg_inq : 1;
	_Bool is_mptcp;
	__u32 segs_out;
	__u32 segs_in;
	__u32 total_retrans;
	__u32 srtt_us;
	__u32 chrono_start;
	__u32 chrono_stat[3]; /* jiffies, by enum tcp_chrono less one */
	__u8 chrono_type : 2; /* what goes on now, since chrono_start */
	__u64 tcp_clock_cache;
	__u8 bpf_sock_ops_cb_flags;
} WEFT_CORE;

struct list_head {
	struct list_head *next;
} WEFT_CORE;

/* What a socket in a sockmap has; its address is that of sk_user_data without the lowest bits, which are flags. */
struct sk_psock {
	struct list_head ingress_msg;
} WEFT_CORE;

#define SK_USER_DATA_FLAGS 7ul

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
} WEFT_CORE;

struct bpf_map;

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
} WEFT_CORE;

struct bpf_iter__sockmap {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	struct sock *sk;
} WEFT_CORE;

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} WEFT_CORE;

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
} WEFT_CORE;

#endif
