#include "descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

static int packet_socket(const char *path, struct sockaddr_un *address, int flags)
{
    int fd;

    if (strlen(path) >= sizeof address->sun_path)
        return -ENAMETOOLONG;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    strcpy(address->sun_path, path);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);
    return fd < 0 ? -errno : fd;
}

int weft_listen_packets(const char *path, int backlog)
{
    struct sockaddr_un address;
    int fd = packet_socket(path, &address, SOCK_NONBLOCK);

    if (fd < 0)
        return fd;
    (void)unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && chmod(path, 0600) == 0 && listen(fd, backlog) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

int weft_connect_packets(const char *path)
{
    struct sockaddr_un address;
    int fd = packet_socket(path, &address, 0);

    if (fd < 0)
        return fd;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

int weft_send_descriptors(int fd, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(WEFT_DESCRIPTORS * sizeof(int))];
    } control = {0};
    struct iovec range = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &range, .msg_iovlen = 1};

    if (descriptor_count > WEFT_DESCRIPTORS)
        return -EINVAL;
    if (descriptor_count > 0) {
        size_t size = descriptor_count * sizeof(int);

        control.header = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(size), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), descriptors, size);
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(size);
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

long weft_receive_descriptors(int fd, void *bytes, size_t count, int *descriptors, size_t *descriptor_count)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(WEFT_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec range = {.iov_base = bytes, .iov_len = count};
    struct msghdr message = {
        .msg_iov = &range, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    ssize_t received;

    *descriptor_count = 0;
    do
        received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received < 0)
        return -errno;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        *descriptor_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(descriptors, CMSG_DATA(header), *descriptor_count * sizeof(int));
    }
    return received;
}

void weft_limit_waiting(int fd, int milliseconds)
{
    struct timeval limit = {.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

int weft_peer_pid(int fd)
{
    struct ucred peer = {0};
    socklen_t size = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

void weft_abort_connection(int fd)
{
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    (void)connect(fd, &nobody, sizeof nobody);
}

int weft_spawn_with(const char *path, char *const arguments[], int fd)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    pid_t pid = 0;
    int error;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    for (int standard = 0; standard < 3; standard++)
        posix_spawn_file_actions_addopen(&actions, standard, "/dev/null", O_RDWR, 0);
    error = posix_spawn_file_actions_adddup2(&actions, fd, 3);
    posix_spawn_file_actions_addclosefrom_np(&actions, 4);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    if (error == 0)
        error = posix_spawn(&pid, path, &actions, &attributes, arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error == 0 ? pid : -error;
}
