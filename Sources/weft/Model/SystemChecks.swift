import BPF
import CLinux
import Glibc
import KernelPlane

/// Whether this machine can run the data plane.
enum SystemChecks {
    /// - Parameter pins: where programs and maps are, or would be.
    static func all(_ pins: PinDirectory) -> [CheckItem] {
        [privileges, bpfFileSystem(pins), cgroups, compiler, lockedMemory] + features
    }

    private static var privileges: CheckItem {
        CheckItem(
            "privileges", geteuid() == 0 ? .ok : .fail, geteuid() == 0 ? "root" : "user \(geteuid())",
            advice: "run as root: maps and programs need CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN")
    }

    private static func bpfFileSystem(_ pins: PinDirectory) -> CheckItem {
        let path = pins.isInstalled ? pins.path : "/sys/fs/bpf"
        return BPFSystem.isBPFFS(path)
            ? CheckItem("bpf file system", .ok, path)
            : CheckItem(
                "bpf file system", .warn, "none is mounted at \(path)",
                advice: "weftd mounts it when it starts; or 'mount -t bpf bpf \(path)'")
    }

    private static var cgroups: CheckItem {
        guard let root = CgroupRoot.find() else {
            return CheckItem(
                "cgroup v2", .fail, "no cgroup2 file system is mounted",
                advice:
                    "'mount -t cgroup2 none /sys/fs/cgroup/unified', or boot with systemd.unified_cgroup_hierarchy=1")
        }
        return CheckItem("cgroup v2", .ok, root)
    }

    /// What is missing in the kernel; one line if nothing is.
    private static var features: [CheckItem] {
        // Without privileges every probe fails.
        guard geteuid() == 0 else { return [] }
        let features = KernelFeatures.probe().all
        let present = features.filter(\.isPresent)
        let state: CheckItem.State = present.count == features.count ? .ok : .warn
        return [
            CheckItem(
                "kernel features", state, "\(present.count) of \(features.count)", advice: "what is missing follows")
        ]
            + features.filter { !$0.isPresent }.map { feature in
                CheckItem(
                    "kernel: \(feature.name)", feature.isRequired ? .fail : .warn,
                    "missing; it is for \(feature.purpose)",
                    advice: feature.isRequired ? "a newer kernel is needed" : "the rest works without it")
            }
    }

    private static var compiler: CheckItem {
        let path = "/proc/sys/net/core/bpf_jit_enable"
        // Kernels with CONFIG_BPF_JIT_ALWAYS_ON have no interpreter; reading needs root.
        guard let setting = readText(path)?.prefix(1), setting == "0" else {
            return CheckItem("JIT compiler", .ok, "on")
        }
        return CheckItem(
            "JIT compiler", .warn, "off: programs are interpreted, which is several times slower",
            advice: "'sysctl net.core.bpf_jit_enable=1'")
    }

    private static var lockedMemory: CheckItem {
        var limit = rlimit()
        guard unsafe getrlimit(CInt(__RLIMIT_MEMLOCK.rawValue), &limit) == 0 else {
            return CheckItem("locked memory", .warn, "its limit is unknown")
        }
        let text = limit.rlim_cur == rlim_t.max ? "unlimited" : formatBytes(UInt64(limit.rlim_cur))
        return CheckItem("locked memory", .ok, "limit \(text); weftd lifts it for kernels that charge maps to it")
    }
}
