// SPDX-License-Identifier: Apache-2.0
// Targets outside the machine's own networks: masquerading, and forwarding with the least change.
// The kernel forwards a packet when the interface it came in by has forwarding on, so it is needed
// on the front bridge and, for the answers, on the interfaces that lead to the targets; the
// machine-wide switch stays as it is. Where we turned it on, a rule lets only answers through.
#include <stdio.h>
#include <unistd.h>

#include "agent/apply_network.h"
#include "net/ip.h"
#include "net/link.h"
#include "net/netns.h"
#include "net/nft.h"

enum { INTERFACES_MAX = 32 };

struct interfaces {
    char names[INTERFACES_MAX][IFNAMSIZ];
    size_t count;
};

static void interfaces_add(struct interfaces *interfaces, const char *name)
{
    for (size_t i = 0; i < interfaces->count; i++) {
        if (strcmp(interfaces->names[i], name) == 0) {
            return;
        }
    }
    if (interfaces->count < INTERFACES_MAX && name[0] != '\0') {
        snprintf(interfaces->names[interfaces->count++], IFNAMSIZ, "%s", name);
    }
}

static const char *forwarding_setting(const char *interface, uint8_t family, char buffer[static 64])
{
    snprintf(buffer, 64, "ipv%u/conf/%s/forwarding", family, interface);
    return buffer;
}

// The record: the family, then the interfaces on which we turned forwarding on, a line each.
static int record_read(const char *path, uint8_t *ret_family, struct interfaces *ret_interfaces)
{
    *ret_interfaces = (struct interfaces){0};
    *ret_family = 4;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -errno;
    }
    char line[64];
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, "4") == 0 || strcmp(line, "6") == 0) {
            *ret_family = (uint8_t)(line[0] - '0');
        } else if (strlen(line) < IFNAMSIZ && strchr(line, '/') == NULL) {
            interfaces_add(ret_interfaces, line);
        }
    }
    fclose(file);
    return 0;
}

static int record_write(const char *path, uint8_t family, const struct interfaces *interfaces)
{
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return -errno;
    }
    fprintf(file, "%u\n", family);
    for (size_t i = 0; i < interfaces->count; i++) {
        fprintf(file, "%s\n", interfaces->names[i]);
    }
    int failed = ferror(file);
    return fclose(file) != 0 || failed ? -EIO : 0;
}

// The interfaces that lead to the targets, and the bridge.
static int interfaces_find(const struct outside *outside, const char *bridge,
                           struct interfaces *ret_interfaces, struct error *error)
{
    struct netlink netlink;
    int result = netlink_open(&netlink);
    if (result < 0) {
        return error_set(error, result, "cannot open a netlink socket: %s", strerror(-result));
    }
    struct link_list links;
    result = link_list_read(&netlink, &links, error);
    *ret_interfaces = (struct interfaces){0};
    interfaces_add(ret_interfaces, bridge);
    for (size_t i = 0; result == 0 && i < outside->target_count; i++) {
        unsigned index;
        if (ip_find_route(&netlink, &outside->targets[i], &index, NULL) < 0) {
            continue; // the unit's health check tells that it cannot be reached
        }
        for (size_t j = 0; j < links.count; j++) {
            if (links.items[j].index == index && strcmp(links.items[j].name, "lo") != 0) {
                interfaces_add(ret_interfaces, links.items[j].name);
            }
        }
    }
    link_list_free(&links);
    netlink_close(&netlink);
    return result;
}

int network_add_outside(const char *instance, const struct outside *outside, char *summary,
                        size_t summary_size, struct error *error)
{
    char bridge[NAME_LEN], table[NAME_LEN], setting[64], value[8];
    uint8_t family = outside->inside.family;
    struct interfaces wanted, changed;
    int result = interfaces_find(outside, name_of_bridge(instance, bridge), &wanted, error);
    if (result < 0) {
        return result;
    }
    record_read(outside->record_path, &family, &changed);
    family = outside->inside.family;
    for (size_t i = 0; i < wanted.count; i++) {
        if (netns_get(forwarding_setting(wanted.names[i], family, setting), value, sizeof(value)) ==
                0 &&
            strcmp(value, "0") == 0) {
            interfaces_add(&changed, wanted.names[i]);
        }
    }
    result = record_write(outside->record_path, family, &changed);
    if (result < 0) {
        return error_set(error, result, "cannot write %s: %s", outside->record_path,
                         strerror(-result));
    }
    const char *guarded[INTERFACES_MAX];
    size_t guarded_count = 0;
    for (size_t i = 0; i < changed.count; i++) {
        if (strcmp(changed.names[i], bridge) != 0) {
            guarded[guarded_count++] = changed.names[i];
        }
    }
    struct nft_outside rules = {name_of_table(instance, table),
                                outside->inside,
                                bridge,
                                guarded,
                                guarded_count,
                                outside->closed,
                                outside->closed_count};
    // The rules first: there is no moment in which the machine forwards for others.
    result = nft_set_outside(&rules, error);
    size_t length = (size_t)snprintf(summary, summary_size, "masquerading %s by table %s",
                                     "the front subnet", table);
    for (size_t i = 0; result == 0 && i < changed.count; i++) {
        result = netns_set(forwarding_setting(changed.names[i], family, setting), "1");
        if (result < 0) {
            return error_set(error, result, "cannot set %s: %s", setting, strerror(-result));
        }
        if (length < summary_size) {
            length += (size_t)snprintf(summary + length, summary_size - length,
                                       ", forwarding on at %s", changed.names[i]);
        }
    }
    return result;
}

int network_remove_outside(const char *instance, const char *record_path, struct error *error)
{
    char table[NAME_LEN], setting[64];
    uint8_t family;
    struct interfaces changed;
    if (record_read(record_path, &family, &changed) < 0) {
        return 0; // never set
    }
    for (size_t i = 0; i < changed.count; i++) {
        netns_set(forwarding_setting(changed.names[i], family, setting), "0");
    }
    int result = nft_delete_table(name_of_table(instance, table), error);
    if (result == 0) {
        unlink(record_path);
    }
    return result;
}
