/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Both ends of many connections whose every byte is known before: says when one is lost, sent twice or out of order.
 *
 *   soak serve ADDRESS PORT [OPTION...]   prints "ready", serves until SIGTERM
 *   soak run ADDRESS PORT [OPTION...]     opens connections and ends with the last of them
 *
 * Both print one line of JSON at their end, and exit with 1 at the first thing that is not as it has to be.
 *
 *   --mode MODE          poll, epoll (edge-triggered), uring, uring-blocking or blocking (two threads a connection)
 *   --seed N             what is sent, how and when: the same again
 *   --largest N          the largest message, at most and by default 1 MiB
 *   --stall PERMILLE     of receives, after which the reader sleeps up to --stall-us
 *   --pause-us N         up to which a writer sleeps between two bursts
 *   --stuck-seconds N    after which a connection on which nothing moves is a failure
 *   --trust-short        with epoll: a receive that gets less than there was room for was the last one before the next
 * event
 *   --tolerate-ends      connections may be refused or ended from outside, and are then right as far as they went
 * of the client:
 *   --connections N      at the same time     --total N   altogether
 *   --bytes N            of all of them, both ways, about
 *   --seconds N          after which no further connection is opened
 *   --half-close PERMILLE, --abort PERMILLE   of connections; the others are closed in good order
 *   --sleep-ms N         for which the server does not read at the beginning; --own-sleep-ms: the client
 * of the server:
 *   --greet PERMILLE     of connections, on which it speaks first
 */
#define _GNU_SOURCE
#include "soak.h"
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct options options = {
	.mode = MODE_EPOLL,
	.seed = 1,
	.connections = 10,
	.total = 100,
	.bytes = 100 << 20,
	.seconds = 3600,
	.largest_message = LARGEST_MESSAGE,
	.stall_permille = 20,
	.stall_us = 3000,
	.pause_us = 2000,
	.abort_permille = 100,
	.half_permille = 500,
	.greet_permille = 300,
	.stuck_seconds = 20,
};
struct totals totals;
volatile bool is_stopping;

static const char *const modes[] = { "poll", "epoll", "uring", "uring-blocking", "blocking" };
static uint64_t started;

static void print_totals(const char *failure)
{
	bool has_errors = false;

	printf("{\"role\":\"%s\",\"mode\":\"%s\",\"seed\":%llu,\"seconds\":%.3f,", options.is_server ? "serve" : "run",
	       modes[options.mode], (unsigned long long)options.seed, (double)(now_ns() - started) / 1e9);
#define NUMBER(name, value) printf("\"" name "\":%llu,", (unsigned long long)(value))
	NUMBER("connections", totals.connections);
	NUMBER("sentBytes", totals.sent);
	NUMBER("receivedBytes", totals.received);
	NUMBER("halfCloses", totals.half_closes);
	NUMBER("aborts", totals.aborts);
	NUMBER("leaves", totals.leaves);
	NUMBER("broken", totals.broken);
	NUMBER("stalls", totals.stalls);
	NUMBER("spuriousWakes", totals.spurious);
	NUMBER("queuedBytes", totals.queued);
	NUMBER("unfinished", totals.unfinished);
	printf("\"errors\":{");
	for (int error = 0; error < ERRNOS; error++) {
		if (!totals.errors[error])
			continue;
		printf("%s\"%s\":%llu", has_errors ? "," : "", strerrorname_np(error),
		       (unsigned long long)totals.errors[error]);
		has_errors = true;
	}
	printf("}%s%s%s}\n", failure ? ",\"failure\":\"" : "", failure ? failure : "", failure ? "\"" : "");
	fflush(stdout);
}

void fail(const char *format, ...)
{
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	char text[1000];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	/* The first one to fail has the word; never unlocked. */
	pthread_mutex_lock(&once);
	fprintf(stderr, "soak: %s\n", text);
	print_totals(text);
	_exit(1);
}

static _Noreturn void usage(const char *what)
{
	fprintf(stderr, "soak: %s\nusage: soak serve|run ADDRESS PORT [OPTION...]: see main.c\n", what);
	exit(2);
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*end || end == text || *text == '-')
		usage("a number is wanted");
	return value;
}

static void set_address(const char *host, const char *port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&options.address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&options.address;
	uint16_t number_of_port = htons((uint16_t)number(port));

	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = number_of_port;
		options.address_size = sizeof(*v4);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = number_of_port;
		options.address_size = sizeof(*v6);
	} else {
		usage("an IPv4 or IPv6 address is wanted");
	}
}

static void set_mode(const char *name)
{
	for (enum mode mode = MODE_POLL; mode <= MODE_BLOCKING; mode++) {
		if (!strcmp(name, modes[mode])) {
			options.mode = mode;
			return;
		}
	}
	usage("no such mode");
}

static void set_options(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t *value;
	} numbers[] = {
		{ "seed", &options.seed },
		{ "connections", &options.connections },
		{ "total", &options.total },
		{ "bytes", &options.bytes },
		{ "seconds", &options.seconds },
		{ "largest", &options.largest_message },
		{ "stall", &options.stall_permille },
		{ "stall-us", &options.stall_us },
		{ "pause-us", &options.pause_us },
		{ "abort", &options.abort_permille },
		{ "half-close", &options.half_permille },
		{ "sleep-ms", &options.sleep_ms },
		{ "own-sleep-ms", &options.own_sleep_ms },
		{ "greet", &options.greet_permille },
		{ "stuck-seconds", &options.stuck_seconds },
	};
	enum { COUNT = sizeof(numbers) / sizeof(numbers[0]), MODE, TOLERATE, TRUST };
	struct option longs[COUNT + 4] = { 0 };
	int index;

	for (int i = 0; i < COUNT; i++)
		longs[i] = (struct option){ .name = numbers[i].name, .has_arg = required_argument, .val = i };
	longs[COUNT] = (struct option){ .name = "mode", .has_arg = required_argument, .val = MODE };
	longs[COUNT + 1] = (struct option){ .name = "tolerate-ends", .val = TOLERATE };
	longs[COUNT + 2] = (struct option){ .name = "trust-short", .val = TRUST };
	while ((index = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (index == '?')
			usage("no such option");
		if (index == MODE)
			set_mode(optarg);
		else if (index == TOLERATE)
			options.tolerates_ends = true;
		else if (index == TRUST)
			options.trusts_short = true;
		else
			*numbers[index].value = number(optarg);
	}
	if (!options.total || !options.connections)
		usage("no connections");
	if (!options.largest_message || options.largest_message > LARGEST_MESSAGE)
		usage("--largest is 1...1048576");
}

static void stop(int signal)
{
	(void)signal;
	is_stopping = true;
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	if (argc < 4 || (strcmp(argv[1], "serve") && strcmp(argv[1], "run")))
		usage("what to do is not said");
	options.is_server = !strcmp(argv[1], "serve");
	set_address(argv[2], argv[3]);
	set_options(argc - 3, argv + 3);

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, stop);
	started = now_ns();
	pattern_make();
	switch (options.mode) {
	case MODE_POLL:
		run_poll();
		break;
	case MODE_EPOLL:
		run_epoll();
		break;
	case MODE_URING:
	case MODE_URING_BLOCKING:
		run_uring(options.mode == MODE_URING_BLOCKING);
		break;
	case MODE_BLOCKING:
		run_threads();
	}
	print_totals(NULL);
	return 0;
}
