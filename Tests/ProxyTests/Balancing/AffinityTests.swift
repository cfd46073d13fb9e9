import Mesh
import Testing

@testable import Proxy

@Suite("Balancing: affinity")
struct AffinityTests {
    static let algorithms: [HTTPBalancer.Algorithm] = [.maglev, .ringHash(minimumSize: 1024)]

    private static func homes(_ cluster: TestCluster, keys: Int = 5000) -> [UInt16] {
        (0..<keys).map { key in
            cluster.pick { $0.hash = RandomBits.hash(of: key) }.map { cluster.endpoints[$0].config.port } ?? 0
        }
    }

    @Test(arguments: algorithms)
    func aKeyAlwaysFindsTheSameEndpoint(_ algorithm: HTTPBalancer.Algorithm) {
        let cluster = TestCluster(.test(endpoints: 10) { $0.balancer.algorithm = algorithm })
        let homes = Self.homes(cluster)
        #expect(Self.homes(cluster) == homes)
        // On another node, too.
        #expect(Self.homes(TestCluster(.test(endpoints: 10) { $0.balancer.algorithm = algorithm })) == homes)
        for place in 0..<10 as Range<UInt16> {
            let share = homes.count { $0 == 1000 + place }
            // The table's own unevenness on top of chance.
            #expect(share > 300 && share < 750, "endpoint \(place): \(share) of 5000")
        }
    }

    @Test(arguments: algorithms)
    func onlyTheKeysOfALostEndpointMoveAndTheyMoveBack(_ algorithm: HTTPBalancer.Algorithm) {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 100
        let cluster = TestCluster(
            .test(endpoints: 10) {
                $0.balancer.algorithm = algorithm
                $0.outlier = detection
            })
        cluster.set.tick(now: cluster.now)
        let before = Self.homes(cluster)
        cluster.serve(4, status: 500, times: 5)
        let during = Self.homes(cluster)
        #expect(zip(before, during).allSatisfy { $0 == $1 || $0 == 1004 })
        #expect(!during.contains(1004))
        // Those that moved are spread over all the others.
        let moved = Set(zip(before, during).filter { $0.0 == 1004 }.map(\.1))
        #expect(moved.count == 9)
        cluster.now += 30 * second
        cluster.set.tick(now: cluster.now)
        #expect(Self.homes(cluster) == before)
    }

    @Test(arguments: algorithms)
    func anEndpointMoreMovesOnlyItsShare(_ algorithm: HTTPBalancer.Algorithm) {
        let ten = Self.homes(TestCluster(.test(endpoints: 10) { $0.balancer.algorithm = algorithm }))
        let eleven = Self.homes(TestCluster(.test(endpoints: 11) { $0.balancer.algorithm = algorithm }))
        let moved = zip(ten, eleven).count { $0 != $1 }
        // A ninth at best; Maglev moves a few others besides.
        #expect(moved < 5000 * 2 / 11)
    }

    @Test(arguments: algorithms)
    func retriesStayWithTheHash(_ algorithm: HTTPBalancer.Algorithm) {
        let cluster = TestCluster(.test(endpoints: 5) { $0.balancer.algorithm = algorithm })
        let home = cluster.pick { $0.hash = 42 }
        var tried = TriedEndpoints()
        tried.insert(EndpointIndex(UInt16(home ?? 0)))
        #expect(
            cluster.pick {
                $0.hash = 42; $0.excluded = tried
            } == home)
    }

    @Test(arguments: algorithms)
    func findsTheLastEndpointThatCanBeUsed(_ algorithm: HTTPBalancer.Algorithm) {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 100
        let cluster = TestCluster(
            .test(endpoints: 100) {
                $0.balancer.algorithm = algorithm
                $0.outlier = detection
            })
        for place in 0..<98 { cluster.serve(place, status: 500, times: 5) }
        let homes = Set(Self.homes(cluster, keys: 300))
        #expect(homes == [1098, 1099])
    }

    // MARK: - Sessions

    @Test func aSessionStaysWithItsEndpoint() {
        let cluster = TestCluster(.test(endpoints: 5))
        let session = cluster.endpoints[3].sessionID
        #expect(cluster.shares(of: 100) { $0.sessionID = session } == [0, 0, 0, 100, 0])
        // Nobody's session is anybody's choice.
        #expect(cluster.shares(of: 1000) { $0.sessionID = 12345 }.allSatisfy { $0 > 100 })
        #expect(Set(cluster.endpoints.map(\.sessionID)).count == 5)
    }

    @Test func aSessionOutlivesADrainButNotARemoval() {
        let cluster = TestCluster(.test(endpoints: 5))
        let session = cluster.endpoints[3].sessionID
        cluster.set.clusters[0].setDraining(
            true, address: cluster.endpoints[3].config.address, port: cluster.endpoints[3].config.port)
        #expect(cluster.shares(of: 100)[3] == 0)
        #expect(cluster.shares(of: 100) { $0.sessionID = session }[3] == 100)
        cluster.replace(.test(endpoints: [0, 1, 2, 4].map { .numbered($0) }))
        let shares = cluster.shares(of: 1000) { $0.sessionID = session }
        #expect(shares.allSatisfy { $0 > 100 })
        cluster.replace(.test(endpoints: 5))
        #expect(cluster.endpoints[3].sessionID == session, "it names a place, not a process")
    }

    @Test func aSessionIsNotServedByAnEjectedEndpoint() {
        var detection = OutlierDetection()
        detection.maxEjectionPercent = 100
        let cluster = TestCluster(.test(endpoints: 3) { $0.outlier = detection })
        let session = cluster.endpoints[1].sessionID
        cluster.serve(1, status: 500, times: 5)
        #expect(cluster.shares(of: 100) { $0.sessionID = session }[1] == 0)
    }
}

extension RandomBits {
    /// A hash as of a key with this number.
    static func hash(of key: Int) -> UInt64 {
        var bits = RandomBits(seed: UInt64(key))
        return bits.next()
    }
}

@Suite("Hashing")
struct HashingTests {
    /// Of the specification's reference implementation.
    static let vectors: [(String, UInt64, UInt64)] = [
        ("", 0, 0xef46_db37_51d8_e999), ("a", 0, 0xd24e_c4f1_a98c_6e5b), ("abc", 0, 0x44bc_2cf5_ad77_0999),
        ("xxhash", 0, 0x32dd_3895_2c4b_c720), ("xxhash", 20_141_025, 0xb559_b98d_844e_0635),
        ("Call me Ishmael. Some years ago--never mind how long precisely-", 0, 0x02a2_e854_70d6_fd96),
    ]

    @Test(arguments: vectors)
    func hashesAsSpecified(text: String, seed: UInt64, hash: UInt64) {
        #expect(unsafe xxHash64(Array(text.utf8).span.bytes, seed: seed) == hash)
    }
}
