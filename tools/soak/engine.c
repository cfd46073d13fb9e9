/* SPDX-License-Identifier: GPL-2.0 */
/* Where connections come from, what becomes of their totals, and the turns of the modes with one thread. */
#define _GNU_SOURCE
#include "soak.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void count_error(int error)
{
	pthread_mutex_lock(&lock);
	totals.errors[error < ERRNOS ? error : 0]++;
	pthread_mutex_unlock(&lock);
}

void add_connection(struct connection *c)
{
	pthread_mutex_lock(&lock);
	totals.connections++;
	totals.sent += c->sent;
	totals.received += c->received;
	totals.stalls += c->stalls;
	totals.spurious += c->spurious;
	totals.half_closes += c->has_half_closed;
	totals.aborts += c->has_aborted;
	totals.leaves += c->has_left;
	totals.broken += c->broken;
	if (c->queued > totals.queued)
		totals.queued = c->queued;
	pthread_mutex_unlock(&lock);
}

int listener_make(void)
{
	int fd = socket(options.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		fail("socket: %m");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&options.address, options.address_size) || listen(fd, 4096))
		fail("listen: %m");
	return fd;
}

/* A connection to the server; -1 with an error that is counted when it was refused. */
int client_make(bool blocks, bool *is_connecting, int *error)
{
	int fd = socket(options.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | (blocks ? 0 : SOCK_NONBLOCK), 0);

	*is_connecting = false;
	*error = 0;
	if (fd < 0)
		fail("socket: %m");
	if (!connect(fd, (struct sockaddr *)&options.address, options.address_size))
		return fd;
	if (errno == EINPROGRESS) {
		*is_connecting = true;
		return fd;
	}
	*error = errno;
	close(fd);
	return -1;
}

/* -1: there is none. Some descriptors are told not to block later than others. */
int server_accept(int listener, bool blocks)
{
	static unsigned count;
	bool is_late = !blocks && __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED) % 4 == 0;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | (blocks || is_late ? 0 : SOCK_NONBLOCK));

	if (fd < 0) {
		if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
			fail("accept: %m");
		return -1;
	}
	if (is_late)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Whether the client opens another one. */
bool more_connections(uint64_t opened, uint64_t started, uint64_t now)
{
	return opened < options.total && !is_stopping && now - started < options.seconds * 1000000000;
}

void engine_start(struct engine *engine)
{
	*engine = (struct engine){ .listener = -1, .started = now_ns(), .checked = now_ns() };
	if (!options.is_server)
		return;
	engine->listener = listener_make();
	puts("ready");
	fflush(stdout);
}

static void engine_add(struct engine *engine, int fd, bool is_connecting)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (engine->count % 64 == 0)
		engine->live = realloc(engine->live, (engine->count + 64) * sizeof(struct connection *));
	if (!c || !engine->live)
		fail("no memory");
	c->number = engine->opened++;
	c->place = engine->count;
	/* The first attempt shows whether there is something. */
	c->readable = c->writable = !is_connecting;
	if (options.mode == MODE_URING || options.mode == MODE_URING_BLOCKING)
		c->buffer = malloc(LARGEST_READ);
	connection_open(c, fd, is_connecting);
	engine->live[engine->count++] = c;
}

void engine_remove(struct engine *engine, struct connection *c)
{
	engine->live[c->place] = engine->live[--engine->count];
	engine->live[c->place]->place = c->place;
	if (c->fd >= 0)
		connection_close(c);
	free(c->buffer);
	free(c);
}

/* A connection was refused: one that is tolerated is only counted. */
void engine_refused(int error)
{
	count_error(error);
	/* ECONNABORTED: ended by somebody else before it was established. */
	if (!options.tolerates_ends ||
	    (error != ECONNREFUSED && error != ECONNRESET && error != ECONNABORTED && error != ETIMEDOUT))
		fail("connect: %s", strerrorname_np(error));
}

/* The connection is there, or not. */
void engine_finish_connect(struct connection *c)
{
	int error = 0;
	socklen_t size = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (!error) {
		connection_connected(c);
		return;
	}
	engine_refused(error);
	c->is_over = c->broken = true;
}

/* Opens or accepts what there is; whether there may be more. */
bool engine_turn(struct engine *engine, uint64_t now)
{
	bool blocks = options.mode == MODE_URING_BLOCKING, is_connecting;
	int fd, error;

	if (now - engine->checked > 1000000000) {
		engine->checked = now;
		for (size_t i = 0; i < engine->count; i++)
			connection_check_progress(engine->live[i], now);
	}
	if (options.is_server) {
		for (int i = 0; engine->can_accept && i < TURN; i++) {
			fd = server_accept(engine->listener, blocks);
			if (fd < 0)
				engine->can_accept = false;
			else
				engine_add(engine, fd, false);
		}
		return engine->can_accept;
	}
	for (int i = 0; i < TURN; i++) {
		if (engine->count >= options.connections || !more_connections(engine->opened, engine->started, now))
			return false;
		fd = client_make(blocks, &is_connecting, &error);
		if (fd >= 0) {
			engine_add(engine, fd, is_connecting);
			continue;
		}
		engine_refused(error);
		engine->opened++;
		usleep(1000);
	}
	return true;
}

/* Whether nothing is left to do; a server that was told to end gives its connections five seconds. */
bool engine_is_done(const struct engine *engine)
{
	static uint64_t stopped;
	uint64_t now = now_ns();

	if (!options.is_server)
		return !engine->count && !more_connections(engine->opened, engine->started, now);
	if (!is_stopping)
		return false;
	if (!stopped)
		stopped = now;
	if (engine->count && now - stopped < 5000000000)
		return false;
	totals.unfinished = engine->count;
	return true;
}
