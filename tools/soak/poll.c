/* SPDX-License-Identifier: GPL-2.0 */
/* The modes of poll() and of edge-triggered epoll: descriptors that do not block, one thread. */
#define _GNU_SOURCE
#include "soak.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Sends and receives a little; whether it could go on at once. */
static bool work(struct connection *c)
{
	struct operation operation;
	bool can_go_on = false;

	if (c->is_connecting) {
		if (!c->writable)
			return false;
		engine_finish_connect(c);
	}
	for (int i = 0; i < TURN && c->writable && connection_sends(c, now_ns(), &operation); i++)
		connection_sent(c, &operation, connection_perform_send(c, &operation));
	for (int i = 0; i < TURN && c->readable && connection_receives(c, now_ns(), &operation); i++) {
		ssize_t result = recv(c->fd, operation.bytes, operation.size, operation.flags);

		connection_received(c, &operation, result < 0 ? -errno : result);
	}
	if (!connection_settle(c)) {
		uint64_t now = now_ns();

		can_go_on = (c->writable && connection_sends(c, now, &operation)) ||
		            (c->readable && connection_receives(c, now, &operation));
	}
	return can_go_on;
}

/* A turn of every connection. Returns for how many milliseconds there is nothing to do. */
static int work_all(struct engine *engine)
{
	uint64_t now = now_ns(), due = now + 100000000;
	bool is_busy = engine_turn(engine, now);

	for (size_t i = 0; i < engine->count;) {
		struct connection *c = engine->live[i];
		uint64_t own;

		is_busy |= work(c);
		if (c->is_over) {
			engine_remove(engine, c);
			is_busy = true;
			continue;
		}
		own = connection_due(c);
		if (own > now && own < due)
			due = own;
		i++;
	}
	now = now_ns();
	return is_busy || due <= now ? 0 : (int)((due - now) / 1000000) + 1;
}

void run_poll(void)
{
	struct engine engine;
	struct pollfd *fds = NULL;
	size_t room = 0;

	engine_start(&engine);
	for (;;) {
		struct operation unused;
		int timeout = work_all(&engine);
		uint64_t now = now_ns();

		if (engine_is_done(&engine))
			return;
		if (room < engine.count + 1) {
			room = (engine.count + 1) * 2;
			fds = realloc(fds, room * sizeof(*fds));
			if (!fds)
				fail("no memory");
		}
		for (size_t i = 0; i < engine.count; i++) {
			struct connection *c = engine.live[i];
			bool wants_in = connection_receives(c, now, &unused),
			     wants_out = connection_sends(c, now, &unused);

			/* poll() reports errors even of what nothing is wanted of. */
			fds[i].fd = wants_in || wants_out || c->is_connecting ? c->fd : -1;
			fds[i].events =
			    (short)((wants_in ? POLLIN : 0) | (wants_out || c->is_connecting ? POLLOUT : 0));
		}
		fds[engine.count] = (struct pollfd){ .fd = engine.listener, .events = POLLIN };
		if (poll(fds, engine.count + 1, timeout) < 0) {
			if (errno != EINTR)
				fail("poll: %m");
			continue;
		}
		for (size_t i = 0; i < engine.count; i++) {
			struct connection *c = engine.live[i];

			if (fds[i].fd < 0)
				continue;
			c->readable = c->was_told = fds[i].revents & (POLLIN | POLLERR | POLLHUP);
			c->writable = fds[i].revents & (POLLOUT | POLLERR | POLLHUP);
		}
		engine.can_accept = fds[engine.count].revents & POLLIN;
	}
}

void run_epoll(void)
{
	struct epoll_event events[64], event = { .events = EPOLLIN | EPOLLET };
	struct engine engine;
	uint64_t watched = 0;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	engine_start(&engine);
	if (engine.listener >= 0)
		epoll_ctl(epoll, EPOLL_CTL_ADD, engine.listener, &event);
	for (;;) {
		int timeout, count;

		/* New ones are the last of the array, and are watched before they do anything. */
		engine_turn(&engine, now_ns());
		for (size_t i = 0; i < engine.count; i++) {
			struct connection *c = engine.live[i];

			if (c->number < watched)
				continue;
			event =
			    (struct epoll_event){ .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };
			if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
				fail("epoll_ctl: %m");
		}
		watched = engine.opened;
		timeout = work_all(&engine);
		if (engine_is_done(&engine))
			return;
		if (engine.opened > watched)
			continue;
		count = epoll_wait(epoll, events, 64, timeout);
		if (count < 0 && errno != EINTR)
			fail("epoll_wait: %m");
		for (int i = 0; i < count; i++) {
			struct connection *c = events[i].data.ptr;

			if (!c) {
				engine.can_accept = true;
				continue;
			}
			if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
				c->readable = true;
			/* Nothing announces the end once more. */
			if (events[i].events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP))
				c->is_ending = true;
			if (events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
				c->writable = true;
		}
	}
}
