// SPDX-License-Identifier: GPL-2.0
/*
 * Watches for a time what the processes of one cgroup do with their TCP sockets: what a socket that goes around the TCP
 * stack does not do right. It is loaded for each watch and goes with it; nothing is pinned, nothing is changed, and no
 * descriptor of the application is held.
 *
 *  - `descriptors` iterates over the descriptors that there are.
 *  - `entered` sees every system call of the node while it is attached, and looks at those on sockets.
 *  - `uring` sees the requests that reach sockets without a system call of their own.
 */
#include "kernel.h"

#include "abi.h"
#include "abi_watch.h"
#include "lib/address.h"

char _license[] SEC("license") = "GPL";

#define O_NONBLOCK_FLAG 04000 /* asm-generic/fcntl.h: the same on x86-64 and arm64 */
#define MODE_TYPE 0170000
#define MODE_SOCKET 0140000
#define MSG_OOB_FLAG 0x1
#define MSG_TRUNC_FLAG 0x20
#define MSG_WAITALL_FLAG 0x100
#define MSG_ZEROCOPY_FLAG 0x4000000
#define FIONREAD_REQUEST 0x541B
#define TCP_ZEROCOPY_RECEIVE_OPTION 35

/* enum io_uring_op: part of the interface to applications, so the numbers stay. */
#define URING_READV 1
#define URING_WRITEV 2
#define URING_READ_FIXED 4
#define URING_WRITE_FIXED 5
#define URING_SENDMSG 9
#define URING_RECVMSG 10
#define URING_READ 22
#define URING_WRITE 23
#define URING_SEND 26
#define URING_RECV 27
#define URING_SPLICE 30
#define URING_SEND_ZC 47
#define URING_SENDMSG_ZC 48
#define URING_READ_MULTISHOT 49
#define URING_RECV_ZC 58

#define URING_FIXED_FILE 1 /* REQ_F_FIXED_FILE, which is IOSQE_FIXED_FILE */

/* The watched cgroup, and how far below the root it is. */
const volatile __u64 watched_cgroup = 0;
const volatile __u32 watched_level = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WEFT_WATCH_CALLS);
	__type(key, __u32);
	__type(value, __u8);
} watched_calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct weft_watched_key);
	__type(value, struct weft_watched);
} watched SEC(".maps");

/* ---- What only a watch reads of the kernel ---- */

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} WEFT_CORE;

struct files_struct {
	struct fdtable *fdt;
} WEFT_CORE;

struct css_set {
	struct cgroup *dfl_cgrp;
} WEFT_CORE;

struct task_struct {
	int tgid;
	struct files_struct *files;
	struct css_set *cgroups;
} WEFT_CORE;

struct io_cqe {
	int fd; /* of a request that has not been begun */
} WEFT_CORE;

struct io_kiocb {
	__u8 opcode;
	__u64 flags;
	struct io_cqe cqe;
} WEFT_CORE;

/* Registers at a system call, of each architecture; only one of them is there. */
struct pt_regs___x86 {
	unsigned long di, si, dx, r10, r8, r9;
} WEFT_CORE;

struct user_pt_regs {
	__u64 regs[31];
} WEFT_CORE;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
} WEFT_CORE;

/* ---- Sockets ---- */

/* The TCP socket behind a file; NULL if it is none. MPTCP is another protocol, which never takes this lane. */
static __always_inline struct sock *tcp_of(struct file *file)
{
	struct socket *socket;
	struct sock *sk;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & MODE_TYPE) != MODE_SOCKET)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
		return NULL;
	switch (BPF_CORE_READ(sk, __sk_common.skc_family)) {
	case AF_INET:
	case AF_INET6:
		return sk;
	default:
		return NULL;
	}
}

static __always_inline void describe(struct file *file, struct sock *sk, __u32 fd, struct weft_watched_socket *socket)
{
	struct tcp_sock *tcp = (void *)sk;

	socket->descriptor = fd;
	socket->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	socket->local_port = bpf_htons(BPF_CORE_READ(sk, __sk_common.skc_num));
	socket->peer_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET) {
		socket->local_address = weft_address_v4(BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		if (socket->peer_port)
			socket->peer_address = weft_address_v4(BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else {
		BPF_CORE_READ_INTO(&socket->local_address, sk, __sk_common.skc_v6_rcv_saddr);
		if (socket->peer_port)
			BPF_CORE_READ_INTO(&socket->peer_address, sk, __sk_common.skc_v6_daddr);
	}
	socket->low_water = BPF_CORE_READ(sk, sk_rcvlowat);
	if (BPF_CORE_READ(file, f_flags) & O_NONBLOCK_FLAG)
		socket->traits |= WEFT_TRAIT_NONBLOCKING;
	if (BPF_CORE_READ_BITFIELD_PROBED(tcp, recvmsg_inq))
		socket->traits |= WEFT_TRAIT_INQ;
	if (BPF_CORE_READ(tcp, inet_conn.icsk_ulp_ops))
		socket->traits |= WEFT_TRAIT_ULP;
}

/* ---- Descriptors ---- */

/* Whether the task is in the watched cgroup or below it; `own` is its cgroup. */
static __always_inline int is_watched(struct task_struct *task, __u64 *own)
{
	struct cgroup *group = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	struct cgroup *ancestor = NULL;

	if (!group || BPF_CORE_READ(group, level) < (int)watched_level)
		return 0;
	bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
	                      (void *)group + bpf_core_field_offset(struct cgroup, ancestors) +
	                          watched_level * sizeof(ancestor));
	*own = BPF_CORE_READ(group, kn, id);
	return ancestor && BPF_CORE_READ(ancestor, kn, id) == watched_cgroup;
}

SEC("iter/task_file")
int descriptors(struct bpf_iter__task_file *ctx)
{
	struct weft_watched_descriptor record = {};
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct sock *sk;

	if (!task || !file || !is_watched(task, &record.cgroup))
		return 0;
	sk = tcp_of(file);
	if (!sk)
		return 0;
	record.process = task->tgid;
	describe(file, sk, ctx->fd, &record.socket);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

/* ---- System calls ---- */

static __always_inline int is_current_watched(void)
{
	return bpf_get_current_ancestor_cgroup_id(watched_level) == watched_cgroup;
}

static __always_inline __u64 argument(void *registers, __u32 index)
{
	struct pt_regs___x86 *x86 = registers;
	struct user_pt_regs *arm = registers;

	if (!bpf_core_field_exists(x86->di))
		return index < 6 ? BPF_CORE_READ(arm, regs[index]) : 0;
	switch (index) {
	case 0:
		return BPF_CORE_READ(x86, di);
	case 1:
		return BPF_CORE_READ(x86, si);
	case 2:
		return BPF_CORE_READ(x86, dx);
	case 3:
		return BPF_CORE_READ(x86, r10);
	default:
		return BPF_CORE_READ(x86, r8);
	}
}

static __always_inline struct file *file_of(__u32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL;

	if (!table || fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	return file;
}

static __always_inline void note(__u32 kind, const struct weft_watched *seen)
{
	struct weft_watched_key key = {
		.cgroup = bpf_get_current_cgroup_id(),
		.process = bpf_get_current_pid_tgid() >> 32,
		.kind = kind,
	};
	struct weft_watched *known = bpf_map_lookup_elem(&watched, &key);

	if (!known) {
		/* What does not fit shows in that the map is full. */
		bpf_map_update_elem(&watched, &key, seen, BPF_NOEXIST);
		known = bpf_map_lookup_elem(&watched, &key);
	}
	if (known)
		__sync_fetch_and_add(&known->count, 1);
}

/* What every transfer of bytes says about its socket. */
static __always_inline void note_transfer(int receives, __u32 flags, const struct weft_watched *seen)
{
	int is_odd = 0;

	if (!(seen->socket.traits & WEFT_TRAIT_NONBLOCKING)) {
		note(WEFT_CONDUCT_BLOCKING, seen);
		is_odd = 1;
	}
	if (seen->socket.low_water > 1) {
		note(WEFT_CONDUCT_LOW_WATER, seen);
		is_odd = 1;
	}
	if (seen->socket.traits & WEFT_TRAIT_INQ) {
		note(WEFT_CONDUCT_INQ, seen);
		is_odd = 1;
	}
	if (seen->socket.traits & WEFT_TRAIT_ULP) {
		note(WEFT_CONDUCT_ULP, seen);
		is_odd = 1;
	}
	if (flags & MSG_OOB_FLAG) {
		note(WEFT_CONDUCT_URGENT, seen);
		is_odd = 1;
	}
	if (receives && (flags & MSG_WAITALL_FLAG)) {
		note(WEFT_CONDUCT_WAITALL, seen);
		is_odd = 1;
	}
	if (receives && (flags & MSG_TRUNC_FLAG)) {
		note(WEFT_CONDUCT_TRUNCATE, seen);
		is_odd = 1;
	}
	if (!receives && (flags & MSG_ZEROCOPY_FLAG)) {
		note(WEFT_CONDUCT_ZEROCOPY_SEND, seen);
		is_odd = 1;
	}
	if (!is_odd)
		note(receives ? WEFT_CONDUCT_RECEIVED : WEFT_CONDUCT_SENT, seen);
}

SEC("tp_btf/sys_enter")
int entered(__u64 *ctx)
{
	void *registers = (void *)ctx[0];
	__u64 number = ctx[1];
	struct weft_watched seen = {};
	struct file *file;
	struct sock *sk;
	__u32 index = number;
	__u32 flags = 0;
	__u8 *call;
	__u32 fd;

	if (number >= WEFT_WATCH_CALLS)
		return 0;
	call = bpf_map_lookup_elem(&watched_calls, &index);
	if (!call || !*call || !is_current_watched())
		return 0;
	fd = argument(registers, (*call & 15) == WEFT_CALL_MMAP ? 4 : 0);
	file = file_of(fd);
	sk = tcp_of(file);
	if (!sk)
		return 0;
	describe(file, sk, fd, &seen.socket);
	if (seen.socket.state == TCP_LISTEN_STATE || seen.socket.state == TCP_CLOSE_STATE)
		return 0;
	seen.call = number;
	if (*call >> 4)
		flags = argument(registers, *call >> 4);
	seen.detail = flags;
	switch (*call & 15) {
	case WEFT_CALL_READ:
	case WEFT_CALL_RECEIVE:
		note_transfer(1, flags, &seen);
		break;
	case WEFT_CALL_WRITE:
	case WEFT_CALL_SEND:
		note_transfer(0, flags, &seen);
		break;
	case WEFT_CALL_SPLICE:
		note(WEFT_CONDUCT_SPLICE, &seen);
		break;
	case WEFT_CALL_IOCTL:
		seen.detail = argument(registers, 1);
		if (seen.detail == FIONREAD_REQUEST)
			note(WEFT_CONDUCT_FIONREAD, &seen);
		break;
	case WEFT_CALL_GETSOCKOPT:
		seen.detail = argument(registers, 2);
		if (argument(registers, 1) == IPPROTO_TCP && seen.detail == TCP_ZEROCOPY_RECEIVE_OPTION)
			note(WEFT_CONDUCT_ZEROCOPY_RECEIVE, &seen);
		break;
	case WEFT_CALL_MMAP:
		note(WEFT_CONDUCT_ZEROCOPY_RECEIVE, &seen);
		break;
	}
	return 0;
}

static __always_inline int is_uring_transfer(__u32 opcode)
{
	switch (opcode) {
	case URING_READV ... URING_WRITEV:
	case URING_READ_FIXED ... URING_WRITE_FIXED:
	case URING_SENDMSG ... URING_RECVMSG:
	case URING_READ ... URING_WRITE:
	case URING_SEND ... URING_RECV:
	case URING_SEND_ZC ... URING_READ_MULTISHOT:
	case URING_RECV_ZC:
		return 1;
	default:
		return 0;
	}
}

SEC("tp_btf/io_uring_submit_req")
int uring(__u64 *ctx)
{
	struct io_kiocb *request = (void *)ctx[0];
	struct weft_watched seen = {};
	struct file *file;
	struct sock *sk;
	__u32 fd;

	if (!is_current_watched())
		return 0;
	seen.call = BPF_CORE_READ(request, opcode);
	/* A splice has the descriptor that it reads from elsewhere: which kind it is of is not known. */
	if (seen.call == URING_SPLICE) {
		note(WEFT_CONDUCT_SPLICE, &seen);
		return 0;
	}
	fd = BPF_CORE_READ(request, cqe.fd);
	if (BPF_CORE_READ(request, flags) & URING_FIXED_FILE) {
		/* The number is one of the ring's own. */
		seen.socket.descriptor = fd;
		if (is_uring_transfer(seen.call))
			note(WEFT_CONDUCT_URING, &seen);
		return 0;
	}
	file = file_of(fd);
	sk = tcp_of(file);
	if (!sk)
		return 0;
	describe(file, sk, fd, &seen.socket);
	if (seen.socket.state == TCP_LISTEN_STATE || seen.socket.state == TCP_CLOSE_STATE)
		return 0;
	switch (seen.call) {
	case URING_RECV_ZC:
		note(WEFT_CONDUCT_ZEROCOPY_RECEIVE, &seen);
		break;
	case URING_SEND_ZC:
	case URING_SENDMSG_ZC:
		note(WEFT_CONDUCT_ZEROCOPY_SEND, &seen);
		break;
	case URING_READV:
	case URING_READ_FIXED:
	case URING_RECVMSG:
	case URING_READ:
	case URING_RECV:
	case URING_READ_MULTISHOT:
		note_transfer(1, 0, &seen);
		break;
	case URING_WRITEV:
	case URING_WRITE_FIXED:
	case URING_SENDMSG:
	case URING_WRITE:
	case URING_SEND:
		note_transfer(0, 0, &seen);
		break;
	}
	return 0;
}
