import Foundation

/// Servers and clients that nobody here wrote, or that are written as such are, in the workloads of an `AcceleratedMesh`.
extension Sandbox {
    /// A file of random bytes, what the others move, and its digest.
    func makeFile(_ name: String = "file", megabytes: Int) throws -> (path: String, digest: String) {
        let path = "\(directory)/\(name)"
        try check(["dd", "if=/dev/urandom", "of=\(path)", "bs=1M", "count=\(megabytes)", "status=none"])
        return (path, try digest(path))
    }

    func digest(_ path: String) throws -> String { String(try check(["sha256sum", path]).prefix(64)) }

    /// nginx that has the sandbox's files, takes others at /up/ by PUT, and has a short answer at /small.
    func startNginx(_ address: String, sendfile: Bool, in workload: String = "server") throws {
        try Host.require([("nginx", "nginx-light")])
        try FileManager.default.createDirectory(atPath: "\(directory)/up", withIntermediateDirectories: true)
        try Data(repeating: 0x78, count: 20_000).write(to: URL(filePath: "\(directory)/medium"))
        try """
        daemon off; worker_processes 1; pid \(directory)/nginx.pid; error_log stderr crit; user root;
        events {}
        http { access_log off; sendfile \(sendfile ? "on" : "off"); keepalive_requests 1000000; client_max_body_size 0;
          client_body_temp_path \(directory)/up; proxy_temp_path \(directory); fastcgi_temp_path \(directory);
          uwsgi_temp_path \(directory); scgi_temp_path \(directory);
          server { listen \(address):\(AcceleratedMesh.port) backlog=1024; root \(directory);
            location /small { return 200 "small"; } location /up/ { dav_methods PUT; } } }
        """.write(toFile: "\(directory)/nginx.conf", atomically: false, encoding: .utf8)
        _ = try start(["nginx", "-p", directory, "-e", "stderr", "-c", "\(directory)/nginx.conf"], in: workload)
        try waitForServer(address)
    }

    /// HAProxy in `middle`, in front of `web`: by the connection, or by the request.
    func startHAProxy(_ mesh: AcceleratedMesh, mode: String, splices: Bool) throws {
        try Host.require([("haproxy", "haproxy")])
        try """
        global
          maxconn 1000
          nbthread 1
        listen middle
          mode \(mode)
          timeout connect 10s
          timeout client 60s
          timeout server 60s
          \(splices ? "option splice-auto" : "no option splice-auto")
          bind \(mesh.middleAddress):\(AcceleratedMesh.port)
          server web \(AcceleratedMesh.web):80

        """.write(toFile: "\(directory)/haproxy.cfg", atomically: false, encoding: .utf8)
        _ = try start(["haproxy", "-db", "-f", "\(directory)/haproxy.cfg"], in: "middle")
        try waitForServer(mesh.middleAddress)
    }

    /// Envoy in `middle`, in front of `web`.
    func startEnvoy(_ mesh: AcceleratedMesh) throws {
        try """
        static_resources:
          listeners:
          - address: { socket_address: { address: \(mesh.middleAddress), port_value: \(AcceleratedMesh.port) } }
            filter_chains:
            - filters:
              - name: envoy.filters.network.http_connection_manager
                typed_config:
                  "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                  stat_prefix: in
                  route_config:
                    virtual_hosts:
                    - { name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: web, timeout: 60s } }] }
                  http_filters:
                  - name: router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          clusters:
          - name: web
            type: STATIC
            load_assignment:
              cluster_name: web
              endpoints:
              - lb_endpoints:
                - endpoint: { address: { socket_address: { address: \(AcceleratedMesh.web), port_value: 80 } } }

        """.write(toFile: "\(directory)/envoy.yaml", atomically: false, encoding: .utf8)
        _ = try start(
            [
                Host.envoy(), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c",
                "\(directory)/envoy.yaml",
            ], in: "middle")
        try waitForServer(mesh.middleAddress)
    }

    /// Waits until something listens there. It is asked from outside of the workloads.
    func waitForServer(_ address: String, port: Int = AcceleratedMesh.port, within seconds: Double = 20) throws {
        try eventually("\(address):\(port) listens", within: seconds) {
            try run(["ss", "-Hltn", "src", "\(address):\(port)"]).output.contains("LISTEN")
        }
    }
}

/// The programs of Scripts/transfer, which move a file both ways and compare it.
enum Transfer: String {
    case asyncio, blocking, go, java

    private func command(_ sandbox: Sandbox, _ role: String, _ address: String, _ port: Int) throws -> [String] {
        let directory = Host.script("transfer")
        switch self {
        case .asyncio, .blocking:
            return [Host.python, "\(directory)/transfer.py", rawValue, role, address, "\(port)"]
        case .go: return [try Self.goProgram(sandbox), role, "\(address):\(port)"]
        case .java: return ["java", "\(directory)/Transfer.java", role, address, "\(port)"]
        }
    }

    /// Starts a server of `file`, and waits until it listens. `stop()` it before the next one.
    func serve(
        _ sandbox: Sandbox, _ address: String, file: String, in workload: String = "server"
    ) throws -> Command {
        let server = try sandbox.start(
            command(sandbox, "serve", address, AcceleratedMesh.port) + [file], in: workload)
        try server.waitForOutput("listening", within: 30) { $0.contains("ready\n") }
        return server
    }

    /// Gets and puts the file after `small` short requests.
    func fetch(_ sandbox: Sandbox, _ address: String, file: String, small: Int, in workload: String = "client") throws {
        let result = try sandbox.run(
            command(sandbox, "fetch", address, 80) + [file, "\(small)"], in: workload, timeout: 60)
        guard result.succeeded, result.output == "same\n" else {
            throw TestFailure("\(self) through \(address): \(result.output)\(result.errors)")
        }
    }

    /// The Go program, built in the sandbox.
    static func goProgram(_ sandbox: Sandbox) throws -> String {
        try Host.require([("go", "golang-go")])
        let program = "\(sandbox.directory)/transfer"
        guard !FileManager.default.fileExists(atPath: program) else { return program }
        let result = try sandbox.run(
            ["go", "build", "-o", program, Host.script("transfer/transfer.go")], timeout: 120,
            environment: ["GOCACHE": "\(sandbox.directory)/go", "GO111MODULE": "off", "GOFLAGS": ""])
        guard result.succeeded else { throw TestFailure("transfer.go does not compile: \(result.errors)") }
        return program
    }
}
