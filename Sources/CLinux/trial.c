#include "trial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int is_ready(int fd, short events, int milliseconds)
{
    struct pollfd wait = {.fd = fd, .events = events};
    int count;

    do
        count = poll(&wait, 1, milliseconds);
    while (count < 0 && errno == EINTR);
    if (count == 0)
        errno = ETIMEDOUT;
    return count > 0;
}

int weft_loopback_pair(int ends[2], int milliseconds)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in peer;
    socklen_t length = sizeof address;
    int one = 1, error = 0;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    ends[0] = ends[1] = -1;
    if (listener < 0)
        return -errno;
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4)
        || getsockname(listener, (struct sockaddr *)&address, &length))
        goto failed;
    ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (ends[0] < 0)
        goto failed;
    if (connect(ends[0], (struct sockaddr *)&address, length) && errno != EINPROGRESS)
        goto failed;
    length = sizeof address;
    if (!is_ready(ends[0], POLLOUT, milliseconds) || getsockname(ends[0], (struct sockaddr *)&address, &length))
        goto failed;
    for (;;) {
        length = sizeof peer;
        if (!is_ready(listener, POLLIN, milliseconds))
            goto failed;
        ends[1] = accept4(listener, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (ends[1] < 0)
            goto failed;
        if (peer.sin_port == address.sin_port)
            break;
        // Somebody else who tries ports.
        close(ends[1]);
        ends[1] = -1;
    }
    if (setsockopt(ends[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)
        || setsockopt(ends[1], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
        goto failed;
    close(listener);
    return 0;
failed:
    error = errno;
    close(listener);
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
        ends[i] = -1;
    }
    return -error;
}

int weft_set_patience(int fd, int milliseconds)
{
    const struct timeval time = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
    const int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, milliseconds ? flags & ~O_NONBLOCK : flags | O_NONBLOCK)
        || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time)
        || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time))
        return -errno;
    return 0;
}

int weft_unread_bytes(int fd)
{
    int count = 0;

    return ioctl(fd, FIONREAD, &count) ? -errno : count;
}

int64_t weft_tcp_taken_bytes(int fd)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    int waiting = 0;

    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) || ioctl(fd, SIOCOUTQNSD, &waiting))
        return -errno;
    return (int64_t)(info.tcpi_bytes_sent - info.tcpi_bytes_retrans) + waiting;
}

long weft_splice(int from, int to, size_t count)
{
    const ssize_t moved = splice(from, NULL, to, NULL, count, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

    return moved < 0 ? -errno : moved;
}

void weft_abort(int fd)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

int weft_set_low_water(int fd, int bytes)
{
    return setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) ? -errno : 0;
}

int weft_set_inq(int fd)
{
    const int one = 1;

    return setsockopt(fd, IPPROTO_TCP, TCP_INQ, &one, sizeof one) ? -errno : 0;
}

uint64_t weft_socket_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;

    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) ? 0 : cookie;
}
