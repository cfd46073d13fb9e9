#include "clinux.h"

#include <arpa/inet.h>
#include <link.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int weft_accept(int fd, int flags) { return accept4(fd, NULL, NULL, flags); }

int weft_enter_netns(int netns_fd) { return setns(netns_fd, CLONE_NEWNET); }

uint64_t weft_netns_cookie(int socket_fd)
{
    uint64_t cookie = 0;
    socklen_t length = sizeof cookie;

    if (getsockopt(socket_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0)
        return 0;
    return cookie;
}

uint64_t weft_cgroup_id(const char *path)
{
    union {
        struct file_handle handle;
        char space[sizeof(struct file_handle) + sizeof(uint64_t)];
    } buffer;
    uint64_t id = 0;
    int mount_id;

    buffer.handle.handle_bytes = sizeof(uint64_t);
    if (name_to_handle_at(AT_FDCWD, path, &buffer.handle, &mount_id, 0) != 0)
        return 0;
    memcpy(&id, buffer.handle.f_handle, sizeof id);
    return id;
}

int weft_connect_in_cgroup(int cgroup_fd, uint32_t address, uint16_t port)
{
    struct clone_args arguments;
    int status;
    pid_t child;

    memset(&arguments, 0, sizeof arguments);
    arguments.flags = CLONE_INTO_CGROUP;
    arguments.exit_signal = SIGCHLD;
    arguments.cgroup = (uint64_t)cgroup_fd;
    // The raw system call: between it and _exit the child makes system calls only, so locks that other threads held
    // at this moment do not matter.
    child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0) {
        struct sockaddr_in peer;
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        memset(&peer, 0, sizeof peer);
        peer.sin_family = AF_INET;
        peer.sin_addr.s_addr = address;
        peer.sin_port = htons(port);
        if (fd < 0)
            _exit(255);
        _exit(connect(fd, (struct sockaddr *)&peer, sizeof peer) == 0 ? 0 : errno & 0x7f);
    }
    if (child < 0)
        return -1;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return -1;
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 255) {
        errno = ECHILD;
        return -1;
    }
    return WEXITSTATUS(status);
}

void weft_name_thread(const char *name) { (void)pthread_setname_np(pthread_self(), name); }

char *weft_format(const char *format, va_list arguments)
{
    char *text;

    return vasprintf(&text, format, arguments) < 0 ? NULL : text;
}

static int forget_object(struct dl_phdr_info *info, size_t size, void *context)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

    (void)size;
    (void)context;
    for (int index = 0; index < info->dlpi_phnum; index++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[index];
        uintptr_t start, end;

        /* Code and constants, and nothing that was ever written: such pages exist nowhere else. */
        if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
            continue;
        start = (info->dlpi_addr + segment->p_vaddr + page - 1) & ~(page - 1);
        end = (info->dlpi_addr + segment->p_vaddr + segment->p_filesz) & ~(page - 1);
        if (start < end)
            madvise((void *)start, end - start, MADV_DONTNEED);
    }
    return 0;
}

void weft_forget_code(void)
{
    dl_iterate_phdr(forget_object, NULL);
}
