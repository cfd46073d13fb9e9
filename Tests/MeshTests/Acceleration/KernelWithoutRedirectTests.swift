import Foundation
import Testing

extension NodeTests {
    /// The kernel that runs the tests has everything: the agent's C library says for it that it does not.
    @Suite("A kernel on which nothing can go from socket to socket")
    struct KernelWithoutRedirectTests {
        /// bpf(2) without some programs.
        private static let library = """
            #define _GNU_SOURCE
            #include <dlfcn.h>
            #include <errno.h>
            #include <linux/bpf.h>
            #include <stdarg.h>
            #include <sys/syscall.h>

            long syscall(long number, ...)
            {
                long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
                long a[6];
                va_list list;

                va_start(list, number);
                for (int i = 0; i < 6; i++)
                    a[i] = va_arg(list, long);
                va_end(list);
                if (number == SYS_bpf) {
                    const union bpf_attr *attr = (const union bpf_attr *)a[1];
                    int program = (int)a[0] == BPF_PROG_LOAD ? (int)attr->prog_type : -1;

                    if (LACKS) {
                        errno = EINVAL;
                        return -1;
                    }
                }
                return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
            }
            """

        private static let programs = "program == BPF_PROG_TYPE_SK_MSG"
        /// The probe's program is taken, the lane's is not.
        private static let realPrograms = "\(programs) && attr->insn_cnt > 2"

        @Test(
            "The agent starts, says why nothing is accelerated, and everything goes by TCP",
            arguments: [
                (programs, "this kernel has no sk_msg programs"),
                (realPrograms, "this kernel does not take its programs"),
            ])
        func starts(lacks: String, reason: String) throws {
            try Host.require([("cc", "gcc"), ("curl", "curl")])
            try Sandbox.run { sandbox in
                let library = "\(sandbox.directory)/lacks.so"
                try Self.library.write(toFile: "\(library).c", atomically: false, encoding: .utf8)
                try sandbox.check(["cc", "-shared", "-fPIC", "-DLACKS=\(lacks)", "-o", library, "\(library).c"])
                for name in ["server", "client"] { try sandbox.makeCgroup(name) }
                let address = sandbox.address(1)
                let node = try Node(sandbox)
                try node.start(
                    Manifest.file(
                        Manifest.selecting("web", address: AcceleratedMesh.web, app: "server"),
                        Manifest.workload(
                            "server", cgroup: sandbox.cgroupPath("server"), addresses: [address],
                            port: AcceleratedMesh.port, isAccelerated: true),
                        Manifest.workload(
                            "client", cgroup: sandbox.cgroupPath("client"), addresses: [], port: nil,
                            isAccelerated: true)),
                    ["--acceleration", "opted-in"], environment: ["LD_PRELOAD": library])

                #expect(node.agentLog.contains("the accelerated lane stays off"), "\(node.agentLog)")
                #expect(node.agentLog.contains(reason), "\(node.agentLog)")
                // Somebody wants the lane, so the node is not as it should be.
                let check = try node.weft("check", "-o", "json")
                #expect(check.status == 1, "\(check.errors)")
                let lane = try JSON(check.output).array.first { $0["check"].string == "accelerated lane" }
                #expect(lane?["state"].string == "warn")
                #expect(lane?["finding"].string?.hasPrefix("off: \(reason)") == true, "\(String(describing: lane))")

                try sandbox.serve(["web,tcp,\(address),\(AcceleratedMesh.port)"], in: "server")
                let attempt = try sandbox.connect(AcceleratedMesh.web, 80, in: "client")
                #expect(attempt.server == "web")
                try node.waitForMetrics("the connection is counted in the kernel lane") {
                    $0.sum("weft_connections_total", ["lane": "kernel", "result": "opened"]) >= 1
                }
            }
        }
    }
}
