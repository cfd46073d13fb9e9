// swift-tools-version: 6.2

// Fuzz targets for libFuzzer. A package of its own, so that Weft is not built with its instrumentation: see ./run.

import PackageDescription

let instrumented: [SwiftSetting] = [
    .strictMemorySafety(),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    // Bounds checks stay: a trap is a find like any other.
    .unsafeFlags(["-O", "-sanitize=fuzzer,address"]),
]
// gold does not survive the debug information of instrumented code.
let sanitizers: [LinkerSetting] = [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]

let package = Package(
    name: "weft-fuzz",
    targets: [
        .target(
            name: "CLinux",
            cSettings: [.define("_GNU_SOURCE"), .unsafeFlags(["-fsanitize=fuzzer-no-link,address"])]),
        .systemLibrary(name: "WeftABI"),
        // Only the parsers, which need nothing else of the module.
        .target(name: "Proxy", dependencies: ["CLinux"], swiftSettings: instrumented),
        .target(name: "CFuzzer"),
        .executableTarget(
            name: "Fuzz", dependencies: ["CFuzzer", "Proxy", "WeftABI"], swiftSettings: instrumented,
            linkerSettings: sanitizers),
    ],
    swiftLanguageModes: [.v6]
)
