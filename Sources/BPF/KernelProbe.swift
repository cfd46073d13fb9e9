// Questions to the kernel, each asked by trying.
//
// Unsafe code of this file: instructions and option structures of libbpf, and one netlink message.

import CLibbpf
import CLinux
import Glibc

enum KernelProbe {
    /// `return 1`, which every hook of ours accepts; `return 0` for iterators.
    private static func program(returning value: UInt64) -> [UInt64] {
        [0xb7 | value << 32, 0x95]
    }

    /// Whether a program of this type is accepted for this hook.
    static func loads(_ type: bpf_prog_type, _ hook: bpf_attach_type) -> Bool {
        load(type, hook, attachTypeID: 0, returning: 1) != nil
    }

    /// Whether the kernel has this iterator.
    static func loadsIterator(_ name: String) -> Bool {
        let (id, _) = LibbpfLog.capturing { unsafe libbpf_find_vmlinux_btf_id(name, BPF_TRACE_ITER) }
        guard let id = UInt32(exactly: id), id > 0 else { return false }
        return load(BPF_PROG_TYPE_TRACING, BPF_TRACE_ITER, attachTypeID: id, returning: 0) != nil
    }

    private static func load(
        _ type: bpf_prog_type, _ hook: bpf_attach_type, attachTypeID: UInt32, returning value: UInt64
    ) -> FileDescriptor? {
        let instructions = program(returning: value)
        var options = unsafe bpf_prog_load_opts()
        unsafe options.sz = MemoryLayout<bpf_prog_load_opts>.size
        unsafe options.expected_attach_type = hook
        unsafe options.attach_btf_id = attachTypeID
        let result = unsafe instructions.withUnsafeBytes { bytes in
            unsafe bpf_prog_load(
                type, "weft_probe", "GPL", bytes.bindMemory(to: bpf_insn.self).baseAddress, instructions.count, &options
            )
        }
        return result >= 0 ? FileDescriptor(owning: result) : nil
    }

    static func hasMap(_ type: bpf_map_type) -> Bool {
        LibbpfLog.capturing { libbpf_probe_bpf_map_type(type, nil) }.0 == 1
    }

    static func hasHelper(_ helper: bpf_func_id, in type: bpf_prog_type) -> Bool {
        LibbpfLog.capturing { libbpf_probe_bpf_helper(type, helper, nil) }.0 == 1
    }

    static var hasKernelBTF: Bool {
        unsafe access("/sys/kernel/btf/vmlinux", R_OK) == 0
    }

    /// A link to a descriptor that is none: a kernel that knows links says so, another does not know the command.
    static var hasCgroupLinks: Bool {
        guard let program = load(BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS, attachTypeID: 0, returning: 1) else {
            return false
        }
        return bpf_link_create(program.rawValue, -1, BPF_CGROUP_SOCK_OPS, nil) == -EBADF
    }

    /// Since Linux 5.10 arrays inside of maps may differ in length.
    static var hasInnerMapsOfAnySize: Bool {
        var options = bpf_map_create_opts()
        options.sz = MemoryLayout<bpf_map_create_opts>.size
        options.map_flags = UInt32(BPF_F_INNER_MAP)
        let result = unsafe bpf_map_create(BPF_MAP_TYPE_ARRAY, "weft_probe", 4, 8, 1, &options)
        guard result >= 0 else { return false }
        _ = FileDescriptor(owning: result)
        return true
    }

    static var hasMapBatches: Bool {
        let result = unsafe bpf_map_create(BPF_MAP_TYPE_HASH, "weft_probe", 4, 4, 1, nil)
        guard result >= 0 else { return false }
        let map = FileDescriptor(owning: result)
        var entry: UInt32 = 1
        var count: UInt32 = 1
        return unsafe bpf_map_update_batch(map.rawValue, &entry, &entry, &count, nil) == 0
    }

    /// Asks to end a connection between two ports 0, which cannot be: the kernel looks for it or says that it cannot.
    static var canDestroySockets: Bool {
        let sockDiag: CInt = 4  // NETLINK_SOCK_DIAG
        let errorMessage: UInt16 = 2  // NLMSG_ERROR
        let result = socket(AF_NETLINK, CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), sockDiag)
        guard result >= 0 else { return false }
        let netlink = FileDescriptor(owning: result)
        // nlmsghdr: length, SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, sequence, port; then inet_diag_req_v2: family,
        // protocol, extensions, padding, states, ports, addresses, interface, cookie.
        var message = bytes(of: UInt32(72)) + bytes(of: UInt16(21)) + bytes(of: UInt16(5)) + bytes(of: UInt32(1))
        message += bytes(of: UInt32(0)) + [UInt8(AF_INET), UInt8(IPPROTO_TCP), 0, 0] + bytes(of: UInt32(1 << 1))
        message += [UInt8](repeating: 0, count: 4) + [127, 0, 0, 1] + [UInt8](repeating: 0, count: 12)
        message += [127, 0, 0, 1] + [UInt8](repeating: 0, count: 12 + 4) + [UInt8](repeating: 0xff, count: 8)
        guard unsafe send(netlink.rawValue, message, message.count, 0) == message.count else { return false }
        var answer = [UInt8](repeating: 0, count: 256)
        let length = answer.count
        let count = unsafe recv(netlink.rawValue, &answer, length, CInt(MSG_DONTWAIT))
        guard count >= 20, answer.rawBytes.value(at: 4, as: UInt16.self) == errorMessage else { return false }
        return answer.rawBytes.value(at: 16, as: CInt.self) == -ENOENT
    }
}
