/// The version that the executables and weft_build_info report.
public enum AgentVersion {
    public static let current = "0.1.0"
}
