import BPF
import CLinux
import Foundation
import Testing

/// A small object of our own, compiled once per run: every type of map, and programs whose effect is easy to see.
enum BPFTestObject {
    static let source = """
        #include <linux/bpf.h>
        #include <linux/types.h>
        #include <bpf/bpf_helpers.h>

        enum color { RED = 1, GREEN = 2, DEEP_BLUE = -3 };
        struct inner { __u16 small; signed char minus; char text[9]; };
        struct record {
            __u64 id;
            struct inner inner;
            __be16 port;
            __u16 reserved;
            enum color color;
            _Bool yes;
            unsigned low : 3;
            int high : 5;
            __u8 address[4];
            union { __u32 word; __u8 octets[4]; } either;
            __u32 list[2][3];
        };
        struct counters { __u64 calls; __u64 twice; };
        struct prefix { __u32 length; __u8 bytes[4]; };

        #define MAP(name, kind, entries, flags, K, V) struct { \\
            __uint(type, kind); __uint(max_entries, entries); __uint(map_flags, flags); \\
            __type(key, K); __type(value, V); } name SEC(".maps")

        MAP(numbers, BPF_MAP_TYPE_HASH, 20000, BPF_F_NO_PREALLOC, __u32, __u64);
        MAP(tiny, BPF_MAP_TYPE_HASH, 4, 0, __u32, __u32);
        MAP(records, BPF_MAP_TYPE_HASH, 16, 0, __u32, struct record);
        MAP(prefixes, BPF_MAP_TYPE_LPM_TRIE, 64, BPF_F_NO_PREALLOC, struct prefix, __u64);
        MAP(counted, BPF_MAP_TYPE_PERCPU_HASH, 64, BPF_F_NO_PREALLOC, __u32, struct counters);
        MAP(narrow, BPF_MAP_TYPE_PERCPU_ARRAY, 4, 0, __u32, __u32);
        MAP(devices, BPF_MAP_TYPE_DEVMAP_HASH, 32, 0, __u32, __u32);
        MAP(losses, BPF_MAP_TYPE_PERCPU_ARRAY, 2, 0, __u32, __u64);

        struct table { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(map_flags, BPF_F_INNER_MAP); __uint(max_entries, 1);
            __type(key, __u32); __type(value, __u64); };
        struct { __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS); __uint(max_entries, 8); __type(key, __u64);
            __array(values, struct table); } tables SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_SK_STORAGE); __uint(map_flags, BPF_F_NO_PREALLOC);
            __type(key, int); __type(value, __u64); } storage SEC(".maps");

        const volatile __u32 verdict = 1;
        __u64 last_sequence;
        struct event { __u64 sequence; __u64 check; __u64 padding[30]; };

        SEC("cgroup/connect4") int observe(struct bpf_sock_addr *ctx)
        {
            __u32 key = 7, lost = 1;
            struct counters *c = bpf_map_lookup_elem(&counted, &key), first = { 1, 2 };
            struct event *e;
            __u64 *l, sequence = __sync_fetch_and_add(&last_sequence, 1) + 1;

            if (c) { c->calls++; c->twice += 2; }
            else bpf_map_update_elem(&counted, &key, &first, BPF_NOEXIST);
            if (ctx->sk)
                bpf_sk_storage_get(&storage, ctx->sk, &sequence, BPF_SK_STORAGE_GET_F_CREATE);
            e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
            if (!e) {
                l = bpf_map_lookup_elem(&losses, &lost);
                if (l) ++*l;
            } else {
                e->sequence = sequence; e->check = ~sequence;
                bpf_ringbuf_submit(e, 0);
            }
            return verdict;
        }

        SEC("cgroup/connect4") int refuse(struct bpf_sock_addr *ctx) { return 0; }

        struct walk_meta { struct seq_file *seq; };
        struct walk_context { struct walk_meta *meta; void *map; void *sk; __u64 *value; };
        SEC("iter/bpf_sk_storage_map") int walk(struct walk_context *ctx)
        {
            if (ctx->value)
                bpf_seq_write(ctx->meta->seq, ctx->value, sizeof(__u64));
            return 0;
        }

        #ifdef BROKEN
        SEC("cgroup/connect4") int broken(struct bpf_sock_addr *ctx)
        {
            __u32 key = 7;
            struct counters *c = bpf_map_lookup_elem(&counted, &key);
            return c->calls & 1; /* may be NULL */
        }
        #endif
        char _license[] SEC("license") = "GPL";
        """

    static let image = Result { try compile(source) }
    static let brokenImage = Result { try compile(source, ["-DBROKEN"]) }

    struct CompilationFailure: Error {
        let output: String
    }

    /// Compiles a program as the build does.
    static func compile(_ source: String, _ options: [String] = []) throws -> [UInt8] {
        let directory = FileManager.default.temporaryDirectory.appending(path: "weft-bpf-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let program = directory.appending(path: "test.bpf.c")
        let object = directory.appending(path: "test.bpf.o")
        try source.write(to: program, atomically: true, encoding: .utf8)
        let clang = Process()
        clang.executableURL = URL(filePath: "/usr/bin/env")
        clang.arguments =
            [
                ProcessInfo.processInfo.environment["BPF_CLANG"] ?? "clang", "-target", "bpf", "-mcpu=v3", "-O2", "-g",
                "-idirafter", "/usr/include/\(architecture)-linux-gnu", "-c", program.path, "-o", object.path,
            ] + options
        let output = Pipe()
        clang.standardError = output
        try clang.run()
        let text = try output.fileHandleForReading.readToEnd() ?? Data()
        clang.waitUntilExit()
        guard clang.terminationStatus == 0 else {
            throw CompilationFailure(output: String(decoding: text, as: UTF8.self))
        }
        return [UInt8](try Data(contentsOf: object))
    }

    private static var architecture: String {
        #if arch(arm64)
            "aarch64"
        #else
            "x86_64"
        #endif
    }

    /// The object, open, with the iterator left out unless a test is about it.
    static func open() throws -> OpenObject {
        var object = try OpenObject(name: "weft_test", image: image.get())
        try object.setAutoload(false, ofProgram: "walk")
        return object
    }

    static func load() throws -> LoadedObject {
        try open().load()
    }
}

// The layouts of the object's structures.

struct TestCounters: Equatable {
    var calls: UInt64
    var twice: UInt64
}

struct TestPrefix: Equatable {
    var length: UInt32
    var address: UInt32
}

struct TestEvent {
    var sequence: UInt64
    var check: UInt64
}
