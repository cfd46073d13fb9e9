// Unsafe code of this file: bpf_link_info, which has C pointers in a union, and the buffer that an iterator fills.

import CLibbpf
import CLinux
import Glibc

/// The attachment of a program to its hook. It ends when the last descriptor and the last pin are gone.
public struct Link: ~Copyable, Sendable {
    /// The program's name, or the pin's path for a link opened by it.
    public let name: String
    let descriptor: FileDescriptor

    /// The descriptor's number, for system calls made while this value is alive.
    public var fd: CInt { descriptor.rawValue }

    init(descriptor: consuming FileDescriptor, name: String) {
        self.name = name
        self.descriptor = descriptor
    }

    /// Gives the link a name in a BPF file system, where it outlives this process.
    ///
    /// - Throws: `BPFError` with EEXIST when the path is taken.
    public func pin(at path: String) throws(BPFError) {
        let result = unsafe bpf_obj_pin(fd, path)
        guard result == 0 else { throw BPFError(operation: "pin link \(name) at", subject: path, errno: -result) }
    }

    /// The link that is pinned at `path`.
    ///
    /// - Throws: `BPFError` with ENOENT when nothing is pinned there, EINVAL when it is not a link.
    public static func openPinned(_ path: String) throws(BPFError) -> Link {
        let link = try Link(descriptor: FileDescriptor(pinnedAt: path, as: "link"), name: path)
        // A map's or a program's pin opens just as well, and is described by another structure of another length.
        guard (readSmallFile("/proc/self/fdinfo/\(link.fd)") ?? "").contains("link_id:") else {
            throw BPFError(operation: "open the pinned link", subject: path, errno: EINVAL, detail: "it is not a link")
        }
        return link
    }

    /// Removes a pin; the link itself lives as long as a descriptor of it is open.
    public static func unpin(_ path: String) throws(BPFError) {
        guard unsafe unlink(path) == 0 else {
            throw BPFError(operation: "remove the pin", subject: path, errno: weft_errno())
        }
    }

    /// Puts `program` in the place of the present one, without a moment with neither.
    ///
    /// - Throws: `BPFError` with ENOLINK when the cgroup is gone: then the pin is of no use and a new link is needed.
    public func replaceProgram(with program: borrowing Program) throws(BPFError) {
        let result = bpf_link_update(fd, program.fd, nil)
        guard result == 0 else {
            throw BPFError(
                operation: "replace the program of the link", subject: name, errno: -result,
                detail: result == -ENOLINK ? "what it was attached to is gone" : "")
        }
    }

    /// Takes the program off its hook at once, whoever else holds the link.
    public func detach() throws(BPFError) {
        let result = bpf_link_detach(fd)
        guard result == 0 else { throw BPFError(operation: "detach the link", subject: name, errno: -result) }
    }

    /// What a link joins.
    public struct Information: Sendable, Hashable {
        /// The kernel's id of the link.
        public let id: UInt32
        /// The kernel's id of the program.
        public let programID: UInt32
        /// The hook; nil for links of other kinds than cgroup and network namespace.
        public let attachType: AttachType?
        /// The cgroup's id; nil for links of other kinds. 0 once the cgroup is gone or the link detached.
        public let cgroupID: UInt64?
        /// The inode of the network namespace; nil for links of other kinds, 0 if the namespace is gone.
        public let networkNamespace: UInt32?
    }

    /// What the kernel knows of the link now.
    public var information: Information {
        get throws(BPFError) {
            var information = bpf_link_info()
            var length = UInt32(MemoryLayout<bpf_link_info>.size)
            let result = unsafe bpf_obj_get_info_by_fd(fd, &information, &length)
            guard result == 0 else { throw BPFError(operation: "describe the link", subject: name, errno: -result) }
            let isCgroup = information.type == BPF_LINK_TYPE_CGROUP.rawValue
            let isNamespace = information.type == BPF_LINK_TYPE_NETNS.rawValue
            let attachType: UInt32? =
                isCgroup ? information.cgroup.attach_type : isNamespace ? information.netns.attach_type : nil
            return Information(
                id: information.id, programID: information.prog_id,
                attachType: attachType.map(AttachType.init), cgroupID: isCgroup ? information.cgroup.cgroup_id : nil,
                networkNamespace: isNamespace ? information.netns.netns_ino : nil)
        }
    }

    /// Runs an iterator program over everything it iterates, and hands what it wrote to `handler` in pieces of any length.
    ///
    /// - Throws: `BPFError`, with EINVAL when the link is not an iterator's.
    public func readIterator(_ handler: (RawSpan) -> Void) throws(BPFError) {
        let result = bpf_iter_create(fd)
        guard result >= 0 else { throw BPFError(operation: "start the iterator", subject: name, errno: -result) }
        let iterator = FileDescriptor(owning: result)
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let (count, code) = unsafe buffer.withUnsafeMutableBytes { bytes in
                let count = unsafe read(iterator.rawValue, bytes.baseAddress, bytes.count)
                return (count, weft_errno())
            }
            if count > 0 {
                handler(buffer.rawBytes.extracting(first: count))
            } else if count == 0 {
                return
            } else if code != EINTR && code != EAGAIN {
                throw BPFError(operation: "read the iterator", subject: name, errno: code)
            }
        }
    }

    /// Runs an iterator program that writes values of type `Record`, and returns them.
    public func readIterator<Record: BitwiseCopyable>(of type: Record.Type) throws(BPFError) -> [Record] {
        let size = MemoryLayout<Record>.size
        var records: [Record] = []
        var rest: [UInt8] = []
        try readIterator { bytes in
            for offset in 0..<bytes.byteCount { rest.append(bytes.byte(at: offset)) }
            let whole = rest.count / size * size
            for offset in stride(from: 0, to: whole, by: size) {
                records.append(rest.rawBytes.value(at: offset, as: Record.self))
            }
            rest.removeFirst(whole)
        }
        return records
    }
}
