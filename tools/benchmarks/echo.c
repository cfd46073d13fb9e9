/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Both ends of the messages of 64 bytes that the tunnel lane is timed with.
 *
 *   echo serve ADDRESS PORT           send back what comes, on any number of connections
 *   echo ping ADDRESS PORT COUNT      that many round trips on one connection; prints the median in ns
 *   echo connect ADDRESS PORT COUNT   that many connections, one after the other, each with one round trip
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SIZE = 64, WARM_UP = 200 };

static void fail(const char *what)
{
	fprintf(stderr, "echo: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
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

static void without_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void serve(struct sockaddr_in address)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0), on = 1;
	struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 4096))
		fail("listen");
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		char bytes[4096];
		ssize_t count;
		int fd;

		if (epoll_wait(epoll, &event, 1, -1) != 1)
			continue;
		if (event.data.fd == listener) {
			fd = accept(listener, NULL, NULL);
			if (fd < 0)
				continue;
			without_delay(fd);
			event = (struct epoll_event){ .events = EPOLLIN, .data.fd = fd };
			epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
			continue;
		}
		fd = event.data.fd;
		count = read(fd, bytes, sizeof(bytes));
		if (count <= 0 || send(fd, bytes, (size_t)count, MSG_NOSIGNAL) != count)
			close(fd);
	}
}

static int connected(struct sockaddr_in address)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("connect");
	without_delay(fd);
	return fd;
}

static uint64_t round_trip(int fd)
{
	char bytes[SIZE] = { 0 };
	uint64_t start = now_ns();

	if (send(fd, bytes, SIZE, MSG_NOSIGNAL) != SIZE || recv(fd, bytes, SIZE, MSG_WAITALL) != SIZE)
		fail("round trip");
	return now_ns() - start;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void ping(struct sockaddr_in address, size_t count)
{
	uint64_t *times = calloc(count, sizeof(*times));
	int fd = connected(address);

	if (!times || !count)
		fail("count");
	for (int i = 0; i < WARM_UP; i++)
		round_trip(fd);
	for (size_t i = 0; i < count; i++)
		times[i] = round_trip(fd);
	qsort(times, count, sizeof(*times), ascending);
	printf("%llu\n", (unsigned long long)times[count / 2]);
}

static void connect_again(struct sockaddr_in address, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int fd = connected(address);

		round_trip(fd);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "serve"))
		serve(address_of(argv[2], argv[3]));
	else if (argc == 5 && !strcmp(argv[1], "ping"))
		ping(address_of(argv[2], argv[3]), strtoul(argv[4], NULL, 10));
	else if (argc == 5 && !strcmp(argv[1], "connect"))
		connect_again(address_of(argv[2], argv[3]), strtoul(argv[4], NULL, 10));
	else
		return 2;
	return 0;
}
