// SPDX-License-Identifier: Apache-2.0
#include "net/nft.h"

#include <jansson.h>
#include <string.h>

#include "base/command.h"

enum { NFT_TIMEOUT_MS = 10000 };

static int nft_run(const char *rules, struct error *error)
{
    const char *const argv[] = {"nft", "-j", "-f", "-", NULL};
    struct command_result run;
    int result = command_run(argv, str_of(rules), NFT_TIMEOUT_MS, &run);
    if (result < 0) {
        return error_set(error, result, "cannot run nft: %s",
                         result == -ENOENT ? "the command is not installed (package nftables)"
                                           : strerror(-result));
    }
    if (run.status != 0) {
        run.output[strcspn(run.output, "\n")] = '\0';
        result = error_set(error, -EOPNOTSUPP, "nft refused the rules: %s",
                           run.output[0] != '\0' ? run.output : "it gave no reason");
    }
    command_result_free(&run);
    return result;
}

// {verb: {kind: object}}; takes the object.
static void add_command(json_t *commands, const char *verb, const char *kind, json_t *object)
{
    json_array_append_new(commands, json_pack("{s:{s:o}}", verb, kind, object));
}

static json_t *table_json(const char *table)
{
    return json_pack("{s:s, s:s}", "family", "inet", "name", table);
}

static void add_rule(json_t *commands, const char *table, const char *chain, json_t *expressions)
{
    add_command(commands, "add", "rule",
                json_pack("{s:s, s:s, s:s, s:o}", "family", "inet", "table", table, "chain", chain,
                          "expr", expressions));
}

static json_t *match_interface(const char *key, const char *op, const char *name)
{
    return json_pack("{s:{s:s, s:{s:{s:s}}, s:s}}", "match", "op", op, "left", "meta", "key", key,
                     "right", name);
}

// Makes the table empty whether it was there or not.
static void add_fresh_table(json_t *commands, const char *table)
{
    add_command(commands, "add", "table", table_json(table));
    add_command(commands, "delete", "table", table_json(table));
}

// Takes the commands.
static int run_commands(json_t *commands, struct error *error)
{
    json_t *document = json_pack("{s:o}", "nftables", commands);
    cleanup(free_ptr) char *text = document != NULL ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    return text == NULL ? error_set(error, -ENOMEM, "out of memory") : nft_run(text, error);
}

int nft_check(struct error *error)
{
    // Adds and deletes in one transaction: nothing is left, and nobody sees it.
    json_t *commands = json_array();
    add_fresh_table(commands, "weir-check");
    return run_commands(commands, error);
}

// iifname is the bridge, daddr is in the prefix: dropped.
static void add_closed_rule(json_t *commands, const char *table, const char *bridge,
                            const struct prefix *closed)
{
    char text[ADDR_TEXT_LEN];
    struct addr network = {.family = closed->family};
    memcpy(network.ip, closed->ip, sizeof(network.ip));
    json_t *there = json_pack(
        "{s:{s:s, s:{s:{s:s, s:s}}, s:{s:{s:s, s:i}}}}", "match", "op", "==", "left", "payload",
        "protocol", network.family == 6 ? "ip6" : "ip", "field", "daddr", "right", "prefix", "addr",
        addr_format_ip(&network, text), "len", (int)closed->bits);
    add_rule(commands, table, "guard",
             json_pack("[o, o, {s:n}]", match_interface("iifname", "==", bridge), there, "drop"));
}

int nft_set_outside(const struct nft_outside *outside, struct error *error)
{
    const char *table = outside->table;
    json_t *commands = json_array();
    add_fresh_table(commands, table);
    add_command(commands, "add", "table", table_json(table));
    add_command(commands, "add", "chain",
                json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "family", "inet", "table", table,
                          "name", "leave", "type", "nat", "hook", "postrouting", "prio", 100,
                          "policy", "accept"));
    struct addr network = {.family = outside->inside.family};
    memcpy(network.ip, outside->inside.ip, sizeof(network.ip));
    char text[ADDR_TEXT_LEN];
    json_t *from_units = json_pack(
        "{s:{s:s, s:{s:{s:s, s:s}}, s:{s:{s:s, s:i}}}}", "match", "op", "==", "left", "payload",
        "protocol", network.family == 6 ? "ip6" : "ip", "field", "saddr", "right", "prefix", "addr",
        addr_format_ip(&network, text), "len", (int)outside->inside.bits);
    add_rule(commands, table, "leave",
             json_pack("[o, o, {s:n}]", from_units,
                       match_interface("oifname", "!=", outside->bridge), "masquerade"));
    if (outside->guarded_count > 0 || outside->closed_count > 0) {
        add_command(commands, "add", "chain",
                    json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "family", "inet", "table",
                              table, "name", "guard", "type", "filter", "hook", "forward", "prio",
                              0, "policy", "accept"));
        for (size_t i = 0; i < outside->closed_count; i++) {
            add_closed_rule(commands, table, outside->bridge, &outside->closed[i]);
        }
        for (size_t i = 0; i < outside->guarded_count; i++) {
            json_t *answers =
                json_pack("{s:{s:s, s:{s:{s:s}}, s:[s, s]}}", "match", "op", "in", "left", "ct",
                          "key", "state", "right", "established", "related");
            add_rule(commands, table, "guard",
                     json_pack("[o, o, {s:n}]",
                               match_interface("iifname", "==", outside->guarded[i]), answers,
                               "accept"));
            add_rule(commands, table, "guard",
                     json_pack("[o, {s:n}]", match_interface("iifname", "==", outside->guarded[i]),
                               "drop"));
        }
    }
    return run_commands(commands, error);
}

int nft_delete_table(const char *table, struct error *error)
{
    json_t *commands = json_array();
    add_fresh_table(commands, table);
    return run_commands(commands, error);
}
