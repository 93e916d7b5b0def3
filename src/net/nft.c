// SPDX-License-Identifier: Apache-2.0
#include "net/nft.h"

#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

extern char **environ;

enum { NFT_TIMEOUT_MS = 10000, NFT_OUTPUT_BYTES = 2048 };

// Starts `nft -j -f -`; the rules lie in a file without a name, so that no pipe can fill up.
static int nft_start(int rules_fd, int output_fd, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, rules_fd, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
    // The caller may have blocked signals for its own event loop.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    char *const argv[] = {"nft", "-j", "-f", "-", NULL};
    int result = posix_spawnp(ret_pid, "nft", &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return -result;
}

// Reads until the command closes its output. False when the time is over.
static bool read_output(int fd, char text[static NFT_OUTPUT_BYTES])
{
    uint64_t until_ns = monotonic_ns() + (uint64_t)NFT_TIMEOUT_MS * 1000000;
    size_t length = 0;
    text[0] = '\0';
    for (;;) {
        uint64_t now_ns = monotonic_ns();
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (now_ns >= until_ns ||
            poll(&poll_fd, 1, (int)((until_ns - now_ns) / 1000000) + 1) == 0) {
            return false;
        }
        char part[512];
        ssize_t got = read(fd, part, sizeof(part));
        if (got == 0) {
            return true;
        }
        if (got < 0) {
            if (errno != EINTR) {
                return true;
            }
            continue;
        }
        size_t kept = MIN((size_t)got, NFT_OUTPUT_BYTES - 1 - length);
        memcpy(text + length, part, kept);
        length += kept;
        text[length] = '\0';
    }
}

static int nft_run(const char *rules, struct error *error)
{
    cleanup(close_fd) int rules_fd = memfd_create("nft", MFD_CLOEXEC);
    int pipe_fds[2];
    if (rules_fd < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0) {
        return error_set(error, -errno, "cannot run nft: %s", strerror(errno));
    }
    cleanup(close_fd) int read_fd = pipe_fds[0];
    cleanup(close_fd) int write_fd = pipe_fds[1];
    size_t length = strlen(rules);
    if (write(rules_fd, rules, length) != (ssize_t)length || lseek(rules_fd, 0, SEEK_SET) < 0) {
        return error_set(error, -EIO, "cannot run nft: its input could not be written");
    }
    pid_t pid;
    int result = nft_start(rules_fd, write_fd, &pid);
    if (result < 0) {
        return error_set(error, result, "cannot run nft: %s",
                         result == -ENOENT ? "the command is not installed (package nftables)"
                                           : strerror(-result));
    }
    close(TAKE_FD(write_fd));
    char text[NFT_OUTPUT_BYTES];
    bool in_time = read_output(read_fd, text);
    if (!in_time) {
        kill(pid, SIGKILL);
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!in_time) {
        return error_set(error, -ETIMEDOUT, "nft did not end within %d s", NFT_TIMEOUT_MS / 1000);
    }
    if (status != 0) {
        text[strcspn(text, "\n")] = '\0';
        return error_set(error, -EOPNOTSUPP, "nft refused the rules: %s",
                         text[0] != '\0' ? text : "it gave no reason");
    }
    return 0;
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
    if (outside->guarded_count > 0) {
        add_command(commands, "add", "chain",
                    json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "family", "inet", "table",
                              table, "name", "guard", "type", "filter", "hook", "forward", "prio",
                              0, "policy", "accept"));
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
