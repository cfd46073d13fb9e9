import Foundation
import Testing

extension NodeTests {
    /// Software that nobody here wrote, unchanged, between workloads that opted in. What can be accelerated is; what cannot
    /// is found out and left to TCP. Either way every byte arrives.
    @Suite("Real applications on the accelerated lane")
    struct ApplicationMatrixTests {
        private static let small = Host.isLong ? 2000 : 200
        private static let megabytes = Host.isLong ? 200 : 12

        /// - Parameter splices: whether a program in `middle` reads with splice(2), which does not see what is redirected: it
        ///   is its certificate that keeps it with TCP.
        /// - Parameter isCertified: whether opting in is not enough.
        /// - Parameter plain: workloads that do not opt in.
        private func run(
            splices: Bool = false, isCertified: Bool = false, plain: Set<String> = [],
            _ body: (AcceleratedMesh, (path: String, digest: String)) throws -> Void
        ) throws {
            try AcceleratedMesh.run(
                capBytes: 256 * 1024, needsCertificates: splices || isCertified, plain: plain
            ) { mesh in
                try body(mesh, mesh.sandbox.makeFile(megabytes: Self.megabytes))
                guard splices else { return }
                #expect(try mesh.counted(to: "middle").redirectedBytes == 0)
                #expect(try mesh.counted(from: "middle").redirectedBytes == 0)
            }
        }

        /// Gets a file of nginx's and puts one there with curl, and asks for much that is small with wrk.
        private func useNginx(
            _ mesh: AcceleratedMesh, _ file: (path: String, digest: String), at address: String
        ) throws {
            let (sandbox, copy) = (mesh.sandbox, "\(mesh.sandbox.directory)/copy")
            func curl(_ arguments: [String]) throws {
                let result = try sandbox.run(["curl", "-sSf", "-m", "60"] + arguments, in: "client", timeout: 90)
                #expect(result.succeeded, "curl \(arguments): \(result.errors)")
            }
            try curl(["-o", copy, "http://\(address)/file"])
            #expect(try sandbox.digest(copy) == file.digest, "what came is not the file")
            try curl(["-T", file.path, "http://\(address)/up/file"])
            #expect(
                try sandbox.digest("\(sandbox.directory)/up/file") == file.digest, "what arrived is not the file")
            let wrk = try sandbox.run(
                ["wrk", "-t1", "-c20", "-d", Host.isLong ? "20" : "1", "http://\(address)/medium"], in: "client")
            #expect(
                wrk.succeeded && !wrk.output.contains("Socket errors") && !wrk.output.contains("Non-2xx"),
                "\(wrk.output)")
        }

        /// nginx waits for edges and asks FIONREAD whether to read on, which counts only one kind of a member's bytes on most
        /// kernels: it is its certificate that decides.
        @Test("nginx, with sendfile and without, asked by curl and wrk", arguments: [true, false])
        func nginx(sendfile: Bool) throws {
            try run(isCertified: true) { mesh, file in
                try mesh.sandbox.startNginx(mesh.serverAddress, sendfile: sendfile)
                try useNginx(mesh, file, at: AcceleratedMesh.web)
            }
        }

        @Test(
            "HAProxy between curl, wrk and nginx, by the connection and by the request, with splice-auto and without",
            arguments: ["tcp", "http"], [true, false])
        func haproxy(mode: String, splices: Bool) throws {
            try run(splices: splices, plain: ["server"]) { mesh, file in
                try mesh.sandbox.startNginx(mesh.serverAddress, sendfile: true)
                try mesh.sandbox.startHAProxy(mesh, mode: mode, splices: splices)
                try useNginx(mesh, file, at: AcceleratedMesh.middle)
            }
        }

        @Test("Envoy between curl, wrk and nginx")
        func envoy() throws {
            try run(plain: ["server"]) { mesh, file in
                try mesh.sandbox.startNginx(mesh.serverAddress, sendfile: true)
                try mesh.sandbox.startEnvoy(mesh)
                try useNginx(mesh, file, at: AcceleratedMesh.middle)
            }
        }

        @Test("Redis: redis-benchmark with pipelining, and a large value both ways with redis-cli")
        func redis() throws {
            try run { mesh, file in
                let sandbox = mesh.sandbox
                try Host.require([
                    ("redis-server", "redis-server"), ("redis-benchmark", "redis-tools"), ("redis-cli", "redis-tools"),
                ])
                _ = try sandbox.start(
                    [
                        "redis-server", "--port", "\(AcceleratedMesh.port)", "--bind", mesh.serverAddress, "--save", "",
                        "--dir", sandbox.directory, "--protected-mode", "no",
                    ], in: "server")
                try sandbox.waitForServer(mesh.serverAddress)
                for pipeline in ["1", "64"] {
                    let benchmark = try sandbox.run(
                        [
                            "redis-benchmark", "-h", AcceleratedMesh.web, "-p", "80", "-q", "-n",
                            Host.isLong ? "1000000" : "20000", "-c", "20", "-d", "1000", "-P", pipeline, "-t",
                            "set,get,lpush,lrange_100",
                        ], in: "client", timeout: 120)
                    #expect(benchmark.succeeded && benchmark.output.contains("LRANGE_100"), "\(benchmark.output)")
                    #expect(benchmark.errors == "" && !benchmark.output.contains("rror"), "\(benchmark.errors)")
                }
                let script = """
                    set -e
                    redis-cli -h \(AcceleratedMesh.web) -p 80 -x set file < \(file.path) > /dev/null
                    redis-cli -h \(AcceleratedMesh.web) -p 80 get file | head -c \(Self.megabytes << 20) | sha256sum
                    """
                let value = try sandbox.run(["sh", "-c", script], in: "client")
                #expect(value.output.prefix(64) == file.digest, "\(value.errors)")
                #expect(try mesh.counted(from: "client", to: "server").redirectedBytes > 0)
            }
        }

        @Test("PostgreSQL: pgbench, and a table both ways with psql")
        func postgreSQL() throws {
            try run { mesh, _ in
                let sandbox = mesh.sandbox
                try Host.require([("pgbench", "postgresql"), ("psql", "postgresql"), ("setpriv", "util-linux")])
                let programs = try postgreSQLPrograms()
                let user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
                let data = "\(sandbox.directory)/postgres"
                try sandbox.check(["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "700", data])
                try sandbox.check(
                    user + [
                        "\(programs)/initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "--no-locale",
                    ])
                _ = try sandbox.start(
                    user + [
                        "\(programs)/postgres", "-D", data, "-h", mesh.serverAddress, "-p", "\(AcceleratedMesh.port)",
                        "-k", "", "-c", "fsync=off",
                    ], in: "server")
                try sandbox.waitForServer(mesh.serverAddress)
                let environment = ["PGHOST": AcceleratedMesh.web, "PGPORT": "80", "PGUSER": "postgres"]
                func run(_ arguments: String...) throws -> Command.Result {
                    let result = try sandbox.run(
                        arguments, in: "client", timeout: 120, environment: environment)
                    #expect(result.succeeded, "\(arguments): \(result.output)\(result.errors)")
                    return result
                }
                _ = try run("pgbench", "-q", "-i", "-s", "1", "postgres")
                for extra in ["simple", "prepared"] {
                    let bench = try run(
                        "pgbench", "-c", "8", "-T", Host.isLong ? "20" : "1", "-M", extra, "postgres")
                    #expect(bench.output.contains("failed transactions: 0"), "\(bench.output)")
                }
                let (text, copy) = ("\(sandbox.directory)/text", "\(sandbox.directory)/text.copy")
                try sandbox.check([
                    "sh", "-c",
                    "base64 -w 1000 \(sandbox.directory)/file > \(text) && touch \(copy) && chmod 666 \(copy)",
                ])
                _ = try run("psql", "-q", "-c", "create table lines (number bigserial, line text)")
                _ = try run("psql", "-q", "-c", "\\copy lines(line) from \(text)")
                _ = try run("psql", "-q", "-c", "\\copy (select line from lines order by number) to \(copy)")
                #expect(try sandbox.digest(text) == sandbox.digest(copy), "the table is not the file")
                #expect(try mesh.counted(from: "client", to: "server").redirectedBytes > 0)
            }
        }

        /// The directory of initdb and postgres, which Debian keeps out of the PATH.
        private func postgreSQLPrograms() throws -> String {
            let root = "/usr/lib/postgresql"
            let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
            guard let newest = versions.compactMap({ Int($0) }).max() else {
                throw TestFailure("this test needs PostgreSQL's server: apt-get install postgresql")
            }
            return "\(root)/\(newest)/bin"
        }

        @Test("memcached: values of many sizes, many requests at a time", arguments: ["asyncio", "blocking"])
        func memcached(kind: String) throws {
            try run { mesh, _ in
                let sandbox = mesh.sandbox
                try Host.require([("memcached", "memcached")])
                _ = try sandbox.start(
                    [
                        "memcached", "-u", "root", "-l", mesh.serverAddress, "-p", "\(AcceleratedMesh.port)", "-U", "0",
                        "-t",
                        "1", "-m", "256",
                    ], in: "server")
                try sandbox.waitForServer(mesh.serverAddress)
                let client = try sandbox.run(
                    [
                        Host.python, Host.script("transfer/memcached.py"), kind, AcceleratedMesh.web, "80",
                        Host.isLong ? "20000" : "1000",
                    ], in: "client", timeout: 120)
                #expect(client.output == "same\n", "\(client.output)\(client.errors)")
            }
        }

        @Test("Python with asyncio and with sockets that block, Go's net/http, and a JVM, each with itself and another")
        func transfers() throws {
            try run { mesh, file in
                let pairs: [(Transfer, [Transfer])] = [
                    (.asyncio, [.asyncio, .go]), (.go, [.go, .blocking]), (.java, [.java, .asyncio]),
                    (.blocking, [.blocking, .java]),
                ]
                for (kind, clients) in pairs {
                    let server = try kind.serve(mesh.sandbox, mesh.serverAddress, file: file.path)
                    for client in clients {
                        try client.fetch(mesh.sandbox, AcceleratedMesh.web, file: file.path, small: Self.small)
                    }
                    server.stop()
                }
                #expect(try mesh.counted(from: "client", to: "server").redirectedBytes > 0)
            }
        }

        @Test("Go's io.Copy between connections, which splices", arguments: [Transfer.asyncio, .go])
        func relay(client: Transfer) throws {
            try run(splices: true) { mesh, file in
                let sandbox = mesh.sandbox
                _ = try Transfer.go.serve(sandbox, mesh.serverAddress, file: file.path)
                let relay = try sandbox.start(
                    [
                        Transfer.goProgram(sandbox), "relay", "\(mesh.middleAddress):\(AcceleratedMesh.port)",
                        "\(AcceleratedMesh.web):80",
                    ], in: "middle")
                try relay.waitForOutput("listening") { $0.contains("ready\n") }
                try client.fetch(sandbox, AcceleratedMesh.middle, file: file.path, small: Self.small)
            }
        }
    }
}
