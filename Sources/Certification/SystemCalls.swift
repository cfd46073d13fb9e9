import CLinux
import Glibc
import WeftABI

/// The system calls by which applications use sockets.
enum SystemCalls {
    struct Call {
        var name: String
        var kind: weft_watched_call
        /// The argument that flags are in; 0: it has none.
        var flags: UInt8 = 0

        /// As the kernel's program has it.
        var abi: UInt8 { UInt8(kind.rawValue) | flags << 4 }
    }

    /// By number.
    static let all: [Int: Call] = [
        Int(WEFT_SYS_READ.rawValue): Call(name: "read", kind: WEFT_CALL_READ),
        Int(WEFT_SYS_READV.rawValue): Call(name: "readv", kind: WEFT_CALL_READ),
        Int(WEFT_SYS_WRITE.rawValue): Call(name: "write", kind: WEFT_CALL_WRITE),
        Int(WEFT_SYS_WRITEV.rawValue): Call(name: "writev", kind: WEFT_CALL_WRITE),
        Int(WEFT_SYS_SENDFILE.rawValue): Call(name: "sendfile", kind: WEFT_CALL_WRITE),
        Int(WEFT_SYS_RECVFROM.rawValue): Call(name: "recvfrom", kind: WEFT_CALL_RECEIVE, flags: 3),
        Int(WEFT_SYS_RECVMSG.rawValue): Call(name: "recvmsg", kind: WEFT_CALL_RECEIVE, flags: 2),
        Int(WEFT_SYS_RECVMMSG.rawValue): Call(name: "recvmmsg", kind: WEFT_CALL_RECEIVE, flags: 3),
        Int(WEFT_SYS_SENDTO.rawValue): Call(name: "sendto", kind: WEFT_CALL_SEND, flags: 3),
        Int(WEFT_SYS_SENDMSG.rawValue): Call(name: "sendmsg", kind: WEFT_CALL_SEND, flags: 2),
        Int(WEFT_SYS_SENDMMSG.rawValue): Call(name: "sendmmsg", kind: WEFT_CALL_SEND, flags: 3),
        Int(WEFT_SYS_SPLICE.rawValue): Call(name: "splice", kind: WEFT_CALL_SPLICE),
        Int(WEFT_SYS_IOCTL.rawValue): Call(name: "ioctl", kind: WEFT_CALL_IOCTL),
        Int(WEFT_SYS_GETSOCKOPT.rawValue): Call(name: "getsockopt", kind: WEFT_CALL_GETSOCKOPT),
        Int(WEFT_SYS_MMAP.rawValue): Call(name: "mmap", kind: WEFT_CALL_MMAP),
    ]

    static func name(_ number: UInt32) -> String { all[Int(number)]?.name ?? "system call \(number)" }

    /// What one line of /proc/PID/task/TID/syscall says of a thread that waits in the kernel.
    ///
    /// Source: proc(5): the number, six arguments, stack pointer and program counter; `running`; or `-1 ...`.
    struct Sample: Equatable {
        var number: Int
        var arguments: [UInt64]

        init?(_ line: String) {
            let fields = line.split(whereSeparator: \.isWhitespace)
            guard fields.count >= 7, let number = Int(fields[0]), number >= 0 else { return nil }
            arguments = fields[1...6].map { UInt64($0.dropFirst(2), radix: 16) ?? 0 }
            self.number = number
        }

        /// What waiting there shows, at which descriptor; nil for nothing.
        var conduct: (kind: EvidenceKind, descriptor: Int32, call: String)? {
            guard let call = SystemCalls.all[number] else { return nil }
            let descriptor = Int32(truncatingIfNeeded: arguments[0])
            switch call.kind {
            case WEFT_CALL_SPLICE: return (.splice, descriptor, "it waits in splice()")
            case WEFT_CALL_RECEIVE:
                guard arguments[Int(call.flags)] & UInt64(MSG_WAITALL) != 0 else { return nil }
                return (.waitAll, descriptor, "it waits in \(call.name)() with MSG_WAITALL")
            default: return nil
            }
        }
    }
}
