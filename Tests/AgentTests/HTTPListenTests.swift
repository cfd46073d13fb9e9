import CLinux
import Glibc
import Testing

@testable import Agent

@Suite struct HTTPListenTests {
    private func get(_ address: HTTPListenAddress) throws -> String {
        let client = try RawClient(to: address)
        client.send("GET / HTTP/1.0\r\n\r\n")
        return client.receiveAll()
    }

    private func temporaryPath() -> String { "/tmp/weft-test-\(getpid())-\(UInt64.random(in: 0 ... .max)).sock" }

    @Test func addressesAreReadAndWritten() throws {
        #expect(try HTTPListenAddress("127.0.0.1:15000") == .ip("127.0.0.1", port: 15000))
        #expect(try HTTPListenAddress("[::1]:15000") == .ip("::1", port: 15000))
        #expect(try HTTPListenAddress(":15020") == .ip("::", port: 15020))
        #expect(try HTTPListenAddress("unix:/run/x.sock") == .unix(path: "/run/x.sock"))
        #expect(try HTTPListenAddress("/run/x.sock") == .unix(path: "/run/x.sock"))
        #expect(HTTPListenAddress.ip("::1", port: 1).description == "[::1]:1")
    }

    @Test(arguments: ["", "x", "localhost:80", "1.2.3.4", "1.2.3.4:99999", "::1:80", "unix:relative", "256.0.0.1:80"])
    func addressesThatAreNoneAreRefused(text: String) {
        #expect(throws: HTTPListenAddress.Invalid.self) { try HTTPListenAddress(text) }
    }

    @Test func ipv6IsServed() throws {
        let server = try HTTPTestServer(on: .ip("::1", port: 0))
        defer { server.stop() }
        #expect(try get(server.address).hasSuffix("hello\n"))
    }

    @Test func aUnixSocketIsForItsOwnerAndGoesWithTheServer() throws {
        let path = temporaryPath()
        let server = try HTTPTestServer(on: .unix(path: path))
        #expect(try get(server.address).hasSuffix("hello\n"))
        var status = stat()
        #expect(unsafe lstat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        server.stop()
        #expect(unsafe access(path, F_OK) != 0)
    }

    @Test func aSocketThatWasLeftBehindIsReplaced() throws {
        let path = temporaryPath()
        guard let (found, length) = HTTPListenAddress.unix(path: path).socketAddress() else { return }
        var storage = found
        let stale = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0)
        let bound = unsafe withUnsafePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(stale, $0, length) }
        }
        #expect(bound == 0)
        close(stale)
        let server = try HTTPTestServer(on: .unix(path: path))
        defer { server.stop() }
        #expect(try get(server.address).hasSuffix("hello\n"))
    }

    @Test func aSocketInUseAndAFileThatIsNoSocketAreLeftAlone() throws {
        let path = temporaryPath()
        let server = try HTTPTestServer(on: .unix(path: path))
        defer { server.stop() }
        #expect(throws: SystemError.self) { _ = try HTTPTestServer(on: .unix(path: path)) }
        #expect(try get(server.address).hasSuffix("hello\n"))

        let file = temporaryPath()
        let descriptor = unsafe open(file, O_CREAT | O_WRONLY, 0o600)
        defer {
            close(descriptor)
            _ = unsafe unlink(file)
        }
        let error = #expect(throws: SystemError.self) { _ = try HTTPTestServer(on: .unix(path: file)) }
        #expect(error?.description.contains("not a socket") == true)
        #expect(unsafe access(file, F_OK) == 0)
    }

    @Test func anAddressInUseIsAnErrorThatNamesIt() throws {
        let server = try HTTPTestServer()
        defer { server.stop() }
        let error = #expect(throws: SystemError.self) { _ = try HTTPTestServer(on: server.address) }
        #expect(error?.description == "listen on \(server.address): Address already in use")
    }
}
