import Mesh
import Testing

@testable import ConfigSources

@Suite("Application protocol of a service's port")
struct ApplicationProtocolTests {
    @Test(
        "by appProtocol, by the name, by a number that is known",
        arguments: [
            ("{ port: 80 }", ApplicationProtocol.undeclared), ("{ port: 80, name: web }", .undeclared),
            ("{ port: 80, name: http }", .http), ("{ port: 80, name: http-admin }", .http),
            ("{ port: 80, name: http2 }", .http2), ("{ port: 80, name: grpc-web }", .http2),
            ("{ port: 80, name: tcp-echo }", .opaque), ("{ port: 80, name: redis }", .opaque),
            ("{ port: 80, name: mysql-main }", .opaque), ("{ port: 443, name: https }", .tls),
            ("{ port: 80, name: tls-a }", .tls), ("{ port: 80, appProtocol: http }", .http),
            ("{ port: 80, appProtocol: kubernetes.io/h2c }", .http2),
            ("{ port: 80, appProtocol: kubernetes.io/ws }", .http),
            ("{ port: 80, appProtocol: HTTPS }", .tls), ("{ port: 80, appProtocol: tcp, name: http }", .opaque),
            ("{ port: 80, appProtocol: http, name: tcp-a }", .http),
            ("{ port: 80, appProtocol: example.com/own, name: http }", .http),
            ("{ port: 80, appProtocol: linkerd.io/opaque }", .opaque), ("{ port: 3306 }", .opaque),
            ("{ port: 3306, name: http }", .http), ("{ port: 5432, name: db }", .opaque),
        ])
    func declared(_ port: String, _ expected: ApplicationProtocol) throws {
        let service = try snapshot(HTTPMesh.service("a", ip: 1, ports: "[\(port)]")).service("shop", "a")
        #expect(service.ports.map(\.application) == [expected])
    }
}
