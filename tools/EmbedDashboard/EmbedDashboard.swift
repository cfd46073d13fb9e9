import Foundation
import PackagePlugin

/// Embeds the dashboard's files as a Swift source: their text in `StaticString`s, which the compiler takes in no time, and
/// their digests as entity tags.
@main
struct EmbedDashboard: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let script = context.package.directoryURL.appending(path: "tools/EmbedDashboard/embed.sh")
        let files = try FileManager.default.contentsOfDirectory(
            at: target.directoryURL.appending(path: "Site"), includingPropertiesForKeys: nil
        ).sorted { $0.path() < $1.path() }
        let output = context.pluginWorkDirectoryURL.appending(path: "DashboardFiles.swift")
        return [
            .buildCommand(
                displayName: "Embedding the dashboard", executable: URL(filePath: "/bin/sh"),
                arguments: [script.path(), output.path()] + files.map { $0.path() },
                inputFiles: [script] + files, outputFiles: [output])
        ]
    }
}
