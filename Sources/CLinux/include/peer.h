// The process at the other end of a connected Unix socket.
#pragma once

#include <sys/types.h>

/// The process that connected `socket_fd`: its pid in the caller's pid namespace, and in `*pidfd` a descriptor of it.
/// Returns -1 with errno; ESRCH if the process is not visible from here or gone.
///
/// From Linux 6.5 (SO_PEERPIDFD) the descriptor is of the very process that called connect(). Before, it is opened by the
/// pid, which names another process if that one has ended and its pid was given out again since it connected.
pid_t weft_peer_process(int socket_fd, int *pidfd);
