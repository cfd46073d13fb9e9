/* SPDX-License-Identifier: GPL-2.0 */
/* The mode of descriptors that block: one thread of a connection receives while the other sends. */
#define _GNU_SOURCE
#include "soak.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct pair {
	struct connection c;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct pair *next;
	bool is_sending; /* a send has not been noted yet */
	bool is_finished;
};

enum { STACK = 1 << 18 };

static void sleep_until(uint64_t due)
{
	struct timespec time = { .tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

/* Of the thread that receives and of the one that sends: waits for what it cannot do yet. Called with the lock. */
static void wait_for(struct pair *pair, uint64_t due)
{
	struct timespec until;

	if (due > now_ns()) {
		pthread_mutex_unlock(&pair->lock);
		sleep_until(due);
		pthread_mutex_lock(&pair->lock);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 50000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&pair->changed, &pair->lock, &until);
}

static void settle(struct pair *pair)
{
	bool was_over = pair->c.is_over;

	/* Wakes the thread that receives, where this end breaks off what it still waits for. */
	if (connection_settle(&pair->c) && !was_over)
		shutdown(pair->c.fd, SHUT_RD);
	pthread_cond_broadcast(&pair->changed);
}

static void *receive_all(void *argument)
{
	struct pair *pair = argument;
	struct connection *c = &pair->c;
	struct operation operation;

	pthread_mutex_lock(&pair->lock);
	while (!c->is_over && !c->rx.ended) {
		ssize_t result;

		if (!connection_receives(c, now_ns(), &operation)) {
			wait_for(pair, c->rx.due);
			continue;
		}
		pthread_mutex_unlock(&pair->lock);
		result = recv(c->fd, operation.bytes, operation.size, operation.flags);
		result = result < 0 ? -errno : result;
		pthread_mutex_lock(&pair->lock);
		/* The other end may have ended the connection because it has what is being sent. */
		while (result == 0 && pair->is_sending)
			pthread_cond_wait(&pair->changed, &pair->lock);
		connection_received(c, &operation, result);
		settle(pair);
	}
	pthread_cond_broadcast(&pair->changed);
	pthread_mutex_unlock(&pair->lock);
	return NULL;
}

static void *send_all(void *argument)
{
	struct pair *pair = argument;
	struct connection *c = &pair->c;
	struct operation operation;
	pthread_t reader;
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	if (pthread_create(&reader, &attributes, receive_all, pair))
		fail("no thread: %m");
	pthread_attr_destroy(&attributes);
	pthread_mutex_lock(&pair->lock);
	while (!c->is_over && !(c->tx.ended && c->rx.ended)) {
		ssize_t result;

		if (!connection_sends(c, now_ns(), &operation)) {
			settle(pair);
			if (!c->is_over)
				wait_for(pair, c->tx.done < c->tx.total ? c->tx.due : 0);
			continue;
		}
		pair->is_sending = true;
		pthread_mutex_unlock(&pair->lock);
		result = connection_perform_send(c, &operation);
		pthread_mutex_lock(&pair->lock);
		pair->is_sending = false;
		if (result == -EAGAIN)
			fail("a send that waits did not wait: EAGAIN");
		connection_sent(c, &operation, result);
		settle(pair);
	}
	pthread_mutex_unlock(&pair->lock);
	pthread_join(reader, NULL);
	connection_close(c);
	__atomic_store_n(&pair->is_finished, true, __ATOMIC_RELEASE);
	return NULL;
}

static struct pair *pair_make(uint64_t number, int fd)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	pthread_attr_t attributes;
	pthread_t writer;

	if (!pair)
		fail("no memory");
	pair->c.number = number;
	pair->c.buffer = malloc(LARGEST_READ);
	pthread_mutex_init(&pair->lock, NULL);
	pthread_cond_init(&pair->changed, NULL);
	connection_open(&pair->c, fd, false);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&writer, &attributes, send_all, pair))
		fail("no thread: %m");
	pthread_attr_destroy(&attributes);
	return pair;
}

/* Frees what is finished, and looks whether the others move. Returns how many there are. */
static size_t sweep(struct pair **first)
{
	uint64_t now = now_ns();
	size_t count = 0;

	for (struct pair **place = first; *place;) {
		struct pair *pair = *place;

		if (__atomic_load_n(&pair->is_finished, __ATOMIC_ACQUIRE)) {
			*place = pair->next;
			free(pair->c.buffer);
			free(pair);
			continue;
		}
		pthread_mutex_lock(&pair->lock);
		if (!pair->c.is_over)
			connection_check_progress(&pair->c, now);
		pthread_mutex_unlock(&pair->lock);
		place = &pair->next;
		count++;
	}
	return count;
}

void run_threads(void)
{
	struct pair *first = NULL;
	struct engine engine;

	engine_start(&engine);
	for (;;) {
		engine.count = sweep(&first);
		if (engine_is_done(&engine))
			return;
		for (int i = 0; i < TURN; i++) {
			struct pollfd poller = { .fd = engine.listener, .events = POLLIN };
			bool is_connecting;
			int fd, error;

			if (options.is_server) {
				poll(&poller, 1, i ? 0 : 5);
				fd = server_accept(engine.listener, true);
			} else if (engine.count < options.connections &&
			           more_connections(engine.opened, engine.started, now_ns())) {
				fd = client_make(true, &is_connecting, &error);
				if (error)
					engine_refused(error);
			} else {
				usleep(1000);
				break;
			}
			if (fd < 0 && options.is_server)
				break;
			if (fd >= 0) {
				struct pair *pair = pair_make(engine.opened, fd);

				pair->next = first;
				first = pair;
				engine.count++;
			}
			engine.opened++;
		}
	}
}
