import CLinux

/// Where the cgroup v2 hierarchy is mounted. It may be anywhere (`/sys/fs/cgroup`, `/sys/fs/cgroup/unified`), so it is
/// looked up, never assumed.
public enum CgroupRoot {
    /// The first cgroup2 mount of /proc/self/mountinfo; nil if there is none.
    public static func find() -> String? {
        guard let text = FileSystem.text("/proc/self/mountinfo") else { return nil }
        return parse(mountinfo: text)
    }

    /// proc(5): `36 35 98:0 /root /mount/point options optional... - type source options`, octal escapes in paths.
    static func parse(mountinfo: String) -> String? {
        for line in mountinfo.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let separator = fields.firstIndex(of: "-"), separator + 1 < fields.count, fields.count > 4,
                fields[separator + 1] == "cgroup2", fields[3] == "/"
            else { continue }
            return unescape(fields[4])
        }
        return nil
    }

    private static func unescape(_ path: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(path.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Whether `path` is a directory of a cgroup v2 hierarchy.
    public static func isCgroup(_ path: String) -> Bool {
        FileSystem.magic(path) == UInt32(WEFT_CGROUP2_MAGIC)
    }
}
