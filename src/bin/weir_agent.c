// SPDX-License-Identifier: Apache-2.0
// weir-agent: options, then agent_run.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/names.h"
#include "base/log.h"
#include "base/str.h"

enum { PATH_TEXT_LEN = 256 };

struct options {
    const char *node, *controller, *runtime, *instance, *run_dir, *state_dir, *proxy, *command,
        *desired, *log_level;
    bool remove_all, help, version;
};

// One truth for parsing and --help.
static const struct option_row {
    const char *name;
    const char *value; // what the value is called; NULL: a switch
    size_t offset;
    const char *text;
} option_rows[] = {
    {"node", "NAME", offsetof(struct options, node), "this node's name; default: the host's name"},
    {"controller", "ADDRESS", offsetof(struct options, controller),
     "a socket's path or http://host:port; default /run/weir/controller.sock"},
    {"desired", "FILE", offsetof(struct options, desired),
     "run without a controller, by this desired document, read again when it changes"},
    {"runtime", "oci|process", offsetof(struct options, runtime),
     "containers by runc (root), or plain processes on loopback; default oci"},
    {"instance", "NAME", offsetof(struct options, instance),
     "keeps several agents of a machine apart: up to 6 of a-z 0-9, beginning with a letter"},
    {"run-dir", "DIR", offsetof(struct options, run_dir),
     "units' files, in DIR/<node>; default /run/weir, with an instance /run/weir-NAME"},
    {"state-dir", "DIR", offsetof(struct options, state_dir),
     "what outlives a boot, in DIR/<node>; default /var/lib/weir, or /var/lib/weir-NAME"},
    {"proxy", "FILE", offsetof(struct options, proxy),
     "the weir-proxy that units run; default: the one beside this program"},
    {"oci-command", "FILE", offsetof(struct options, command),
     "the OCI runtime's command; default runc"},
    {"log-level", "LEVEL", offsetof(struct options, log_level),
     "error, warning, info or debug; default info"},
    {"remove-all", NULL, offsetof(struct options, remove_all),
     "remove every unit, network and file of this node and instance, then end"},
    {"help", NULL, offsetof(struct options, help), "this text"},
    {"version", NULL, offsetof(struct options, version), "the version"},
};

static void print_help(void)
{
    printf("weir-agent: runs the load balancer units of one node\n\noptions:\n");
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        char left[40];
        snprintf(left, sizeof(left), "--%s%s%s", row->name, row->value != NULL ? " " : "",
                 row->value != NULL ? row->value : "");
        printf("  %-24s %s\n", left, row->text);
    }
    printf(
        "\nSIGTERM ends the agent alone: its units go on, and the next agent takes them over.\n");
}

static const struct option_row *find_option(const char *name, size_t length)
{
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        if (strlen(option_rows[i].name) == length &&
            strncmp(option_rows[i].name, name, length) == 0) {
            return &option_rows[i];
        }
    }
    return NULL;
}

static int parse_options(int argc, char **argv, struct options *options, struct error *error)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *equals = strchr(name, '=');
        size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
        const struct option_row *row =
            length > 2 && strncmp(name, "--", 2) == 0 ? find_option(name + 2, length - 2) : NULL;
        if (row == NULL) {
            return error_set(error, -EINVAL, "unknown option %s; see --help", name);
        }
        char *field = (char *)options + row->offset;
        if (row->value == NULL) {
            if (equals != NULL) {
                return error_set(error, -EINVAL, "--%s takes no value", row->name);
            }
            *(bool *)field = true;
        } else if (equals != NULL) {
            *(const char **)field = equals + 1;
        } else if (i + 1 < argc) {
            *(const char **)field = argv[++i];
        } else {
            return error_set(error, -EINVAL, "--%s needs a value: %s", row->name, row->value);
        }
    }
    return 0;
}

// base, or base-INSTANCE when it was not given, and the node in it; absolute.
static int node_directory(const char *given, const char *base, const struct options *options,
                          char ret_path[static PATH_TEXT_LEN], struct error *error)
{
    const char *dash = options->instance[0] != '\0' ? "-" : "";
    int length;
    if (given == NULL) {
        length = snprintf(ret_path, PATH_TEXT_LEN, "%s%s%s/%s", base, dash, options->instance,
                          options->node);
    } else if (given[0] == '/') {
        length = snprintf(ret_path, PATH_TEXT_LEN, "%s/%s", given, options->node);
    } else {
        char here[PATH_TEXT_LEN];
        if (getcwd(here, sizeof(here)) == NULL) {
            return error_set(error, -errno, "cannot tell the current directory: %s",
                             strerror(errno));
        }
        length = snprintf(ret_path, PATH_TEXT_LEN, "%s/%s/%s", here, given, options->node);
    }
    // Room for what the agent has below it.
    return length + 64 >= PATH_TEXT_LEN
               ? error_set(error, -ENAMETOOLONG, "the path %s is too long", ret_path)
               : 0;
}

static int proxy_path(const struct options *options, char ret_path[static PATH_TEXT_LEN],
                      struct error *error)
{
    char resolved[4096];
    if (options->proxy == NULL) {
        ssize_t length = readlink("/proc/self/exe", resolved, sizeof(resolved) - 12);
        char *slash = length > 0 ? memrchr(resolved, '/', (size_t)length) : NULL;
        if (slash == NULL) {
            return error_set(error, -EIO, "cannot tell where this program lies; use --proxy");
        }
        strcpy(slash + 1, "weir-proxy");
    } else if (realpath(options->proxy, resolved) == NULL) {
        return error_set(error, -errno, "cannot use %s: %s", options->proxy, strerror(errno));
    }
    if (strlen(resolved) >= PATH_TEXT_LEN) {
        return error_set(error, -ENAMETOOLONG, "the path of weir-proxy is too long");
    }
    strcpy(ret_path, resolved);
    return 0;
}

static int check_options(struct options *options, char host[static 65], struct agent_config *config,
                         struct error *error)
{
    if (options->node == NULL) {
        gethostname(host, 64);
        options->node = host;
    }
    if (!node_name_valid(options->node)) {
        return error_set(error, -EINVAL, "--node: not a name: %s", options->node);
    }
    if (!instance_valid(options->instance)) {
        return error_set(error, -EINVAL,
                         "--instance: up to 6 of a-z 0-9, beginning with a letter: %s",
                         options->instance);
    }
    if (strcmp(options->runtime, "oci") == 0) {
        config->runtime = RUNTIME_OCI;
    } else if (strcmp(options->runtime, "process") == 0) {
        config->runtime = RUNTIME_PROCESS;
    } else {
        return error_set(error, -EINVAL, "--runtime: oci or process, not %s", options->runtime);
    }
    const char *controller = options->controller;
    if (strncmp(controller, "unix:", 5) == 0) {
        controller += 5;
    }
    if (controller[0] != '/' && strncmp(controller, "http://", 7) != 0) {
        return error_set(error, -EINVAL, "--controller: a path or http://host:port, not %s",
                         controller);
    }
    config->controller = options->desired == NULL && !options->remove_all ? controller : NULL;
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {.controller = "/run/weir/controller.sock",
                              .runtime = "oci",
                              .instance = "",
                              .command = "runc",
                              .log_level = "info"};
    struct error error = {0};
    enum log_level level = LOG_LEVEL_INFO;
    int result = parse_options(argc, argv, &options, &error);
    if (result == 0 && log_level_parse(options.log_level, &level) < 0) {
        result = error_set(&error, -EINVAL, "--log-level: not a level: %s", options.log_level);
    }
    if (result == 0 && (options.help || options.version)) {
        if (options.help) {
            print_help();
        } else {
            printf("weir-agent %s\n", WEIR_VERSION);
        }
        return 0;
    }
    log_open("weir-agent", level);
    struct agent_config config = {0};
    char host[65] = "", run_dir[PATH_TEXT_LEN], state_dir[PATH_TEXT_LEN], proxy[PATH_TEXT_LEN];
    if (result < 0 || (result = check_options(&options, host, &config, &error)) < 0) {
        log_error("%s", error.text);
        return 2;
    }
    if ((result = node_directory(options.run_dir, "/run/weir", &options, run_dir, &error)) < 0 ||
        (result = node_directory(options.state_dir, "/var/lib/weir", &options, state_dir, &error)) <
            0 ||
        (result = proxy_path(&options, proxy, &error)) < 0) {
        log_error("%s", error.text);
        return 2;
    }
    config.node = options.node;
    config.instance = options.instance;
    config.run_dir = run_dir;
    config.state_dir = state_dir;
    config.proxy = proxy;
    config.command = options.command;
    config.desired = options.desired;
    config.remove_all = options.remove_all;
    result = agent_run(&config, &error);
    if (result < 0) {
        log_error("%s", error.text);
        return 1;
    }
    return 0;
}
