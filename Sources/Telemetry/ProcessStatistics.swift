import Glibc

/// What the kernel says of this process; the names are those of Prometheus's client libraries.
public struct ProcessStatistics: Sendable {
    public var cpuSeconds: Double
    public var residentBytes: UInt64
    public var virtualBytes: UInt64
    public var openDescriptors: UInt64
    public var maxDescriptors: UInt64
    /// Unix time.
    public var startTimeSeconds: Double
    public var threads: UInt64

    /// Of this process now; nil without /proc.
    public static func current() -> ProcessStatistics? {
        guard let text = readFile("/proc/self/stat"), let end = text.lastIndex(of: ")") else { return nil }
        // Fields from the third on (proc(5)); the second may have spaces and parentheses in it.
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 21, let user = UInt64(fields[11]), let system = UInt64(fields[12]),
            let threads = UInt64(fields[17]), let started = UInt64(fields[19]), let virtual = UInt64(fields[20]),
            let pages = UInt64(fields[21])
        else { return nil }
        let ticks = Double(max(sysconf(CInt(_SC_CLK_TCK)), 1))
        var limit = rlimit()
        _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return ProcessStatistics(
            cpuSeconds: Double(user + system) / ticks,
            residentBytes: pages * UInt64(max(sysconf(CInt(_SC_PAGESIZE)), 0)), virtualBytes: virtual,
            openDescriptors: countDescriptors(), maxDescriptors: UInt64(limit.rlim_cur),
            startTimeSeconds: bootTime() + Double(started) / ticks, threads: threads)
    }

    func write(to writer: inout MetricWriter) {
        writer.family("process_cpu_seconds_total", .counter, help: "User and system CPU time of the agent.")
        writer.sample(MetricLabels(), cpuSeconds)
        writer.gauge("process_resident_memory_bytes", help: "Resident memory of the agent.", Double(residentBytes))
        writer.gauge("process_virtual_memory_bytes", help: "Virtual memory of the agent.", Double(virtualBytes))
        writer.gauge("process_open_fds", help: "Open file descriptors of the agent.", Double(openDescriptors))
        writer.gauge("process_max_fds", help: "File descriptors that the agent may open.", Double(maxDescriptors))
        writer.gauge("process_start_time_seconds", help: "When the agent started, in Unix time.", startTimeSeconds)
        writer.gauge("process_threads", help: "Threads of the agent.", Double(threads))
    }

    private static func bootTime() -> Double {
        var wall = timespec()
        var sinceBoot = timespec()
        _ = unsafe clock_gettime(CLOCK_REALTIME, &wall)
        _ = unsafe clock_gettime(CLOCK_BOOTTIME, &sinceBoot)
        return Double(wall.tv_sec - sinceBoot.tv_sec) + Double(wall.tv_nsec - sinceBoot.tv_nsec) / 1e9
    }

    private static func countDescriptors() -> UInt64 {
        guard let directory = unsafe opendir("/proc/self/fd") else { return 0 }
        defer { unsafe closedir(directory) }
        var count: UInt64 = 0
        while unsafe readdir(directory) != nil { count += 1 }
        return count >= 3 ? count - 3 : 0  // ".", ".." and the directory itself
    }

    private static func readFile(_ path: String) -> String? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe read(descriptor, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }
}
