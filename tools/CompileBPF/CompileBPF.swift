import Foundation
import PackagePlugin

/// Compiles every `bpf/*.bpf.c` and embeds the object as a Swift source (base64 in a `StaticString`, which the compiler
/// takes in a tenth of a second where an array literal takes several).
///
/// `BPF_CLANG` overrides the compiler; the default is the toolchain's own clang.
@main
struct CompileBPF: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let root = context.package.directoryURL
        let sources = root.appending(path: "bpf")
        let script = root.appending(path: "tools/CompileBPF/compile.sh")
        let clang = try ProcessInfo.processInfo.environment["BPF_CLANG"] ?? context.tool(named: "clang").url.path()
        let output = context.pluginWorkDirectoryURL

        let programs = try files(in: sources).filter { $0.lastPathComponent.hasSuffix(".bpf.c") }
        // The build system reads no dependency file of a custom command: every header is an input of every program.
        let headers = try (files(in: sources) + files(in: sources.appending(path: "lib")))
            .filter { $0.pathExtension == "h" }

        return programs.map { program in
            let name = program.lastPathComponent.replacing(".bpf.c", with: "")
            let image = output.appending(path: "\(name).bpf.swift")
            return .buildCommand(
                displayName: "Compiling BPF program \(name)",
                executable: URL(filePath: "/bin/sh"),
                arguments: [script.path(), clang, program.path(), name, image.path()],
                inputFiles: [program, script] + headers,
                outputFiles: [image]
            )
        }
    }

    private func files(in directory: URL) throws -> [URL] {
        try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
            .sorted { $0.path() < $1.path() }
    }
}
