/* SPDX-License-Identifier: GPL-2.0 */
/* One connection: what it sends and receives next, whether that was right, and when it is over. */
#define _GNU_SOURCE
#include "soak.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <time.h>
#include <unistd.h>

enum { MAGIC = 0x736f616b, GREETING = 1 << 16, SMALL = 1 << 16 };

static uint8_t shared_buffer[LARGEST_READ];

uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t check_of(const struct header *header)
{
	return mix(header->magic +
	           mix(header->seed +
	               mix(header->number +
	                   mix(header->size +
	                       mix(header->wanted +
	                           mix(header->end_at + mix(header->ending + mix(((uint64_t)header->sleep_ms << 32) +
	                                                                         header->own_sleep_ms))))))));
}

/* What the client decided; the server knows it when it has read the header. */
static const struct header *plan_of(const struct connection *c)
{
	if (!options.is_server)
		return &c->tx.header;
	return c->rx.header_done == sizeof(struct header) ? &c->rx.header : NULL;
}

static bool is_known(const struct connection *c)
{
	return c->rx.header_done == sizeof(struct header);
}

static bool has_sent_all(const struct connection *c)
{
	return plan_of(c) && c->tx.header_done == sizeof(struct header) && c->tx.done == c->tx.total;
}

/* Whether this end breaks the connection off. */
static bool breaks_off(const struct connection *c)
{
	const struct header *plan = plan_of(c);

	if (!plan)
		return false;
	return options.is_server ? plan->ending == END_SERVER_ABORTS || plan->ending == END_SERVER_LEAVES
	                         : plan->ending == END_CLIENT_ABORTS || plan->ending == END_CLIENT_LEAVES;
}

/* Whether one of the ends breaks it off. */
static bool may_break(const struct connection *c)
{
	const struct header *plan = plan_of(c);

	return options.tolerates_ends || (plan && plan->ending >= END_CLIENT_ABORTS);
}

static _Noreturn void fail_on(const struct connection *c, const char *what)
{
	const struct direction *tx = &c->tx, *rx = &c->rx;

	fail("connection %llu of seed %llu%s: %s (ending %d, sent %llu of %llu, received %llu of %llu)",
	     (unsigned long long)(options.is_server && is_known(c) ? rx->header.number : c->number),
	     (unsigned long long)(options.is_server && is_known(c) ? rx->header.seed : options.seed),
	     options.is_server && !is_known(c) ? " (number of the server's)" : "", what,
	     plan_of(c) ? (int)plan_of(c)->ending : -1, (unsigned long long)tx->done, (unsigned long long)tx->total,
	     (unsigned long long)rx->done, (unsigned long long)rx->total);
}

static uint64_t random_of(const struct connection *c, uint64_t purpose)
{
	return mix(options.seed * 16 + purpose) ^ mix(c->number + options.is_server);
}

static void plan_client(struct connection *c)
{
	struct header *header = &c->tx.header;
	uint64_t random = random_of(c, 1), average = options.bytes / options.total / 2;

	/* One in four is small; the others are large enough for all to have the bytes that are asked for. */
	header->size = happens(&random, 250) ? magnitude(&random, SMALL) - 1 : upto(&random, average * 8 / 3);
	header->wanted = happens(&random, 250) ? magnitude(&random, SMALL) - 1 : upto(&random, average * 8 / 3);
	header->sleep_ms = (uint32_t)options.sleep_ms;
	header->own_sleep_ms = (uint32_t)options.own_sleep_ms;
	if (happens(&random, options.abort_permille)) {
		header->ending = END_CLIENT_ABORTS + (uint32_t)upto(&random, END_SERVER_LEAVES - END_CLIENT_ABORTS);
		header->end_at =
		    upto(&random, header->ending == END_CLIENT_ABORTS || header->ending == END_CLIENT_LEAVES
		                      ? header->size
		                      : header->wanted);
	} else if (happens(&random, options.half_permille)) {
		header->ending = END_HALF_CLOSE;
	} else {
		header->ending = END_CLIENT_CLOSES + (uint32_t)upto(&random, 1);
	}
}

/* A connection that has a descriptor. `c` is zero but for its number. */
void connection_open(struct connection *c, int fd, bool is_connecting)
{
	struct header *header = &c->tx.header;

	c->fd = fd;
	c->is_connecting = is_connecting;
	c->opened = c->progress = now_ns();
	c->tx.random = random_of(c, 2);
	c->rx.random = random_of(c, 3);
	c->tx.stream = pattern_stream(options.seed, c->number, options.is_server);
	if (!options.is_server)
		plan_client(c);
	else if (happens(&c->tx.random, options.greet_permille))
		header->size = magnitude(&c->tx.random, GREETING);
	header->magic = MAGIC;
	header->seed = options.seed;
	header->number = c->number;
	header->check = check_of(header);
	c->tx.total = header->size;
	if (!is_connecting)
		connection_connected(c);
}

void connection_connected(struct connection *c)
{
	uint64_t now = now_ns();
	int on = (int)(next(&c->tx.random) & 1);

	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c->is_connecting = false;
	c->progress = now;
	if (options.is_server)
		return;
	if (c->tx.header.sleep_ms)
		c->queued_until = now + (uint64_t)c->tx.header.sleep_ms * 1000000;
	c->rx.due = now + (uint64_t)c->tx.header.own_sleep_ms * 1000000;
}

/* The header of the other end has come. */
static void learn(struct connection *c, uint64_t now)
{
	const struct header *header = &c->rx.header;

	if (header->magic != MAGIC || header->check != check_of(header))
		fail_on(c, "the first bytes are not those that the other end sends first");
	c->rx.stream = pattern_stream(header->seed, header->number, !options.is_server);
	c->rx.total = header->size;
	if (!options.is_server) {
		c->rx.total += c->tx.header.wanted;
		return;
	}
	c->tx.total += header->wanted;
	c->rx.due = now + (uint64_t)header->sleep_ms * 1000000;
	if (header->own_sleep_ms)
		c->queued_until = now + (uint64_t)header->own_sleep_ms * 1000000;
}

/* ------------------------------------------------------------------------------------------------------- sending */

/* Up to where this end sends. */
static uint64_t limit_of(const struct connection *c)
{
	uint64_t limit = c->tx.total;

	if (breaks_off(c)) {
		uint64_t end_at = plan_of(c)->end_at;

		return end_at < limit ? end_at : limit;
	}
	return limit;
}

static void choose_message(struct connection *c, uint64_t left)
{
	uint64_t *random = &c->tx.random;
	uint64_t chance = upto(random, 31);

	if (!c->burst)
		c->burst = 1 + upto(random, 15);
	c->message = magnitude(random, options.largest_message);
	if (c->message > left)
		c->message = left;
	c->way = chance < 4 ? BY_FILE : chance < 8 ? BY_VECTORS : BY_SEND;
	/* More follows at once, or the bytes would wait for TCP's own time. */
	c->flags = chance > 27 && c->burst > 1 && c->message < left ? MSG_MORE : 0;
}

/* What this end can send now, if there is something. */
bool connection_sends(struct connection *c, uint64_t now, struct operation *operation)
{
	struct direction *tx = &c->tx;
	uint64_t limit;

	if (c->is_connecting || c->is_over || tx->ended || now < tx->due)
		return false;
	if (tx->header_done < sizeof(tx->header)) {
		if (options.is_server && !tx->header.size && !is_known(c))
			return false;
		*operation = (struct operation){
			.bytes = (uint8_t *)&tx->header + tx->header_done,
			.size = sizeof(tx->header) - tx->header_done,
			.flags = MSG_NOSIGNAL,
		};
		return true;
	}
	limit = limit_of(c);
	if (tx->done >= limit)
		return false;
	if (!c->message)
		choose_message(c, limit - tx->done);
	*operation = (struct operation){
		.bytes = pattern_at(tx->stream, tx->done),
		.size = c->message,
		.flags = MSG_NOSIGNAL | c->flags,
		.way = c->way,
		.position = pattern_position(tx->stream, tx->done),
	};
	return true;
}

/* Cuts the bytes of an operation into several pieces of different sizes. */
void connection_vectors(struct connection *c, const struct operation *operation)
{
	size_t done = 0, count = 0;

	while (done < operation->size && count < VECTORS) {
		size_t size = operation->size - done;

		if (count < VECTORS - 1 && size > 1)
			size = magnitude(&c->tx.random, size);
		c->vectors[count++] = (struct iovec){ operation->bytes + done, size };
		done += size;
	}
	c->message_header = (struct msghdr){ .msg_iov = c->vectors, .msg_iovlen = count };
}

/* The system call; a negative errno when it failed. */
ssize_t connection_perform_send(struct connection *c, const struct operation *operation)
{
	off_t position = operation->position;
	ssize_t result;

	switch (operation->way) {
	case BY_FILE:
		result = sendfile(c->fd, pattern_file(), &position, operation->size);
		break;
	case BY_VECTORS:
		connection_vectors(c, operation);
		result = sendmsg(c->fd, &c->message_header, operation->flags);
		break;
	default:
		result = send(c->fd, operation->bytes, operation->size, operation->flags);
	}
	return result < 0 ? -errno : result;
}

/* The connection has broken: as it may, or not. */
static void break_with(struct connection *c, int error, const char *what)
{
	char text[100];

	count_error(error);
	snprintf(text, sizeof(text), "%s: %s", what, strerrorname_np(error));
	switch (error) {
	case EPIPE:
	case ECONNRESET:
		/* A reset takes with it what was not read: the server may never see who the client was. */
		if (!may_break(c) && plan_of(c))
			fail_on(c, text);
		break;
	case ECONNABORTED:
	case ETIMEDOUT:
		if (!options.tolerates_ends)
			fail_on(c, text);
		break;
	default:
		fail_on(c, text);
	}
	c->broken = c->is_over = true;
}

void connection_sent(struct connection *c, const struct operation *operation, ssize_t result)
{
	uint64_t now = now_ns();

	if (c->is_over)
		return;
	if (result == -EAGAIN) {
		c->writable = false;
		return;
	}
	if (result == -EINTR)
		return;
	if (result < 0) {
		break_with(c, (int)-result, "send");
		return;
	}
	if ((size_t)result > operation->size)
		fail_on(c, "more was sent than was given");
	if (result == 0)
		fail_on(c, "a send took nothing");
	c->progress = now;
	c->sent += (uint64_t)result;
	if (now < c->queued_until)
		c->queued = c->sent;
	if (c->tx.header_done < sizeof(struct header)) {
		c->tx.header_done += (size_t)result;
		return;
	}
	c->tx.done += (uint64_t)result;
	c->message -= (uint64_t)result;
	if (!c->message && !--c->burst)
		c->tx.due = now + upto(&c->tx.random, options.pause_us) * 1000;
}

/* ----------------------------------------------------------------------------------------------------- receiving */

bool connection_receives(struct connection *c, uint64_t now, struct operation *operation)
{
	struct direction *rx = &c->rx;
	uint64_t chance;

	if (c->is_connecting || c->is_over || rx->ended || now < rx->due)
		return false;
	if (rx->header_done < sizeof(rx->header)) {
		*operation = (struct operation){
			.bytes = (uint8_t *)&rx->header + rx->header_done,
			.size = sizeof(rx->header) - rx->header_done,
		};
		return true;
	}
	chance = upto(&rx->random, 31);
	*operation = (struct operation){
		.bytes = c->buffer ? c->buffer : shared_buffer,
		.size = chance & 1 ? magnitude(&rx->random, LARGEST_READ) : LARGEST_READ,
		.flags = chance < 2 ? MSG_PEEK : 0,
	};
	return true;
}

static void take_end(struct connection *c)
{
	c->rx.ended = true;
	if (may_break(c)) {
		c->is_over = true;
		return;
	}
	if (!is_known(c))
		fail_on(c, "the end came before the first bytes");
	if (c->rx.done != c->rx.total)
		fail_on(c, "the end came before all bytes");
}

static void take_bytes(struct connection *c, const struct operation *operation, size_t size)
{
	struct direction *rx = &c->rx;
	char text[200];

	if (memcmp(operation->bytes, pattern_at(rx->stream, rx->done), size)) {
		pattern_explain(rx->stream, rx->done, operation->bytes, size, text, sizeof(text));
		fail_on(c, text);
	}
	if (size > rx->total - rx->done)
		fail_on(c, "more bytes came than were sent");
	if (operation->flags & MSG_PEEK)
		return;
	rx->done += size;
}

void connection_received(struct connection *c, const struct operation *operation, ssize_t result)
{
	struct direction *rx = &c->rx;
	uint64_t now = now_ns();

	if (c->is_over)
		return;
	if (result == -EAGAIN) {
		if (options.mode == MODE_BLOCKING || options.mode == MODE_URING_BLOCKING)
			fail_on(c, "a receive that waits did not wait: EAGAIN");
		c->readable = false;
		c->spurious += c->was_told;
		c->was_told = false;
		return;
	}
	if (result == -EINTR)
		return;
	c->was_told = false;
	if (result < 0) {
		break_with(c, (int)-result, "receive");
		return;
	}
	c->progress = now;
	if (result == 0) {
		take_end(c);
		return;
	}
	if ((size_t)result > operation->size)
		fail_on(c, "more was received than there was room for");
	if (rx->header_done < sizeof(rx->header)) {
		c->received += (uint64_t)result;
		rx->header_done += (size_t)result;
		if (rx->header_done == sizeof(rx->header))
			learn(c, now);
		return;
	}
	take_bytes(c, operation, (size_t)result);
	if (operation->flags & MSG_PEEK)
		return;
	c->received += (uint64_t)result;
	if (options.trusts_short && (size_t)result < operation->size && !c->is_ending)
		c->readable = false;
	if (rx->done < rx->total && happens(&rx->random, options.stall_permille)) {
		uint64_t longest = options.stall_us * (upto(&rx->random, 49) ? 1 : 10);

		rx->due = now + upto(&rx->random, longest) * 1000;
		c->stalls++;
	}
}

/* --------------------------------------------------------------------------------------------------------- its end */

static void reset_at_close(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* Ends what is to be ended; whether the connection is over. */
bool connection_settle(struct connection *c)
{
	const struct header *plan = plan_of(c);
	bool is_closer;

	if (c->is_over || c->is_connecting || !plan)
		return c->is_over;
	if (breaks_off(c)) {
		if (c->tx.header_done == sizeof(struct header) && c->tx.done >= limit_of(c)) {
			c->has_aborted = plan->ending == END_CLIENT_ABORTS || plan->ending == END_SERVER_ABORTS;
			c->has_left = !c->has_aborted;
			if (c->has_aborted)
				reset_at_close(c->fd);
			c->is_over = true;
		}
		return c->is_over;
	}
	if (may_break(c) && plan->ending >= END_CLIENT_ABORTS)
		return false;
	if (plan->ending == END_HALF_CLOSE) {
		if (!c->tx.ended && has_sent_all(c)) {
			if (shutdown(c->fd, SHUT_WR))
				break_with(c, errno, "shutdown");
			c->tx.ended = c->has_half_closed = true;
		}
		c->is_over |= c->tx.ended && c->rx.ended;
		return c->is_over;
	}
	is_closer = (plan->ending == END_SERVER_CLOSES) == options.is_server;
	if (is_closer) {
		if (c->rx.ended)
			fail_on(c, "the other end closed although it was not its turn");
		c->is_over = has_sent_all(c) && is_known(c) && c->rx.done == c->rx.total;
	} else if (c->rx.ended) {
		if (!has_sent_all(c))
			fail_on(c, "the other end closed before it had everything");
		c->is_over = true;
	}
	return c->is_over;
}

void connection_close(struct connection *c)
{
	close(c->fd);
	c->fd = -1;
	add_connection(c);
}

/* When it wants to do something that it waits with; 0: nothing. */
uint64_t connection_due(const struct connection *c)
{
	uint64_t rx = c->rx.ended ? 0 : c->rx.due, tx = c->tx.ended || c->tx.done >= limit_of(c) ? 0 : c->tx.due;

	if (!rx || !tx)
		return rx + tx;
	return rx < tx ? rx : tx;
}

void connection_check_progress(const struct connection *c, uint64_t now)
{
	struct pollfd poller = { .fd = c->fd, .events = POLLIN | POLLOUT | POLLRDHUP };
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);
	int readable = 0, unsent = 0;
	char text[200];

	if (now < c->progress || (now - c->progress) / 1000000000 < options.stuck_seconds)
		return;
	ioctl(c->fd, FIONREAD, &readable);
	ioctl(c->fd, TIOCOUTQ, &unsent);
	getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &size);
	poll(&poller, 1, 0);
	snprintf(text, sizeof(text),
	         "nothing has moved for %llu s: state %d, poll says %#x, FIONREAD %d, unsent %d%s%s",
	         (unsigned long long)options.stuck_seconds, info.tcpi_state, poller.revents, readable, unsent,
	         c->tx.ended ? ", has ended its side" : "", c->rx.ended ? ", has read the end" : "");
	fail_on(c, text);
}
