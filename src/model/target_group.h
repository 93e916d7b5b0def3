// SPDX-License-Identifier: Apache-2.0
// A target group: where requests go (targets), how one is chosen (algorithm), and how Weir knows
// that it works (health check → verdict). It belongs to one project; several listeners may use it.
#pragma once

#include "base/addr.h"
#include "model/listener.h"

enum algorithm { ALGORITHM_ROUND_ROBIN, ALGORITHM_LEAST_OUTSTANDING };
extern const char *const algorithm_names[];

enum verdict {
    VERDICT_INITIAL,
    VERDICT_HEALTHY,
    VERDICT_UNHEALTHY,
    VERDICT_DRAINING,
    VERDICT_UNUSED,
};
extern const char *const verdict_names[];

struct health_check {
    bool enabled;
    enum protocol protocol;
    uint16_t port; // 0: the target's own
    const char *path;
    uint32_t interval_s, timeout_s;
    uint32_t healthy_threshold, unhealthy_threshold;
    const char *codes; // "200-399", "200,204,301-302"
};

struct target {
    const char *address; // an IP address, or a host name that the controller resolves
    uint16_t port;
    uint32_t weight; // 0: gets nothing new
};

struct target_group {
    uint64_t id, generation, project_id;
    uint64_t created_at, updated_at;
    const char *name;
    enum protocol protocol;
    enum algorithm algorithm;
    struct target *targets;
    size_t target_count;
    struct health_check health_check;
};

// What a unit says about one target.
struct target_report {
    uint64_t target_group_id;
    struct addr address; // with port
    enum verdict verdict;
    const char *reason; // why it is not healthy: "connection refused"; "" otherwise
};

enum { TARGETS_MAX = 1000 };

extern const struct schema health_check_schema;
extern const struct schema target_schema;
extern const struct schema target_group_schema;
extern const struct schema target_report_schema;

// What the table cannot say: timeout ≤ interval, codes well formed, path begins with "/". field is
// the path of the health check in the document ("health_check").
int health_check_validate(const struct health_check *check, const char *field, struct error *error);
bool health_check_accepts(const struct health_check *check, unsigned status);

// The table's rules plus: addresses are IP addresses or host names, no target twice, the health
// check. field: path of the group in the document, "" for none.
int target_group_validate(const struct target_group *group, const char *field, struct error *error);

// 1–253 characters, labels of letters, digits, "-" and "_"; not an IP address, not all digits.
bool host_name_is_valid(struct str text);

// Not "this network", not multicast or broadcast, no IPv4 address written as IPv6; and not
// link-local, where a machine finds what only it may ask (a cloud's metadata, 169.254.169.254).
bool addr_is_usable_target(const struct addr *addr);
