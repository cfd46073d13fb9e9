// bpf/abi.h and the pure logic of bpf/lib for Swift: the agent, the CLI and the tests read the kernel's own
// definitions, so that no struct and no rule is written twice.
#pragma once

#include "../../bpf/abi.h"
#include "../../bpf/abi_trial.h"
#include "../../bpf/abi_watch.h"
#include "../../bpf/lib/address.h"
#include "../../bpf/lib/balance.h"
#include "../../bpf/lib/histogram.h"
#include "../../bpf/lib/http1.h"
#include "../../bpf/lib/latency.h"
#include "../../bpf/lib/policy.h"
#include "../../bpf/lib/shortcut.h"
#include "../../bpf/lib/tuple.h"
