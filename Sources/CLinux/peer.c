#include "peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

pid_t weft_peer_process(int socket_fd, int *pidfd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return -1;
    if (peer.pid <= 0) {
        errno = ESRCH;
        return -1;
    }
    size = sizeof *pidfd;
    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, pidfd, &size) == 0)
        return peer.pid;
    if (errno != ENOPROTOOPT)
        return -1;
    *pidfd = (int)syscall(SYS_pidfd_open, peer.pid, 0);
    return *pidfd < 0 ? -1 : peer.pid;
}
