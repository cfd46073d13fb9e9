/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Both ends of the messages that the accelerated lane is timed with. All sockets are non-blocking.
 *
 *   messages serve PORT                               answer whatever comes, as its client has asked for
 *   messages ping ADDRESS PORT SIZE COUNT CONNECTIONS  that many round trips, spread over the connections, each of
 * which has one on its way at any time messages stream ADDRESS PORT SIZE BYTES           that many bytes one way, in
 * sends of SIZE
 *
 * A client prints JSON: times in microseconds, CPU time of its own in microseconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 1 << 20, MOST = 4096, EVENTS = 64 };

/* What a client says first: how long its messages are; with 0 nothing is answered but the end. */
struct greeting {
	uint32_t size;
};

struct connection {
	int fd;
	uint32_t size;
	uint32_t seen;    /* of the greeting, then of the message */
	uint32_t pending; /* of the answer */
	int greeted;
	uint64_t sent_ns;
};

static char bytes[LARGEST];
static struct connection connections[MOST];

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "messages: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static double cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static void without_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void watch(int epoll, int fd, uint32_t events, uint32_t index)
{
	struct epoll_event event = { .events = events, .data.u32 = index };

	if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		fail("epoll_ctl");
}

/* Sends what is pending; what does not fit waits. */
static void answer(int epoll, uint32_t index)
{
	struct connection *connection = &connections[index];

	while (connection->pending) {
		uint32_t done = connection->size - connection->pending % connection->size;
		uint32_t length = done == connection->size ? connection->size : connection->size - done;
		ssize_t sent = send(connection->fd, bytes, length, MSG_NOSIGNAL);

		if (sent < 0) {
			watch(epoll, connection->fd, EPOLLIN | EPOLLOUT, index);
			return;
		}
		connection->pending -= sent;
	}
}

/* Returns 0 when the connection has ended. */
static int take(int epoll, uint32_t index)
{
	struct connection *connection = &connections[index];
	struct greeting greeting;
	ssize_t got;

	if (!connection->greeted) {
		got = recv(connection->fd, &greeting, sizeof(greeting), 0);
		if (got != sizeof(greeting))
			return got < 0 && errno == EAGAIN;
		connection->greeted = 1;
		connection->size = greeting.size;
		return 1;
	}
	for (;;) {
		uint32_t wanted = connection->size ? connection->size - connection->seen : LARGEST;

		got = recv(connection->fd, bytes, wanted, 0);
		if (got == 0)
			return 0;
		if (got < 0)
			return errno == EAGAIN;
		if (!connection->size)
			continue;
		connection->seen += got;
		if (connection->seen == connection->size) {
			connection->seen = 0;
			connection->pending += connection->size;
			answer(epoll, index);
			return 1;
		}
	}
}

static _Noreturn void serve(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0), on = 1;
	struct epoll_event events[EVENTS];

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, MOST))
		fail("listen");
	watch(epoll, listener, EPOLLIN, MOST);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			uint32_t index = events[i].data.u32;

			if (index == MOST) {
				int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

				if (fd < 0 || fd >= MOST)
					continue;
				without_delay(fd);
				connections[fd] = (struct connection){ .fd = fd };
				watch(epoll, fd, EPOLLIN, fd);
				continue;
			}
			if (events[i].events & EPOLLOUT) {
				watch(epoll, connections[index].fd, EPOLLIN, index);
				answer(epoll, index);
			}
			if (events[i].events & ~EPOLLOUT && !take(epoll, index))
				close(connections[index].fd);
		}
	}
}

static void send_all(int fd, const void *data, uint32_t length)
{
	for (uint32_t done = 0; done < length;) {
		ssize_t sent = send(fd, (const char *)data + done, length - done, MSG_NOSIGNAL);
		struct pollfd room = { .fd = fd, .events = POLLOUT };

		if (sent > 0)
			done += sent;
		else if (errno != EAGAIN || poll(&room, 1, 10000) != 1)
			fail("send");
	}
}

static int greet(const struct sockaddr_in *address, uint32_t size)
{
	struct greeting greeting = { .size = size };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) && errno != EINPROGRESS)
		fail("connect");
	if (poll(&room, 1, 10000) != 1)
		fail("connect");
	without_delay(fd);
	send_all(fd, &greeting, sizeof(greeting));
	return fd;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void ping(const struct sockaddr_in *address, uint32_t size, uint32_t count, uint32_t width)
{
	int epoll = epoll_create1(0);
	struct epoll_event events[EVENTS];
	uint32_t *times = calloc(count, sizeof(*times)), done = 0, started = 0;
	uint64_t begun;
	double cpu;

	if (!times || width > MOST || size > LARGEST || !size)
		fail("arguments");
	for (uint32_t i = 0; i < width; i++) {
		connections[i] = (struct connection){ .fd = greet(address, size), .size = size };
		watch(epoll, connections[i].fd, EPOLLIN, i);
	}
	/* Everybody has been accepted and greeted by then. */
	usleep(200000);
	cpu = cpu_us();
	begun = now_ns();
	for (uint32_t i = 0; i < width && started < count; i++, started++) {
		connections[i].sent_ns = now_ns();
		send_all(connections[i].fd, bytes, size);
	}
	while (done < count) {
		int ready = epoll_wait(epoll, events, EVENTS, 10000);

		if (ready <= 0)
			fail("no answer");
		for (int i = 0; i < ready; i++) {
			struct connection *connection = &connections[events[i].data.u32];
			ssize_t got = recv(connection->fd, bytes, size - connection->seen, 0);

			if (got <= 0) {
				if (got < 0 && errno == EAGAIN)
					continue;
				fail("recv");
			}
			connection->seen += got;
			if (connection->seen < size)
				continue;
			connection->seen = 0;
			times[done++] = now_ns() - connection->sent_ns;
			if (started < count) {
				started++;
				connection->sent_ns = now_ns();
				send_all(connection->fd, bytes, size);
			}
		}
	}
	begun = now_ns() - begun;
	cpu = cpu_us() - cpu;
	qsort(times, count, sizeof(*times), by_value);
	printf("{\"per_second\": %.1f, \"cpu_us\": %.4f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f}\n",
	       count * 1e9 / begun, cpu / count, times[count / 2] / 1e3, times[count - count / 100 - 1] / 1e3,
	       times[count - count / 1000 - 1] / 1e3);
	free(times);
}

static void stream(const struct sockaddr_in *address, uint32_t size, uint64_t total)
{
	int fd = greet(address, 0);
	uint64_t begun, done = 0;
	double cpu;
	char end;

	usleep(200000);
	cpu = cpu_us();
	begun = now_ns();
	for (; done < total; done += size)
		send_all(fd, bytes, size);
	/* The other end closes when it has read everything. */
	shutdown(fd, SHUT_WR);
	while (recv(fd, &end, 1, 0) < 0 && errno == EAGAIN) {
		struct pollfd room = { .fd = fd, .events = POLLIN };

		if (poll(&room, 1, 30000) != 1)
			fail("no end");
	}
	begun = now_ns() - begun;
	printf("{\"per_second\": %.1f, \"cpu_us\": %.4f}\n", done * 1e9 / begun, (cpu_us() - cpu) / (done / 1e6));
}

int main(int count, char **arguments)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	if (count == 3 && !strcmp(arguments[1], "serve"))
		serve((uint16_t)atoi(arguments[2]));
	if (count < 6 || inet_pton(AF_INET, arguments[2], &address.sin_addr) != 1) {
		fprintf(stderr, "messages: see its source for its arguments\n");
		return 2;
	}
	address.sin_port = htons((uint16_t)atoi(arguments[3]));
	if (!strcmp(arguments[1], "ping") && count == 7)
		ping(&address, atoi(arguments[4]), atoi(arguments[5]), atoi(arguments[6]));
	else if (!strcmp(arguments[1], "stream") && count == 6)
		stream(&address, atoi(arguments[4]), strtoull(arguments[5], NULL, 10));
	else
		return 2;
	return 0;
}
