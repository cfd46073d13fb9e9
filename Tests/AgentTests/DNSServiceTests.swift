import CLinux
import DNS
import Glibc
import Mesh
import Testing

@testable import Agent

/// The name server against resolvers that answer too little, too much, or wrongly.
@Suite struct DNSServiceTests {
    private func serve(
        _ upstreams: [DNSUpstream], _ body: (DNSService) throws -> Void
    ) throws {
        let service = try DNSService(listen: .ip("127.0.0.1", port: 0), upstreams: upstreams)
        defer { service.stop() }
        try body(service)
    }

    /// Asks once over UDP: the code, and the address if there is one.
    private func ask(_ service: DNSService, _ query: [UInt8]) throws -> (
        code: UInt16, address: [UInt8], seconds: Double
    )? {
        let client = try NameClient(service.address)
        defer { client.close() }
        let started = Reactor.now()
        client.send(query)
        guard let bytes = client.receiveBytes(), let message = try? DNSMessage(bytes) else { return nil }
        #expect(message.id == 77)
        let address = message.records.first { $0.section == .answer }.map { Array(bytes[$0.data]) }
        return (message.code.rawValue, address ?? [], Double(Reactor.now() - started) / 1e9)
    }

    struct Behaviour: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var expected: [UInt8] = [192, 0, 2, 1]
        var questions = 1
        var stream: ScriptedResolver.Script?
        var script: ScriptedResolver.Script
    }

    static let behaviours: [Behaviour] = [
        Behaviour(testDescription: "an answer") { query, _ in [nameAnswer(query)] },
        Behaviour(testDescription: "a forged id comes first") { query, _ in
            var forged = nameAnswer(query, [6, 6, 6, 6])
            forged[0] ^= 0x55
            return [forged, nameAnswer(query)]
        },
        Behaviour(testDescription: "an answer to another question comes first") { query, _ in
            let other = nameQuery("evil.test", id: UInt16(query[0]) << 8 | UInt16(query[1]))
            return [nameAnswer(other, [6, 6, 6, 6]), nameAnswer(query)]
        },
        Behaviour(testDescription: "the question itself comes back first") { query, _ in [query, nameAnswer(query)] },
        Behaviour(testDescription: "rubbish comes first") { query, _ in
            [[], [1], Array(nameAnswer(query).dropLast()), nameAnswer(query) + [0], nameAnswer(query)]
        },
        Behaviour(testDescription: "the first question is lost", questions: 2) { query, number in
            number == 1 ? [] : [nameAnswer(query)]
        },
        Behaviour(
            testDescription: "the answer is truncated, the whole one comes over TCP",
            stream: { query, _ in [nameAnswer(query)] }
        ) { query, _ in [nameAnswer(query, isTruncated: true)] },
        Behaviour(testDescription: "a server without EDNS", questions: 2) { query, _ in
            query[11] == 1 ? [nameAnswer(query, code: 1)] : [nameAnswer(query)]
        },
        Behaviour(testDescription: "a server without EDNS that says NOTIMP", questions: 2) { query, _ in
            query[11] == 1 ? [nameAnswer(query, code: 4)] : [nameAnswer(query)]
        },
    ]

    @Test(arguments: behaviours) func theRightAnswerIsTaken(_ behaviour: Behaviour) throws {
        let resolver = try ScriptedResolver(stream: behaviour.stream, behaviour.script)
        try serve([resolver.upstream]) { service in
            let answer = try #require(try ask(service, nameQuery("www.example.test")))
            #expect(answer.code == 0)
            #expect(answer.address == behaviour.expected)
            #expect(resolver.questions == behaviour.questions)
            // From the cache: nobody is asked.
            let cached = try ask(service, nameQuery("WWW.example.test"))
            #expect(cached?.address == behaviour.expected)
            #expect(resolver.questions == behaviour.questions)
        }
    }

    static let failures: [Behaviour] = [
        Behaviour(testDescription: "silence", questions: 3) { _, _ in [] },
        Behaviour(testDescription: "server failure", questions: 3) { query, _ in [nameAnswer(query, code: 2)] },
        Behaviour(testDescription: "refusal", questions: 3) { query, _ in [nameAnswer(query, code: 5)] },
        Behaviour(testDescription: "a flood of rubbish", questions: 3) { query, _ in
            (0..<100).map { [UInt8](repeating: UInt8($0), count: $0) }
        },
    ]

    @Test(arguments: failures) func anotherResolverIsAskedAndWithoutOneItFails(_ behaviour: Behaviour) throws {
        let bad = try ScriptedResolver(behaviour.script)
        let good = try ScriptedResolver { query, _ in [nameAnswer(query)] }
        try serve([bad.upstream, good.upstream]) { service in
            let answer = try #require(try ask(service, nameQuery("a.test")))
            #expect(answer.code == 0 && answer.address == [192, 0, 2, 1])
            // The one that answered is asked first from now on.
            let before = bad.questions
            let second = try ask(service, nameQuery("b.test"))
            #expect(second?.code == 0)
            #expect(bad.questions == before)
        }
        try serve([bad.upstream]) { service in
            let before = bad.questions
            let answer = try #require(try ask(service, nameQuery("c.test")))
            #expect(answer.code == (behaviour.testDescription == "refusal" ? 5 : 2))
            #expect(answer.seconds < 6)
            #expect(bad.questions - before == behaviour.questions)
        }
    }

    @Test func aTruncatedAnswerThatCannotBeHadWholeIsPassedOnAsTruncated() throws {
        let resolver = try ScriptedResolver { query, _ in [nameAnswer(query, isTruncated: true)] }
        try serve([resolver.upstream]) { service in
            let client = try NameClient(service.address)
            defer { client.close() }
            client.send(nameQuery("a.test"))
            let message = try #require(client.receive())
            #expect(message.flags.contains(.truncated) && message.records.isEmpty)
        }
    }

    @Test func whereNobodyListensIsNotWaitedFor() throws {
        let gone = try freeDatagramPort()
        let good = try ScriptedResolver { query, _ in [nameAnswer(query)] }
        try serve([gone, good.upstream]) { service in
            let answer = try #require(try ask(service, nameQuery("a.test")))
            #expect(answer.code == 0 && answer.seconds < 1)
        }
    }

    @Test func equalQuestionsAreAskedOnce() throws {
        let resolver = try ScriptedResolver { query, _ in
            usleep(200_000)
            return [nameAnswer(query)]
        }
        try serve([resolver.upstream]) { service in
            let clients = try (0..<30).map { _ in try NameClient(service.address) }
            for client in clients { client.send(nameQuery("a.test")) }
            for client in clients {
                #expect(client.receive()?.code == .noError)
                client.close()
            }
            #expect(resolver.questions == 1)
        }
    }

    @Test func itsOwnAddressIsNoResolver() throws {
        let own = DNSUpstream(address: IPAddress(v4: 127, 0, 0, 53))
        let other = DNSUpstream(address: IPAddress(v4: 10, 0, 0, 1))
        #expect(NodeResolvers(configured: [own, other]) { $0 == own }.servers == [other])
    }

    /// A port that is free for datagrams may be somebody's for streams, or somebody's in the next moment.
    private func servicesThatAskEachOther() throws -> [DNSService] {
        var attemptsLeft = 20
        while true {
            let places = try [freeDatagramPort(), freeDatagramPort()]
            func make(_ index: Int) throws -> DNSService {
                try DNSService(listen: .ip("127.0.0.1", port: places[index].port), upstreams: [places[1 - index]])
            }
            attemptsLeft -= 1
            do {
                let first = try make(0)
                do {
                    return [first, try make(1)]
                } catch {
                    first.stop()
                    throw error
                }
            } catch {
                guard attemptsLeft > 0 else { throw error }
            }
        }
    }

    /// Two name servers that ask each other: the question is asked a bounded number of times, and ends.
    @Test func aQuestionThatGoesInCirclesEnds() throws {
        let services = try servicesThatAskEachOther()
        defer { for service in services { service.stop() } }
        let answer = try #require(try ask(services[0], nameQuery("loop.test")))
        #expect(answer.code == 2)
        #expect(answer.seconds < 6)
        let failed = services.map { $0.statistics.value(.failed) }.reduce(0, +)
        #expect((1...16).contains(failed), "\(failed)")
    }

    @Test func theNodesResolversAreTheFilesAsItIsNow() throws {
        let path = "/tmp/weft-resolv-\(getpid())-\(UInt32.random(in: 0 ... .max)).conf"
        defer { _ = unsafe unlink(path) }
        func write(_ text: String) {
            guard let file = unsafe fopen(path, "w") else { return }
            unsafe fputs(text, file)
            unsafe fclose(file)
        }
        write("nameserver 10.0.0.1\n")
        let resolvers = NodeResolvers(configured: [], path: path) { _ in false }
        #expect(resolvers.refresh(now: 1))
        #expect(resolvers.servers.map(\.description) == ["10.0.0.1:53"])
        write("nameserver 10.0.0.2\nnameserver 10.0.0.3\n")
        // It is looked at once in a second, and only its changes count.
        #expect(!resolvers.refresh(now: 2))
        #expect(resolvers.refresh(now: 2_000_000_000))
        #expect(resolvers.servers.map(\.description) == ["10.0.0.2:53", "10.0.0.3:53"])
        #expect(!resolvers.refresh(now: 4_000_000_000))
        _ = unsafe unlink(path)
        #expect(resolvers.refresh(now: 6_000_000_000))
        #expect(resolvers.servers.isEmpty)
    }

    @Test func manyQuestionsOverOneConnection() throws {
        let resolver = try ScriptedResolver { query, _ in [nameAnswer(query)] }
        try serve([resolver.upstream]) { service in
            let client = try NameClient(service.address, isStream: true)
            defer { client.close() }
            for id in 1...200 as ClosedRange<UInt16> { client.send(nameQuery("n\(id).test", id: id)) }
            var ids: Set<UInt16> = []
            for _ in 0..<200 {
                let message = try #require(client.receive())
                #expect(message.question?.name == DNSName("n\(message.id).test"))
                ids.insert(message.id)
            }
            #expect(ids.count == 200)
        }
    }

    @Test(arguments: [[0, 0], [0, 11] + [UInt8](repeating: 0, count: 11), [0xff, 0xff, 1]] as [[UInt8]])
    func aConnectionWithoutAQuestionIsClosed(bytes: [UInt8]) throws {
        try serve([]) { service in
            let client = try NameClient(service.address, isStream: true)
            defer { client.close() }
            var polled = pollfd(fd: client.descriptor, events: Int16(POLLOUT), revents: 0)
            _ = unsafe poll(&polled, 1, 2000)
            _ = unsafe send(client.descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL))
            polled.events = Int16(POLLIN)
            #expect(unsafe poll(&polled, 1, 5000) == 1)
            var byte: UInt8 = 0
            #expect(unsafe recv(client.descriptor, &byte, 1, 0) <= 0)
        }
    }

    @Test(
        arguments: [
            ("a.test", 252, 5), ("a.test", 251, 5), ("a.test", 41, 5),
        ] as [(String, UInt16, UInt16)])
    func whatIsNotAnsweredIsRefused(name: String, type: UInt16, code: UInt16) throws {
        try serve([]) { service in
            let answer = try ask(service, nameQuery(name, type: type))
            #expect(answer?.code == code)
        }
    }

    @Test func withoutAResolverOnlyTheMeshIsAnswered() throws {
        try serve([]) { service in
            let apex = try ask(service, nameQuery("cluster.local"))
            #expect(apex?.code == 0)
            let nothing = try ask(service, nameQuery("nothing.shop.svc.cluster.local"))
            #expect(nothing?.code == 3)
        }
    }
}
