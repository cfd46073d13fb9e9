// Numbers of the system calls by which applications use sockets: they differ between architectures.
#pragma once

#include <sys/syscall.h>

enum weft_call_number {
    WEFT_SYS_READ = SYS_read,
    WEFT_SYS_READV = SYS_readv,
    WEFT_SYS_WRITE = SYS_write,
    WEFT_SYS_WRITEV = SYS_writev,
    WEFT_SYS_SENDFILE = SYS_sendfile,
    WEFT_SYS_RECVFROM = SYS_recvfrom,
    WEFT_SYS_RECVMSG = SYS_recvmsg,
    WEFT_SYS_RECVMMSG = SYS_recvmmsg,
    WEFT_SYS_SENDTO = SYS_sendto,
    WEFT_SYS_SENDMSG = SYS_sendmsg,
    WEFT_SYS_SENDMMSG = SYS_sendmmsg,
    WEFT_SYS_SPLICE = SYS_splice,
    WEFT_SYS_IOCTL = SYS_ioctl,
    WEFT_SYS_GETSOCKOPT = SYS_getsockopt,
    WEFT_SYS_MMAP = SYS_mmap,
};
