// SPDX-License-Identifier: Apache-2.0
#include "model/target_group.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/label.h"

const char *const algorithm_names[] = {"round_robin", "least_outstanding", NULL};
const char *const verdict_names[] = {"initial", "healthy", "unhealthy", "draining", "unused", NULL};

static const struct field health_check_fields[] = {
    {"enabled", FIELD_BOOL, FIELD_AT(struct health_check, enabled), .number = true,
     .text = "Without checks every target counts as healthy"},
    {"protocol", FIELD_ENUM, FIELD_AT(struct health_check, protocol), .names = protocol_names,
     .flags = FIELD_ANY_CASE, .text = "http: a GET of path; tcp: a connection is enough"},
    {"port", FIELD_INTEGER, FIELD_AT(struct health_check, port),
     .text = "0: the target's own port"},
    {"path", FIELD_STRING, FIELD_AT(struct health_check, path), .min = 1, .max = 1024,
     .string = "/", .text = "What an http check asks for"},
    {"interval_s", FIELD_INTEGER, FIELD_AT(struct health_check, interval_s), .min = 1, .max = 300,
     .number = 5, .text = "Seconds between two checks of one target"},
    {"timeout_s", FIELD_INTEGER, FIELD_AT(struct health_check, timeout_s), .min = 1, .max = 120,
     .number = 5, .text = "Seconds until a check without an answer has failed; at most interval_s"},
    {"healthy_threshold", FIELD_INTEGER, FIELD_AT(struct health_check, healthy_threshold), .min = 1,
     .max = 10, .number = 2, .text = "Successes in a row that make an unhealthy target healthy"},
    {"unhealthy_threshold", FIELD_INTEGER, FIELD_AT(struct health_check, unhealthy_threshold),
     .min = 1, .max = 10, .number = 2, .text = "Failures in a row that make a target unhealthy"},
    {"codes", FIELD_STRING, FIELD_AT(struct health_check, codes), .min = 3, .max = 256,
     .string = "200-399", .text = "Answers that mean healthy: codes and ranges, with commas"},
};

const struct schema health_check_schema = {
    "health_check",
    "How Weir knows that a target works",
    sizeof(struct health_check),
    SCHEMA_FIELDS(health_check_fields),
};

static const struct field target_fields[] = {
    {"address", FIELD_STRING, FIELD_AT(struct target, address), .min = 1, .max = 253,
     .flags = FIELD_REQUIRED,
     .text = "An IP address, or a host name that is resolved again every 30 s"},
    {"port", FIELD_INTEGER, FIELD_AT(struct target, port), .min = 1, .flags = FIELD_REQUIRED,
     .text = "Where it listens"},
    {"weight", FIELD_INTEGER, FIELD_AT(struct target, weight), .max = 1000, .number = 1,
     .text = "Its share; 0: gets nothing new"},
};

const struct schema target_schema = {
    "target",
    "A server that requests go to",
    sizeof(struct target),
    SCHEMA_FIELDS(target_fields),
};

static const struct field target_group_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct target_group, id), .flags = FIELD_READ_ONLY},
    {"generation", FIELD_INTEGER, FIELD_AT(struct target_group, generation),
     .flags = FIELD_READ_ONLY, .text = "Grows with each change; also the ETag"},
    {"project_id", FIELD_INTEGER, FIELD_AT(struct target_group, project_id),
     .flags = FIELD_READ_ONLY},
    {"name", FIELD_STRING, FIELD_AT(struct target_group, name), .min = 1, .max = NAME_MAX_LEN,
     .flags = FIELD_REQUIRED | FIELD_IMMUTABLE, .text = "Unique in the project"},
    {"protocol", FIELD_ENUM, FIELD_AT(struct target_group, protocol), .names = protocol_names,
     .flags = FIELD_IMMUTABLE, .text = "The same as that of the listeners that use it"},
    {"algorithm", FIELD_ENUM, FIELD_AT(struct target_group, algorithm), .names = algorithm_names,
     .text = "How one target is chosen"},
    {"targets", FIELD_ARRAY, FIELD_ITEMS(struct target_group, targets, target_count),
     .item = FIELD_OBJECT, .schema = &target_schema, .max = TARGETS_MAX,
     .text = "Where requests go"},
    {"health_check", FIELD_OBJECT, FIELD_AT(struct target_group, health_check),
     .schema = &health_check_schema, .text = "How Weir knows that a target works"},
    {"created_at", FIELD_TIME, FIELD_AT(struct target_group, created_at), .flags = FIELD_READ_ONLY},
    {"updated_at", FIELD_TIME, FIELD_AT(struct target_group, updated_at), .flags = FIELD_READ_ONLY},
};

const struct schema target_group_schema = {
    "target_group",
    "Targets, how one is chosen, and how Weir knows that it works",
    sizeof(struct target_group),
    SCHEMA_FIELDS(target_group_fields),
};

static const struct field target_report_fields[] = {
    {"target_group_id", FIELD_INTEGER, FIELD_AT(struct target_report, target_group_id)},
    {"address", FIELD_ENDPOINT, FIELD_AT(struct target_report, address), .flags = FIELD_REQUIRED},
    {"verdict", FIELD_ENUM, FIELD_AT(struct target_report, verdict), .names = verdict_names,
     .flags = FIELD_REQUIRED},
    {"reason", FIELD_STRING, FIELD_AT(struct target_report, reason),
     .text = "Why it is not healthy"},
};

const struct schema target_report_schema = {
    "target_report",
    "What a unit says about one target",
    sizeof(struct target_report),
    SCHEMA_FIELDS(target_report_fields),
};

// Reads "200" or "200-399" and moves *at behind it and its comma. False: not well formed.
static bool codes_next(const char **at, unsigned *ret_low, unsigned *ret_high)
{
    unsigned ends[2] = {0, 0};
    int used = 0;
    for (int end = 0; end < 2; end++) {
        for (used = 0; **at >= '0' && **at <= '9' && used < 3; used++) {
            ends[end] = ends[end] * 10 + (unsigned)(*(*at)++ - '0');
        }
        if (used != 3 || ends[end] < 100 || ends[end] > 599) {
            return false;
        }
        if (end == 0 && **at != '-') {
            ends[1] = ends[0];
            break;
        }
        *at += end == 0;
    }
    if (**at == ',') {
        (*at)++;
        if (**at == '\0') {
            return false;
        }
    } else if (**at != '\0') {
        return false;
    }
    *ret_low = ends[0];
    *ret_high = ends[1];
    return ends[0] <= ends[1];
}

bool health_check_accepts(const struct health_check *check, unsigned status)
{
    const char *at = check->codes;
    unsigned low, high;
    while (*at != '\0' && codes_next(&at, &low, &high)) {
        if (status >= low && status <= high) {
            return true;
        }
    }
    return false;
}

static const char *join(char *buffer, size_t size, const char *field, const char *name)
{
    snprintf(buffer, size, "%s%s%s", field, field[0] != '\0' ? "." : "", name);
    return buffer;
}

int health_check_validate(const struct health_check *check, const char *field, struct error *error)
{
    char at_fault[64];
    if (check->timeout_s > check->interval_s) {
        return error_set_field(error, -EINVAL, "out_of_range",
                               join(at_fault, sizeof(at_fault), field, "timeout_s"),
                               "the health check's timeout of %u s is longer than its interval of "
                               "%u s",
                               check->timeout_s, check->interval_s);
    }
    bool path_is_good = check->path[0] == '/';
    for (const char *c = check->path; *c != '\0'; c++) {
        path_is_good = path_is_good && *c > 0x20 && *c < 0x7f && *c != '#';
    }
    if (!path_is_good) {
        return error_set_field(error, -EINVAL, "invalid_value",
                               join(at_fault, sizeof(at_fault), field, "path"),
                               "the health check's path must begin with / and hold no spaces, #, "
                               "or characters past ASCII (write them as %%XX)");
    }
    const char *at = check->codes;
    unsigned low, high;
    do {
        if (!codes_next(&at, &low, &high)) {
            return error_set_field(error, -EINVAL, "invalid_value",
                                   join(at_fault, sizeof(at_fault), field, "codes"),
                                   "the health check's codes must be codes from 100 to 599 and "
                                   "ranges of them, such as \"200-299,304\"");
        }
    } while (*at != '\0');
    return 0;
}

bool host_name_is_valid(struct str text)
{
    if (text.len == 0 || text.len > 253) {
        return false;
    }
    size_t label = 0;
    bool last_is_number = true;
    for (size_t i = 0; i < text.len; i++) {
        char c = ascii_lower(text.at[i]);
        bool digit = c >= '0' && c <= '9';
        if (c == '.') {
            if (label == 0 || text.at[i - 1] == '-') {
                return false;
            }
            // One dot may end the name; what counts for "is it an address" is the label before it.
            last_is_number = i + 1 == text.len ? last_is_number : true;
            label = 0;
            continue;
        }
        if (!digit && !(c >= 'a' && c <= 'z') && c != '_' && !(c == '-' && label > 0)) {
            return false;
        }
        last_is_number = last_is_number && digit;
        if (++label > 63) {
            return false;
        }
    }
    // RFC 3696 §2: the last label is never all digits, so "1.2.3" and "300.1.1.1" are no names.
    return !last_is_number && text.at[text.len - 1] != '-';
}

static int compare_targets(const void *a, const void *b)
{
    const struct target *x = *(const struct target *const *)a;
    const struct target *y = *(const struct target *const *)b;
    int r = strcasecmp(x->address, y->address);
    return r != 0 ? r : (x->port > y->port) - (x->port < y->port);
}

static int refuse_duplicates(const struct target_group *group, const char *field,
                             struct error *error)
{
    if (group->target_count < 2) {
        return 0;
    }
    const struct target **sorted = calloc(group->target_count, sizeof(*sorted));
    if (sorted == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < group->target_count; i++) {
        sorted[i] = &group->targets[i];
    }
    qsort(sorted, group->target_count, sizeof(*sorted), compare_targets);
    int r = 0;
    for (size_t i = 1; i < group->target_count && r == 0; i++) {
        if (compare_targets(&sorted[i - 1], &sorted[i]) == 0) {
            char at_fault[64], name[32];
            size_t index = (size_t)(MAX(sorted[i], sorted[i - 1]) - group->targets);
            snprintf(name, sizeof(name), "targets[%zu]", index);
            r = error_set_field(
                error, -EINVAL, "duplicate_target", join(at_fault, sizeof(at_fault), field, name),
                "the target %.100s:%u is there twice", sorted[i]->address, sorted[i]->port);
        }
    }
    free(sorted);
    return r;
}

int target_group_validate(const struct target_group *group, const char *field, struct error *error)
{
    char at_fault[64], name[48];
    int r = name_validate(group->name, join(at_fault, sizeof(at_fault), field, "name"), error);
    for (size_t i = 0; i < group->target_count && r == 0; i++) {
        struct str address = str_of(group->targets[i].address);
        struct addr parsed;
        snprintf(name, sizeof(name), "targets[%zu].address", i);
        join(at_fault, sizeof(at_fault), field, name);
        if (addr_parse_ip(address, &parsed) == 0) {
            if (!addr_is_usable_target(&parsed)) {
                r = error_set_field(error, -EINVAL, "invalid_value", at_fault,
                                    "%s is no address that a target can have", address.at);
            }
        } else if (!host_name_is_valid(address)) {
            r = error_set_field(error, -EINVAL, "invalid_value", at_fault,
                                "\"%.100s\" is neither an IP address nor a host name", address.at);
        }
    }
    if (r == 0) {
        r = refuse_duplicates(group, field, error);
    }
    if (r == 0) {
        r = health_check_validate(&group->health_check,
                                  join(at_fault, sizeof(at_fault), field, "health_check"), error);
    }
    return r;
}

bool addr_is_usable_target(const struct addr *addr)
{
    static const uint8_t zero[16], mapped[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *ip = addr->ip;
    if (addr->family == 4) {
        return ip[0] != 0 && ip[0] < 224 && !(ip[0] == 169 && ip[1] == 254);
    }
    return memcmp(ip, zero, sizeof(zero)) != 0 && memcmp(ip, mapped, sizeof(mapped)) != 0 &&
           ip[0] != 0xff && !(ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}
