/* SPDX-License-Identifier: GPL-2.0 */
/* The modes of io_uring, by its system calls. */
#define _GNU_SOURCE
#include "soak.h"
#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES = 4096, KINDS = 7 };

/* The lowest bits of what a completion tells: what was asked of the connection that the others are the address of. */
enum kind { RECEIVED, SENT, CAN_RECEIVE, CAN_SEND, CANCELLED };

static struct {
	int fd;
	unsigned *sq_head, *sq_tail, sq_mask, *cq_head, *cq_tail, cq_mask, unsubmitted;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} ring;

static void make_ring(void)
{
	struct io_uring_params params = { 0 };
	size_t size;
	uint8_t *rings;
	unsigned *array;

	ring.fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
	if (ring.fd < 0)
		fail("io_uring_setup: %m");
	if (!(params.features & IORING_FEAT_SINGLE_MMAP) || !(params.features & IORING_FEAT_EXT_ARG))
		fail("io_uring of this kernel is too old");
	size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	if (size < params.sq_off.array + params.sq_entries * sizeof(unsigned))
		size = params.sq_off.array + params.sq_entries * sizeof(unsigned);
	rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQ_RING);
	ring.sqes = mmap(NULL, params.sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
	                 MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQES);
	if (rings == MAP_FAILED || ring.sqes == MAP_FAILED)
		fail("io_uring: %m");
	ring.sq_head = (unsigned *)(rings + params.sq_off.head);
	ring.sq_tail = (unsigned *)(rings + params.sq_off.tail);
	ring.sq_mask = params.sq_entries - 1;
	ring.cq_head = (unsigned *)(rings + params.cq_off.head);
	ring.cq_tail = (unsigned *)(rings + params.cq_off.tail);
	ring.cq_mask = params.cq_entries - 1;
	ring.cqes = (struct io_uring_cqe *)(rings + params.cq_off.cqes);
	array = (unsigned *)(rings + params.sq_off.array);
	for (unsigned i = 0; i < params.sq_entries; i++)
		array[i] = i;
}

/* Submits what there is, and waits for one completion, or no longer than `timeout_ns`. */
static void enter(unsigned wanted, uint64_t timeout_ns)
{
	struct __kernel_timespec timeout = { .tv_sec = (int64_t)(timeout_ns / 1000000000),
		                             .tv_nsec = (int64_t)(timeout_ns % 1000000000) };
	struct io_uring_getevents_arg argument = { .ts = (uint64_t)&timeout };
	int done = (int)syscall(SYS_io_uring_enter, ring.fd, ring.unsubmitted, wanted,
	                        IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument, sizeof(argument));

	if (done < 0 && errno != ETIME && errno != EINTR && errno != EAGAIN && errno != EBUSY)
		fail("io_uring_enter: %m");
	ring.unsubmitted = *ring.sq_tail - __atomic_load_n(ring.sq_head, __ATOMIC_ACQUIRE);
}

static struct io_uring_sqe *submission(uint8_t opcode, int fd, struct connection *c, enum kind kind)
{
	unsigned tail = *ring.sq_tail;
	struct io_uring_sqe *sqe = &ring.sqes[tail & ring.sq_mask];

	while (tail - __atomic_load_n(ring.sq_head, __ATOMIC_ACQUIRE) > ring.sq_mask)
		enter(0, 0);
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->user_data = (uint64_t)c | kind;
	return sqe;
}

static void submit(void)
{
	__atomic_store_n(ring.sq_tail, *ring.sq_tail + 1, __ATOMIC_RELEASE);
	ring.unsubmitted++;
}

static void submit_poll(struct connection *c, int fd, unsigned events, enum kind kind)
{
	submission(IORING_OP_POLL_ADD, fd, c, kind)->poll32_events = events;
	submit();
}

static void submit_receive(struct connection *c)
{
	struct io_uring_sqe *sqe = submission(IORING_OP_RECV, c->fd, c, RECEIVED);

	sqe->addr = (uint64_t)c->rx_operation.bytes;
	sqe->len = (uint32_t)c->rx_operation.size;
	sqe->msg_flags = (uint32_t)c->rx_operation.flags;
	submit();
}

static void submit_send(struct connection *c)
{
	bool has_vectors = c->tx_operation.way == BY_VECTORS;
	struct io_uring_sqe *sqe = submission(has_vectors ? IORING_OP_SENDMSG : IORING_OP_SEND, c->fd, c, SENT);

	if (has_vectors)
		connection_vectors(c, &c->tx_operation);
	sqe->addr = has_vectors ? (uint64_t)&c->message_header : (uint64_t)c->tx_operation.bytes;
	sqe->len = has_vectors ? 1 : (uint32_t)c->tx_operation.size;
	sqe->msg_flags = (uint32_t)c->tx_operation.flags;
	submit();
}

/* A connection is closed when nothing in the ring holds it any more. */
static void cancel(struct connection *c)
{
	if (c->is_cancelled)
		return;
	c->is_cancelled = true;
	for (enum kind kind = RECEIVED; kind < CANCELLED; kind++) {
		struct io_uring_sqe *sqe = submission(IORING_OP_ASYNC_CANCEL, -1, NULL, CANCELLED);

		sqe->addr = (uint64_t)c | kind;
		submit();
	}
}

/* Asks for what the connection wants next. Returns when it wants something later, 0: it does not. */
static uint64_t ask(struct connection *c, bool blocks)
{
	uint64_t now = now_ns(), due;

	if (c->is_connecting) {
		if (!c->tx_pending)
			submit_poll(c, c->fd, POLLOUT, CAN_SEND);
		c->tx_pending = true;
		return 0;
	}
	if (!c->rx_pending && connection_receives(c, now, &c->rx_operation)) {
		if (c->readable || blocks)
			submit_receive(c);
		else
			submit_poll(c, c->fd, POLLIN, CAN_RECEIVE);
		c->rx_pending = true;
	}
	if (!c->tx_pending && connection_sends(c, now, &c->tx_operation)) {
		if (c->writable || blocks)
			submit_send(c);
		else
			submit_poll(c, c->fd, POLLOUT, CAN_SEND);
		c->tx_pending = true;
	}
	due = connection_due(c);
	return due > now ? due : 0;
}

static void complete(struct engine *engine, uint64_t data, int result)
{
	struct connection *c = (struct connection *)(data & ~(uint64_t)KINDS);
	enum kind kind = data & KINDS;

	if (kind == CANCELLED)
		return;
	if (!c) {
		engine->can_accept = true;
		engine->is_watched = false;
		return;
	}
	if (kind == RECEIVED || kind == CAN_RECEIVE)
		c->rx_pending = false;
	else
		c->tx_pending = false;
	if (c->is_over)
		return;
	switch (kind) {
	case RECEIVED:
		connection_received(c, &c->rx_operation, result);
		break;
	case SENT:
		connection_sent(c, &c->tx_operation, result);
		break;
	case CAN_RECEIVE:
		c->readable = true;
		break;
	default:
		c->writable = true;
		if (c->is_connecting) {
			engine_finish_connect(c);
			c->readable = true;
		}
	}
	connection_settle(c);
}

void run_uring(bool blocks)
{
	struct engine engine;

	make_ring();
	engine_start(&engine);
	for (;;) {
		uint64_t now = now_ns(), due = now + 100000000;
		bool is_busy = engine_turn(&engine, now);
		unsigned head;

		if (engine.listener >= 0 && !engine.can_accept && !engine.is_watched) {
			submit_poll(NULL, engine.listener, POLLIN, CAN_RECEIVE);
			engine.is_watched = true;
		}
		for (size_t i = 0; i < engine.count;) {
			struct connection *c = engine.live[i];
			uint64_t own;

			if (c->is_over && !c->rx_pending && !c->tx_pending) {
				engine_remove(&engine, c);
				is_busy = true;
				continue;
			}
			if (c->is_over) {
				cancel(c);
			} else {
				own = ask(c, blocks);
				if (own && own < due)
					due = own;
			}
			i++;
		}
		if (engine_is_done(&engine))
			return;
		now = now_ns();
		enter(is_busy || due <= now ? 0 : 1, due > now ? due - now : 0);
		head = *ring.cq_head;
		while (head != __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE)) {
			struct io_uring_cqe *cqe = &ring.cqes[head & ring.cq_mask];

			complete(&engine, cqe->user_data, cqe->res);
			__atomic_store_n(ring.cq_head, ++head, __ATOMIC_RELEASE);
		}
	}
}
