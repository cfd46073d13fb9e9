// Unsafe code of this file: bpf_prog_info and bpf_link_create_opts, which hold C pointers.

import CLibbpf
import Glibc

/// A loaded program.
public struct Program: ~Copyable, Sendable {
    public let name: String
    /// The hook that it was written for.
    public let attachType: AttachType
    /// The kernel's id of the program.
    public let id: UInt32
    public let type: ProgramType
    let descriptor: FileDescriptor

    /// The descriptor's number, for system calls made while this value is alive.
    public var fd: CInt { descriptor.rawValue }

    init(descriptor: consuming FileDescriptor, name: String, attachType: AttachType) throws(BPFError) {
        let statistics = try ProgramStatistics(descriptor: descriptor.rawValue, subject: name)
        self.name = name
        self.attachType = attachType
        id = statistics.id
        type = statistics.type
        self.descriptor = descriptor
    }

    /// Attaches the program to a cgroup, beside those of others. It is detached when the link and all its pins are gone.
    ///
    /// - Throws: `BPFError` with the kernel's errno.
    public func attach(toCgroup cgroup: borrowing FileDescriptor) throws(BPFError) -> Link {
        let result = bpf_link_create(fd, cgroup.rawValue, bpf_attach_type(attachType.rawValue), nil)
        guard result >= 0 else {
            throw BPFError(
                operation: "attach to the cgroup the program", subject: name, errno: -result,
                detail: result == -EBADF ? "the directory is not a cgroup v2" : "")
        }
        return Link(descriptor: FileDescriptor(owning: result), name: name)
    }

    /// Attaches the program (`SEC("sk_lookup")`) to a network namespace, given by its file in /proc or elsewhere.
    ///
    /// - Throws: `BPFError` with the kernel's errno.
    public func attach(toNetworkNamespace namespace: borrowing FileDescriptor) throws(BPFError) -> Link {
        let result = bpf_link_create(fd, namespace.rawValue, bpf_attach_type(attachType.rawValue), nil)
        guard result >= 0 else {
            throw BPFError(operation: "attach to the network namespace the program", subject: name, errno: -result)
        }
        return Link(descriptor: FileDescriptor(owning: result), name: name)
    }

    /// Attaches the program (`SEC("sk_msg")`) to a map of sockets, in the place of one that is attached already. It stays for
    /// as long as the map.
    ///
    /// - Throws: `BPFError` with the kernel's errno.
    public func attach(toSocketMap map: CInt) throws(BPFError) {
        let result = bpf_prog_attach(fd, map, bpf_attach_type(attachType.rawValue), 0)
        guard result == 0 else {
            throw BPFError(operation: "attach to the map of sockets the program", subject: name, errno: -result)
        }
    }

    /// Attaches an iterator program (`SEC("iter/bpf_sk_storage_map")` and the like) to the entries of a map.
    ///
    /// - Throws: `BPFError` with the kernel's errno, for example EINVAL when the map is of another type.
    public func attachIterator(overMap map: CInt) throws(BPFError) -> Link {
        var target = bpf_iter_link_info()
        unsafe target.map.map_fd = UInt32(bitPattern: map)
        return try attachIterator(over: target)
    }

    /// Attaches an iterator program (`SEC("iter/tcp")` and the like) to what the kernel has of its kind, for those of the
    /// network in the namespace of the thread that reads.
    ///
    /// - Throws: `BPFError` with the kernel's errno.
    public func attachIterator() throws(BPFError) -> Link { try attachIterator(over: nil) }

    private func attachIterator(over target: bpf_iter_link_info?) throws(BPFError) -> Link {
        var options = unsafe bpf_link_create_opts()
        unsafe options.sz = unsafe MemoryLayout<bpf_link_create_opts>.size
        guard var target else {
            return try iteratorLink(unsafe bpf_link_create(fd, 0, BPF_TRACE_ITER, &options))
        }
        let result = unsafe withUnsafeMutablePointer(to: &target) { target in
            unsafe options.iter_info = unsafe target
            unsafe options.iter_info_len = UInt32(MemoryLayout<bpf_iter_link_info>.size)
            return unsafe bpf_link_create(fd, 0, BPF_TRACE_ITER, &options)
        }
        return try iteratorLink(result)
    }

    private func iteratorLink(_ result: CInt) throws(BPFError) -> Link {
        guard result >= 0 else {
            throw BPFError(operation: "attach to what it iterates over the program", subject: name, errno: -result)
        }
        return Link(descriptor: FileDescriptor(owning: result), name: name)
    }

    /// Attaches a tracing program to the tracepoint (`SEC("tp_btf/…")`) that it was written for.
    ///
    /// - Throws: `BPFError` with the kernel's errno.
    public func attachTracepoint() throws(BPFError) -> Link {
        let result = bpf_raw_tracepoint_open(nil, fd)
        guard result >= 0 else {
            throw BPFError(operation: "attach to its tracepoint the program", subject: name, errno: -result)
        }
        return Link(descriptor: FileDescriptor(owning: result), name: name)
    }

    /// How often and how long the program ran; 0 unless `BPFSystem.enableRunTimeStatistics()` is in force.
    public func statistics() throws(BPFError) -> ProgramStatistics {
        try ProgramStatistics(descriptor: fd, subject: name)
    }
}

/// The kernel's account of one program (bpf_prog_info).
public struct ProgramStatistics: Sendable {
    public let id: UInt32
    public let type: ProgramType
    /// At most 15 characters.
    public let name: String
    /// Nanoseconds that the program ran since statistics were enabled.
    public let runTimeNanoseconds: UInt64
    /// Runs since statistics were enabled.
    public let runCount: UInt64

    init(descriptor: CInt, subject: String) throws(BPFError) {
        var information = bpf_prog_info()
        var length = UInt32(MemoryLayout<bpf_prog_info>.size)
        let result = unsafe bpf_obj_get_info_by_fd(descriptor, &information, &length)
        guard result == 0 else { throw BPFError(operation: "describe the program", subject: subject, errno: -result) }
        id = information.id
        type = ProgramType(rawValue: information.type)
        name = unsafe withUnsafeBytes(of: information.name) { bytes in
            unsafe String(decoding: unsafe bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        runTimeNanoseconds = information.run_time_ns
        runCount = information.run_cnt
    }

    /// The account of the program `id` of the machine; nil when it is gone.
    ///
    /// - Throws: `BPFError` with the kernel's errno, for example EPERM.
    public static func of(programID id: UInt32) throws(BPFError) -> ProgramStatistics? {
        let result = bpf_prog_get_fd_by_id(id)
        if result == -ENOENT { return nil }
        guard result >= 0 else { throw BPFError(operation: "open the program", subject: "id \(id)", errno: -result) }
        let descriptor = FileDescriptor(owning: result)
        return try ProgramStatistics(descriptor: descriptor.rawValue, subject: "program \(id)")
    }
}
