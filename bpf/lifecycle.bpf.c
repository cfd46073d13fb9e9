/* SPDX-License-Identifier: GPL-2.0 */
#include "maps.h"
char _license[] SEC("license") = "GPL";
