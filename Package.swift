// swift-tools-version: 6.2

import PackageDescription

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

// Intel's library is for its instruction set alone.
#if arch(x86_64)
    let multiBufferCrypto: [LinkerSetting] = [.linkedLibrary("IPSec_MB")]
#else
    let multiBufferCrypto: [LinkerSetting] = []
#endif

let package = Package(
    name: "weft",
    products: [
        .executable(name: "weftd", targets: ["weftd"]),
        .executable(name: "weft", targets: ["weft"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // C: module maps and shims only.
        .systemLibrary(
            name: "CLibbpf", pkgConfig: "libbpf", providers: [.apt(["libbpf-dev", "libelf-dev", "zlib1g-dev"])]),
        .target(name: "CLinux", cSettings: [.define("_GNU_SOURCE")]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .target(name: "CGCM", cSettings: [.define("_GNU_SOURCE")], linkerSettings: multiBufferCrypto),
        .target(name: "CRE2", linkerSettings: [.linkedLibrary(":libre2.a")]),
        .systemLibrary(name: "WeftABI"),

        // The kernel's side.
        .plugin(name: "CompileBPF", capability: .buildTool(), path: "tools/CompileBPF"),
        .target(name: "BPFImages", plugins: ["CompileBPF"]),
        .target(name: "BPF", dependencies: ["CLibbpf", "CLinux"]),

        // The web page of the admin port.
        .plugin(name: "EmbedDashboard", capability: .buildTool(), path: "tools/EmbedDashboard"),
        .target(name: "Dashboard", exclude: ["Site"], plugins: ["EmbedDashboard"]),

        // What the kernel does with redirected connections.
        .target(name: "Doctor", dependencies: ["BPF", "BPFImages", "CLinux", "WeftABI"]),

        // The model and where it comes from.
        .target(name: "Mesh", dependencies: ["CRE2"]),
        .target(name: "ConfigSources", dependencies: ["Mesh", "CLinux", yams]),

        // Names of the mesh: messages, zone and cache; the agent has the sockets.
        .target(name: "DNS", dependencies: ["Mesh"]),

        // Certificates of workloads: the CA, their renewal, trust bundles.
        .target(name: "Identity", dependencies: ["CLinux", "COpenSSL", "Mesh", logging]),

        // The wire format of Protocol Buffers.
        .target(name: "Protobuf"),

        // The planes.
        // What applications do with their sockets, and whether they may be accelerated.
        .target(
            name: "Certification",
            dependencies: ["BPF", "BPFImages", "CLinux", "COpenSSL", "Identity", "Mesh", "WeftABI"]),
        .target(name: "KernelPlane", dependencies: ["BPF", "BPFImages", "WeftABI", "CLinux", "Mesh", logging]),
        .target(name: "Telemetry", dependencies: ["CLinux", "Protobuf", "Proxy", "WeftABI", logging]),
        .target(
            name: "Proxy",
            dependencies: ["CGCM", "CLinux", "CNGHTTP2", "COpenSSL", "CRE2", "Mesh", "Protobuf", "WeftABI"]),

        // Composition and the executables.
        .target(
            name: "Agent",
            dependencies: [
                "BPF", "CLinux", "CNGHTTP2", "Certification", "ConfigSources", "DNS", "Dashboard", "Doctor",
                "Identity", "KernelPlane", "Mesh", "Protobuf", "Proxy", "Telemetry", "WeftABI", logging,
            ]),
        .executableTarget(
            name: "weftd",
            dependencies: ["Agent", "KernelPlane", "Mesh", "Proxy", "Telemetry", argumentParser, logging]),
        .executableTarget(
            name: "weft",
            dependencies: [
                "BPF", "CLinux", "Certification", "ConfigSources", "Doctor", "Identity", "KernelPlane", "Mesh",
                "Proxy", "Telemetry", "WeftABI", argumentParser, logging,
            ]),

        // Unit tests, unprivileged.
        .testTarget(name: "KernelLogicTests", dependencies: ["KernelPlane", "Mesh", "Proxy", "WeftABI"]),
        .testTarget(name: "MeshModelTests", dependencies: ["Mesh"]),
        .testTarget(name: "ConfigSourcesTests", dependencies: ["ConfigSources", "Mesh", "CLinux"]),
        .testTarget(name: "DNSTests", dependencies: ["DNS", "Mesh"]),
        .testTarget(name: "IdentityTests", dependencies: ["CLinux", "COpenSSL", "Identity", "Mesh", logging]),
        .testTarget(name: "CertificationTests", dependencies: ["Certification", "Mesh", "WeftABI"]),
        .testTarget(name: "DoctorTests", dependencies: ["Doctor"]),
        .testTarget(name: "KernelPlaneTests", dependencies: ["KernelPlane", "Mesh", "WeftABI"]),
        .testTarget(name: "ProtobufTests", dependencies: ["Protobuf"]),
        .testTarget(name: "TelemetryTests", dependencies: ["Protobuf", "Proxy", "Telemetry", "WeftABI", logging]),
        // Counts allocations: linked into tests only.
        .target(name: "CAllocations", path: "Tests/Support/CAllocations", cSettings: [.define("_GNU_SOURCE")]),
        .testTarget(
            name: "ProxyTests", dependencies: ["CAllocations", "CLinux", "COpenSSL", "ConfigSources", "Mesh", "Proxy"]),
        .testTarget(
            name: "AgentTests", dependencies: ["Agent", "CLinux", "Certification", "DNS", "Dashboard", "Mesh"]),
        .testTarget(
            name: "WeftCLITests", dependencies: ["KernelPlane", "Mesh", "WeftABI", "weft", argumentParser]),
        // Real programs on the real kernel: root.
        .testTarget(
            name: "KernelTests",
            dependencies: ["BPF", "BPFImages", "CLinux", "Doctor", "KernelPlane", "Mesh", "WeftABI"]),
        // Whole nodes: root, weftd and weft as processes.
        .testTarget(
            name: "MeshTests", dependencies: ["CLinux", "weft", "weftd"], exclude: ["Support/Scripts"]),
    ],
    swiftLanguageModes: [.v6]
)

let swiftSettings: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    // Span-vending views need lifetime annotations; the flag has been stable in the release compiler since 6.2.
    .enableExperimentalFeature("Lifetimes"),
]

let targetsOfC = ["CAllocations", "CGCM", "CLinux", "CRE2"]
for target in package.targets
where target.type != .system && target.type != .plugin && !targetsOfC.contains(target.name) {
    target.swiftSettings = swiftSettings
}
