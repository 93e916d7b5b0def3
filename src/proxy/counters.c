// SPDX-License-Identifier: Apache-2.0
#include "proxy/counters.h"

#define PROXY_COUNTER_NAME_(name, text) [COUNTER_##name] = #name,
const char *const proxy_counter_names[PROXY_COUNTER_COUNT] = {PROXY_COUNTERS(PROXY_COUNTER_NAME_)};
