/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Both ends of the connections that the benchmarks time.
 *
 *   connections serve NAP PORT...           accept and close, every NAP milliseconds; each connection gets its port as
 * text connections time ADDRESS PORT COUNT     connect and reset COUNT times, one after the other; prints JSON
 *   connections await ADDRESS PORT WANTED   connect until the server says that its port is WANTED; prints the time
 *
 * A reset instead of a FIN leaves no TIME_WAIT behind, so that one address can be used for any number of connections.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORTS = 8, BACKLOG = 4096, WARM_UP = 200 };

static void fail(const char *what)
{
	fprintf(stderr, "connections: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* CPU time of this process, all of it: the kernel's work for its system calls is in it. */
static uint64_t cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct sockaddr_in address_of(const char *host, const char *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		errno = EINVAL;
		fail(host);
	}
	return address;
}

/*
 * Nobody waits on the listeners: a waiter would be woken for every connection, and the timed client would share its
 * core with it. The queue is emptied every few milliseconds instead.
 */
static int serve(int milliseconds, int count, char **ports)
{
	struct timespec nap = { .tv_nsec = milliseconds * 1000000L };
	int listeners[PORTS];
	int on = 1;

	if (count > PORTS)
		count = PORTS;
	for (int i = 0; i < count; i++) {
		struct sockaddr_in address = address_of("0.0.0.0", ports[i]);

		listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		setsockopt(listeners[i], SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
		if (bind(listeners[i], (struct sockaddr *)&address, sizeof address) != 0)
			fail("bind");
		if (listen(listeners[i], BACKLOG) != 0)
			fail("listen");
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		nanosleep(&nap, NULL);
		for (int i = 0; i < count; i++) {
			int socket;

			while ((socket = accept4(listeners[i], NULL, NULL, 0)) >= 0) {
				/* A client that has reset already is no error. */
				(void)!send(socket, ports[i], strlen(ports[i]), MSG_NOSIGNAL | MSG_DONTWAIT);
				close(socket);
			}
		}
	}
}

static int open_socket(void)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	int client = socket(AF_INET, SOCK_STREAM, 0);

	if (client < 0)
		fail("socket");
	setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	return client;
}

static int by_value(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static int time_connections(const char *host, const char *port, int count)
{
	struct sockaddr_in address = address_of(host, port);
	uint32_t *durations = calloc((size_t)count, sizeof *durations);
	uint64_t started = 0, cpu = 0, total = 0, elapsed;

	if (count < 100 || durations == NULL) {
		errno = EINVAL;
		fail("COUNT (at least 100)");
	}
	for (int i = -WARM_UP; i < count; i++) {
		if (i == 0) {
			started = now_ns();
			cpu = cpu_ns();
		}
		int client = open_socket();
		uint64_t before = now_ns();

		if (connect(client, (struct sockaddr *)&address, sizeof address) != 0)
			fail("connect");
		uint64_t duration = now_ns() - before;

		close(client);
		if (i >= 0) {
			durations[i] = duration > UINT32_MAX ? UINT32_MAX : (uint32_t)duration;
			total += duration;
		}
	}
	elapsed = now_ns() - started;
	cpu = cpu_ns() - cpu;
	qsort(durations, (size_t)count, sizeof *durations, by_value);
	printf("{\"count\": %d, \"p50_us\": %.3f, \"p90_us\": %.3f, \"p99_us\": %.3f, \"mean_us\": %.3f, "
	       "\"per_second\": %.1f, \"client_cpu_us\": %.3f}\n",
	       count, durations[count / 2] / 1e3, durations[count / 10 * 9] / 1e3, durations[count / 100 * 99] / 1e3,
	       total / 1e3 / count, count * 1e9 / elapsed, cpu / 1e3 / count);
	free(durations);
	return 0;
}

static int await_port(const char *host, const char *port, const char *wanted)
{
	struct sockaddr_in address = address_of(host, port);
	struct timespec pause = { .tv_nsec = 200000 };
	uint64_t deadline = now_ns() + 30000000000ULL;
	char answer[16];

	while (now_ns() < deadline) {
		int client = open_socket();
		uint64_t started = now_ns();

		/* Refusals are part of a change: the last word is the server's. */
		if (connect(client, (struct sockaddr *)&address, sizeof address) == 0) {
			ssize_t length = recv(client, answer, sizeof answer - 1, 0);

			answer[length > 0 ? length : 0] = 0;
			if (strcmp(answer, wanted) == 0) {
				printf("%llu\n", (unsigned long long)started);
				return 0;
			}
		}
		close(client);
		nanosleep(&pause, NULL);
	}
	errno = ETIMEDOUT;
	fail(wanted);
	return 1;
}

int main(int count, char **arguments)
{
	if (count >= 4 && strcmp(arguments[1], "serve") == 0)
		return serve(atoi(arguments[2]), count - 3, arguments + 3);
	if (count == 5 && strcmp(arguments[1], "time") == 0)
		return time_connections(arguments[2], arguments[3], atoi(arguments[4]));
	if (count == 5 && strcmp(arguments[1], "await") == 0)
		return await_port(arguments[2], arguments[3], arguments[4]);
	fputs("usage: connections serve NAP PORT... | time ADDRESS PORT COUNT | await ADDRESS PORT WANTED\n", stderr);
	return 2;
}
