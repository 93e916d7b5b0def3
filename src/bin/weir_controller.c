// SPDX-License-Identifier: Apache-2.0
// weir-controller: options, then store, controller, API and DNS on one loop until SIGTERM.
// Exit codes: 0 ended in order · 1 anything else · 2 a bad option · 3 the database · 4 an address.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "api/api.h"
#include "base/log.h"
#include "control/controller.h"
#include "control/ipam.h"
#include "dns/zone.h"
#include "event/child.h"
#include "event/loop.h"
#include "http/server.h"
#include "store/store.h"

enum { EXIT_OPTION = 2, EXIT_DATABASE = 3, EXIT_ADDRESS = 4, VALUES_MAX = CONTROLLER_DNS_MAX };
enum { FAILOVER_SETTING_MAX = 86400000 };

struct values {
    const char *items[VALUES_MAX];
    size_t count; // 0: the default
};

struct options {
    struct values listen, socket, database, dns, zone, front_subnet, project_pool,
        failure_threshold_s, set, log_level;
    bool help, version;
};

// One truth for parsing, defaults and --help.
static const struct option_row {
    const char *name;
    const char *value; // what it is called; NULL: a switch
    size_t offset;
    size_t most; // times it may be given
    const char *standard;
    const char *text;
} option_rows[] = {
    {"listen", "ADDRESS:PORT", offsetof(struct options, listen), VALUES_MAX, "127.0.0.1:7600",
     "where the API listens; may be given several times"},
    {"socket", "PATH", offsetof(struct options, socket), 1, "/run/weir/controller.sock",
     "the API's Unix socket, mode 0660; \"none\" for none"},
    {"database", "PATH", offsetof(struct options, database), 1, "/var/lib/weir/controller/weir.db",
     "the database file"},
    {"dns", "ADDRESS:PORT", offsetof(struct options, dns), VALUES_MAX, "127.0.0.1:5353",
     "where DNS answers by UDP and TCP; may be given several times"},
    {"zone", "NAME", offsetof(struct options, zone), 1, "weir.internal",
     "the DNS zone of load balancers"},
    {"front-subnet", "PREFIX", offsetof(struct options, front_subnet), 1, "10.90.0.0/16",
     "where units' front addresses come from (runtime process: 127.90.0.0/16)"},
    {"project-pool", "PREFIX", offsetof(struct options, project_pool), 1, "10.100.0.0/14",
     "where the subnet comes from of a project that names none"},
    {"failure-threshold-s", "N", offsetof(struct options, failure_threshold_s), 1, "60",
     "a unit that stays dead for so long is deleted for good, 1 to 86400"},
    {"set", "NAME=NUMBER", offsetof(struct options, set), VALUES_MAX, NULL,
     "another setting of the crash workflow, listed below; may be given several times"},
    {"log-level", "LEVEL", offsetof(struct options, log_level), 1, "info",
     "error, warning, info or debug"},
    {"help", NULL, offsetof(struct options, help), 1, NULL, "this text"},
    {"version", NULL, offsetof(struct options, version), 1, NULL, "the version"},
};

static void print_help(void)
{
    printf("weir-controller: API, store, reconciler, failover and DNS of Weir\n\noptions:\n");
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        char left[48];
        snprintf(left, sizeof(left), "--%s%s%s", row->name, row->value != NULL ? " " : "",
                 row->value != NULL ? row->value : "");
        printf("  %-27s %s%s%s\n", left, row->text, row->standard != NULL ? "; default " : "",
               row->standard != NULL ? row->standard : "");
    }
    printf(
        "\nIt needs no privileges but for its ports and directories. SIGTERM ends it; units serve "
        "on.\n\nThe crash workflow goes by these (--set):\n");
    for (size_t i = 0; i < failover_setting_count; i++) {
        const struct failover_setting *setting = &failover_setting_table[i];
        printf("  %-27s %s (%u)\n", setting->name, setting->text, setting->number);
    }
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

static int add_value(struct options *options, const struct option_row *row, const char *value,
                     struct error *error)
{
    struct values *values = (struct values *)((char *)options + row->offset);
    if (values->count == row->most) {
        return error_set(error, -EINVAL, "--%s may be given %zu time%s at most", row->name,
                         row->most, row->most == 1 ? "" : "s");
    }
    values->items[values->count++] = value;
    return 0;
}

static int parse_options(int argc, char **argv, struct options *options, struct error *error)
{
    int r = 0;
    for (int i = 1; i < argc && r == 0; i++) {
        const char *name = argv[i];
        const char *equals = strchr(name, '=');
        size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
        const struct option_row *row =
            length > 2 && strncmp(name, "--", 2) == 0 ? find_option(name + 2, length - 2) : NULL;
        if (row == NULL) {
            return error_set(error, -EINVAL, "unknown option %s; see --help", name);
        }
        if (row->value == NULL) {
            if (equals != NULL) {
                return error_set(error, -EINVAL, "--%s takes no value", row->name);
            }
            *(bool *)((char *)options + row->offset) = true;
        } else if (equals != NULL) {
            r = add_value(options, row, equals + 1, error);
        } else if (i + 1 < argc) {
            r = add_value(options, row, argv[++i], error);
        } else {
            return error_set(error, -EINVAL, "--%s needs a value: %s", row->name, row->value);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(option_rows) && r == 0; i++) {
        const struct option_row *row = &option_rows[i];
        struct values *values = (struct values *)((char *)options + row->offset);
        if (row->standard != NULL && values->count == 0) {
            r = add_value(options, row, row->standard, error);
        }
    }
    return r;
}

static int parse_addresses(const char *option, const struct values *values, struct addr *addresses,
                           struct error *error)
{
    for (size_t i = 0; i < values->count; i++) {
        if (addr_parse(str_of(values->items[i]), &addresses[i]) < 0) {
            return error_set(error, -EINVAL, "--%s: %s is not an address with a port, 127.0.0.1:80",
                             option, values->items[i]);
        }
    }
    return 0;
}

static int parse_prefix(const char *option, const char *text, unsigned bits_max,
                        struct prefix *ret_prefix, struct error *error)
{
    struct prefix prefix;
    if (prefix_parse(str_of(text), &prefix) < 0 || prefix.family != 4 || prefix.bits > bits_max ||
        prefix.bits < 8) {
        return error_set(error, -EINVAL,
                         "--%s: %s is not an IPv4 prefix of /8 to /%u, 10.90.0.0/16", option, text,
                         bits_max);
    }
    *ret_prefix = prefix;
    return 0;
}

// Labels of letters, digits and '-' with dots between them.
static bool zone_is_valid(const char *zone)
{
    uint8_t wire[DNS_NAME_MAX];
    return strlen(zone) <= 100 && dns_name_to_wire(STR("a"), str_of(zone), wire) > 3;
}

static int set_failover(const struct values *values, struct failover_settings *settings,
                        struct error *error)
{
    for (size_t i = 0; i < values->count; i++) {
        const char *given = values->items[i], *equals = strchr(given, '=');
        const struct failover_setting *setting = NULL;
        for (size_t j = 0; equals != NULL && j < failover_setting_count; j++) {
            const char *name = failover_setting_table[j].name;
            if (strlen(name) == (size_t)(equals - given) &&
                strncmp(name, given, (size_t)(equals - given)) == 0) {
                setting = &failover_setting_table[j];
            }
        }
        uint64_t number;
        if (setting == NULL || str_to_u64(str_of(equals + 1), FAILOVER_SETTING_MAX, &number) < 0 ||
            number == 0) {
            return error_set(error, -EINVAL,
                             "--set: %s is not NAME=NUMBER of a setting; see --help", given);
        }
        uint32_t value = (uint32_t)number;
        memcpy((char *)settings + setting->offset, &value, sizeof(value));
    }
    return 0;
}

static int read_options(const struct options *given, struct controller_options *options,
                        struct addr *dns, struct addr *listen, struct error *error)
{
    enum log_level level;
    char *end;
    unsigned long threshold_s = strtoul(given->failure_threshold_s.items[0], &end, 10);
    if (log_level_parse(given->log_level.items[0], &level) < 0) {
        return error_set(error, -EINVAL, "--log-level: not a level: %s", given->log_level.items[0]);
    }
    log_open("weir-controller", level);
    if (*end != '\0' || threshold_s < 1 || threshold_s > 86400 ||
        given->failure_threshold_s.items[0][0] == '-') {
        return error_set(error, -EINVAL, "--failure-threshold-s: %s is not a number of 1 to 86400",
                         given->failure_threshold_s.items[0]);
    }
    options->zone = given->zone.items[0];
    if (!zone_is_valid(options->zone)) {
        return error_set(error, -EINVAL, "--zone: %s is not a DNS name", options->zone);
    }
    failover_settings_defaults(&options->failover);
    options->failover.failure_threshold_ms = (uint32_t)threshold_s * 1000;
    options->dns = dns;
    options->dns_count = given->dns.count;
    int r = set_failover(&given->set, &options->failover, error);
    r = r < 0 ? r : parse_addresses("dns", &given->dns, dns, error);
    r = r < 0 ? r : parse_addresses("listen", &given->listen, listen, error);
    r = r < 0 ? r
              : parse_prefix("front-subnet", given->front_subnet.items[0], 28,
                             &options->front_subnet, error);
    r = r < 0 ? r
              : parse_prefix("project-pool", given->project_pool.items[0], IPAM_PROJECT_BITS,
                             &options->project_pool, error);
    if (r == 0 && prefix_overlaps(&options->front_subnet, &options->project_pool)) {
        r = error_set(error, -EINVAL, "--front-subnet and --project-pool overlap");
    }
    return r;
}

// The directory of a file of ours, with those above it.
static int make_directory_of(const char *path, mode_t mode, struct error *error)
{
    char directory[4096];
    if ((size_t)snprintf(directory, sizeof(directory), "%s", path) >= sizeof(directory)) {
        return error_set(error, -ENAMETOOLONG, "the path is too long: %.100s…", path);
    }
    for (char *slash = strchr(directory + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(directory, mode) < 0 && errno != EEXIST) {
            return error_set(error, -errno, "cannot make the directory %.200s: %s", directory,
                             strerror(errno));
        }
        *slash = '/';
    }
    return 0;
}

// ── Running ──────────────────────────────────────────────────────────────────────────────────

struct program {
    struct loop *loop;
    struct store *store;
    struct controller *controller;
    struct resolver *resolver;
    struct api *api;
    struct http_server *server;
    struct signal_watch signals;
    bool signals_open;
};

static void signal_received(struct signal_watch *signals, int number)
{
    struct program *program = signals->owner;
    log_info("ends on signal %d; units serve on", number);
    loop_stop(program->loop);
}

// Lets the loop free what was closed.
static void turn_out(struct program *program)
{
    for (int i = 0; i < 8; i++) {
        loop_turn(program->loop, 0);
    }
}

static void close_program(struct program *program)
{
    if (program->loop == NULL) {
        return;
    }
    http_server_close(program->server);
    turn_out(program);
    api_free(program->api);
    controller_close(program->controller);
    resolver_free(program->resolver);
    if (program->signals_open) {
        signal_watch_close(&program->signals);
    }
    turn_out(program);
    store_close(program->store);
    loop_free(program->loop);
}

static int open_server(struct program *program, const struct options *given,
                       const struct addr *listen, struct error *error)
{
    struct http_server_options server_options = {.body_max = API_BODY_MAX};
    int r =
        http_server_new(program->loop, &server_options, api_asked, program->api, &program->server);
    if (r < 0) {
        error_set(error, r, "the API does not start: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    const char *path = given->socket.items[0];
    for (size_t i = 0; i < given->listen.count && r == 0; i++) {
        r = http_server_listen(program->server, &listen[i], error);
    }
    if (r == 0 && strcmp(path, "none") != 0) {
        r = make_directory_of(path, 0755, error);
        r = r < 0 ? r : http_server_listen_unix(program->server, path, 0660, error);
    }
    return r < 0 ? EXIT_ADDRESS : 0;
}

static int open_program(struct program *program, const struct options *given,
                        struct controller_options *options, const struct addr *listen,
                        struct error *error)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    int r = loop_new(NULL, &program->loop);
    if (r < 0) {
        error_set(error, r, "no event loop: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    program->signals.owner = program;
    r = signal_watch_open(&program->signals, program->loop, numbers, ARRAY_LEN(numbers),
                          signal_received);
    program->signals_open = r == 0;
    if (r < 0) {
        error_set(error, r, "no signals: %s", strerror(-r));
        return EXIT_FAILURE;
    }
    const char *database = given->database.items[0];
    r = make_directory_of(database, 0700, error);
    r = r < 0 ? r : store_open_sqlite(database, program->loop, &program->store, error);
    if (r < 0) {
        return EXIT_DATABASE;
    }
    options->loop = program->loop;
    options->store = program->store;
    options->clock = &clock_system;
    r = resolver_new(program->loop, &program->resolver, error);
    if (r < 0) {
        return EXIT_FAILURE;
    }
    r = controller_open(options, &program->controller, error);
    if (r < 0) {
        return r == -EINVAL                                              ? EXIT_OPTION
               : r == -EUCLEAN                                           ? EXIT_DATABASE
               : r == -EADDRINUSE || r == -EACCES || r == -EADDRNOTAVAIL ? EXIT_ADDRESS
                                                                         : EXIT_FAILURE;
    }
    struct api_options api_options = {
        .loop = program->loop,
        .controller = program->controller,
        .resolver = program->resolver,
    };
    r = api_new(&api_options, &program->api, error);
    return r < 0 ? EXIT_FAILURE : open_server(program, given, listen, error);
}

int main(int argc, char **argv)
{
    struct options given = {0};
    struct controller_options options = {0};
    struct addr dns[VALUES_MAX], listen[VALUES_MAX];
    struct error error = {0};
    log_open("weir-controller", LOG_LEVEL_INFO);
    int r = parse_options(argc, argv, &given, &error);
    if (r == 0 && given.help) {
        print_help();
        return 0;
    }
    if (r == 0 && given.version) {
        printf("weir-controller %s\n", WEIR_VERSION);
        return 0;
    }
    r = r < 0 ? r : read_options(&given, &options, dns, listen, &error);
    if (r < 0) {
        log_error("%s", error.text);
        return EXIT_OPTION;
    }
    signal(SIGPIPE, SIG_IGN);
    struct program program = {0};
    int exit_code = open_program(&program, &given, &options, listen, &error);
    if (exit_code != 0) {
        log_error("%s", error.text);
    } else {
        log_info("serves: API on %s and %s, DNS on %s, database %s", given.listen.items[0],
                 given.socket.items[0], given.dns.items[0], given.database.items[0]);
        r = loop_run(program.loop);
        if (r < 0) {
            log_error("the event loop failed: %s", strerror(-r));
            exit_code = EXIT_FAILURE;
        }
    }
    close_program(&program);
    return exit_code;
}
