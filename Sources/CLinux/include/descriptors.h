// Descriptors that one process gives to another over a Unix socket (SCM_RIGHTS, unix(7)).
#pragma once

#include <stddef.h>

/// The most that one message carries.
#define WEFT_DESCRIPTORS 16

/// A non-blocking SOCK_SEQPACKET socket that listens at `path`, in place of what was there. Returns the descriptor, or a
/// negative errno.
int weft_listen_packets(const char *path, int backlog);

/// A blocking SOCK_SEQPACKET socket that is connected to `path`. Returns the descriptor, or a negative errno.
int weft_connect_packets(const char *path);

/// Sends one message with descriptors, and never waits. Returns 0, or a negative errno.
int weft_send_descriptors(int fd, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count);

/// Receives one message; its descriptors, of which there are *descriptor_count, are closed on exec. Returns its length, 0 at
/// the end, or a negative errno. `descriptors` has room for WEFT_DESCRIPTORS.
long weft_receive_descriptors(int fd, void *bytes, size_t count, int *descriptors, size_t *descriptor_count);

/// How long receiving may wait, in milliseconds.
void weft_limit_waiting(int fd, int milliseconds);

/// The process at the other end of a connected Unix socket, as it was when they were connected; 0: not known.
int weft_peer_pid(int fd);

/// Ends a TCP connection with a reset, however many descriptors it has (connect(2), AF_UNSPEC).
void weft_abort_connection(int fd);

/// Starts `path` with `arguments` (NULL behind the last) as a process with a session of its own, whose only descriptors
/// are the null device as the standard ones, and `fd` as 3. Returns its pid, or a negative errno.
int weft_spawn_with(const char *path, char *const arguments[], int fd);
