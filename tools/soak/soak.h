/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the soak share: its options, a connection and the steps of its life. */
#ifndef SOAK_H
#define SOAK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
	LARGEST_MESSAGE = 1 << 20,
	LARGEST_READ = 1 << 17,
	VECTORS = 16,
	ERRNOS = 140,
	/* What one connection does before the next one has its turn. */
	TURN = 8,
};

enum mode {
	MODE_POLL,           /* poll(), level-triggered */
	MODE_EPOLL,          /* edge-triggered */
	MODE_URING,          /* io_uring on descriptors that do not block */
	MODE_URING_BLOCKING, /* io_uring on descriptors that block, as most programs use it */
	MODE_BLOCKING,       /* two threads for each connection, one receives and one sends */
};

/* How a connection ends; the client decides. */
enum ending {
	END_HALF_CLOSE,    /* each end says when it has nothing more to send, and reads to the end */
	END_CLIENT_CLOSES, /* the client closes when it has everything */
	END_SERVER_CLOSES,
	END_CLIENT_ABORTS, /* in the middle, with a reset */
	END_SERVER_ABORTS,
	END_CLIENT_LEAVES, /* in the middle, by close() with bytes unread */
	END_SERVER_LEAVES,
	ENDINGS,
};

struct options {
	bool is_server;
	enum mode mode;
	struct sockaddr_storage address;
	socklen_t address_size;
	uint64_t seed;
	uint64_t connections; /* at the same time */
	uint64_t total;       /* altogether */
	uint64_t bytes;       /* of all connections, both ways, about */
	uint64_t seconds;     /* after which no connection is opened */
	uint64_t largest_message;
	uint64_t stall_permille; /* of receives, after which the reader sleeps */
	uint64_t stall_us;       /* the longest of these sleeps; one in fifty is ten times as long */
	uint64_t pause_us;       /* the longest sleep of a writer between two bursts */
	uint64_t abort_permille; /* of connections */
	uint64_t half_permille;  /* of the others */
	uint64_t sleep_ms;       /* the other end sleeps that long before it reads its first byte of payload */
	uint64_t own_sleep_ms;   /* this end does */
	uint64_t greet_permille; /* of connections on which the server speaks first */
	uint64_t stuck_seconds;  /* without a byte either way, after which a connection counts as hung */
	bool trusts_short; /* a receive that gets less than there was room for has taken everything: epoll(7) says so */
	bool tolerates_ends; /* connections may be refused or ended from outside, and are then only correct so far */
};

/* The first bytes of each direction. */
struct header {
	uint64_t magic;
	uint64_t seed;
	uint64_t number;
	uint64_t
	    size; /* client: bytes that it will send; server: bytes that it sends besides those that the client wants */
	uint64_t wanted; /* client: bytes that the server shall send */
	uint64_t end_at; /* client: after how many bytes of its own the end that breaks off does so */
	uint32_t ending;
	uint32_t sleep_ms;     /* the other end sleeps before it reads on */
	uint32_t own_sleep_ms; /* this end does */
	uint32_t reserved;
	uint64_t check;
};

enum way { BY_SEND, BY_VECTORS, BY_FILE, WAYS };

/* A receive or a send that is to be made. */
struct operation {
	uint8_t *bytes;
	size_t size;
	int flags;
	enum way way;
	off_t position; /* of sendfile() */
};

struct direction {
	struct header header;
	size_t header_done;
	uint64_t stream; /* which bytes these are */
	uint64_t done, total;
	uint64_t due; /* ns: not before */
	uint64_t random;
	bool ended; /* shutdown(SHUT_WR), or the end was read */
};

struct connection {
	int fd;
	uint64_t number, opened, progress;
	struct direction tx, rx;
	bool is_connecting, is_over, broken;
	/* Sending: what is left of the message, and how it goes. */
	uint64_t message, burst;
	enum way way;
	int flags;
	/* What the poller knows. */
	bool readable, writable, was_told, is_ending;
	/* Receiving: of its own where several are received at the same time. */
	uint8_t *buffer;
	/* Of io_uring. */
	unsigned pending;
	bool rx_pending, tx_pending, is_cancelled;
	struct operation rx_operation, tx_operation;
	struct iovec vectors[VECTORS];
	struct msghdr message_header;
	/* Where it is among the engine's. */
	size_t place;
	/* Totals. */
	uint64_t sent, received, stalls, spurious, queued, queued_until;
	bool has_half_closed, has_aborted, has_left;
};

struct totals {
	uint64_t connections, sent, received, half_closes, aborts, leaves, broken, stalls, spurious, queued, unfinished;
	uint64_t errors[ERRNOS];
};

extern struct options options;
extern struct totals totals;
extern volatile bool is_stopping;

/* pattern.c */
void pattern_make(void);
int pattern_file(void);
uint64_t pattern_stream(uint64_t seed, uint64_t number, int direction);
uint8_t *pattern_at(uint64_t stream, uint64_t offset);
off_t pattern_position(uint64_t stream, uint64_t offset);
void pattern_explain(uint64_t stream, uint64_t offset, const uint8_t *bytes, size_t size, char *text, size_t room);

/* Numbers that look like random ones and are the same in each run. */
static inline uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
	value = (value ^ value >> 27) * 0x94d049bb133111eb;
	return value ^ value >> 31;
}

static inline uint64_t next(uint64_t *random)
{
	return mix(*random += 0x9e3779b97f4a7c15);
}

/* 0...limit */
static inline uint64_t upto(uint64_t *random, uint64_t limit)
{
	return limit == UINT64_MAX ? next(random) : next(random) % (limit + 1);
}

static inline bool happens(uint64_t *random, uint64_t permille)
{
	return next(random) % 1000 < permille;
}

/* As many of each order of magnitude: 1...limit. */
static inline uint64_t magnitude(uint64_t *random, uint64_t limit)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(limit | 1);
	uint64_t value = 1 + (next(random) & ((1ull << upto(random, bits)) - 1));

	return value < limit ? value : limit;
}

/* connection.c */
uint64_t now_ns(void);
void connection_open(struct connection *c, int fd, bool is_connecting);
void connection_connected(struct connection *c);
bool connection_receives(struct connection *c, uint64_t now, struct operation *operation);
bool connection_sends(struct connection *c, uint64_t now, struct operation *operation);
void connection_received(struct connection *c, const struct operation *operation, ssize_t result);
void connection_sent(struct connection *c, const struct operation *operation, ssize_t result);
ssize_t connection_perform_send(struct connection *c, const struct operation *operation);
void connection_vectors(struct connection *c, const struct operation *operation);
bool connection_settle(struct connection *c);
void connection_close(struct connection *c);
uint64_t connection_due(const struct connection *c);
void connection_check_progress(const struct connection *c, uint64_t now);
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* engine.c: connections of the drivers with one thread. */
struct engine {
	struct connection **live;
	size_t count;
	int listener;
	uint64_t opened, started, checked;
	bool can_accept, is_watched;
};
void engine_start(struct engine *engine);
bool engine_turn(struct engine *engine, uint64_t now);
void engine_refused(int error);
void engine_finish_connect(struct connection *c);
void engine_remove(struct engine *engine, struct connection *c);
bool engine_is_done(const struct engine *engine);
int listener_make(void);
int client_make(bool blocks, bool *is_connecting, int *error);
int server_accept(int listener, bool blocks);
bool more_connections(uint64_t opened, uint64_t started, uint64_t now);
void count_error(int error);
void add_connection(struct connection *c);

/* One for each mode. */
void run_poll(void);
void run_epoll(void);
void run_uring(bool blocks);
void run_threads(void);

#endif
