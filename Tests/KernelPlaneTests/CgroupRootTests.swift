import Testing

@testable import KernelPlane

struct CgroupRootTests {
    @Test func findsTheMountWhereverItIs() {
        let hybrid = """
            25 30 0:23 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
            26 25 0:24 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate
            27 25 0:25 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
            """
        #expect(CgroupRoot.parse(mountinfo: hybrid) == "/sys/fs/cgroup/unified")
        #expect(CgroupRoot.parse(mountinfo: "26 25 0:24 / /a\\040b rw - cgroup2 none rw") == "/a b")
    }

    @Test func passesOverOtherMountsAndSubtrees() {
        #expect(CgroupRoot.parse(mountinfo: "27 25 0:25 / /sys/fs/cgroup rw - cgroup cgroup rw,cpu") == nil)
        // A bind mount of a part of the hierarchy is not its root.
        #expect(CgroupRoot.parse(mountinfo: "27 25 0:25 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw") == nil)
        #expect(CgroupRoot.parse(mountinfo: "garbage\n\n- -\n") == nil)
    }
}
