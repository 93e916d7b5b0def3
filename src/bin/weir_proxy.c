// SPDX-License-Identifier: Apache-2.0
// One unit. Everything it does is in src/proxy.
#include <getopt.h>
#include <stdio.h>

#include "base/log.h"
#include "proxy/proxy.h"

static const char usage[] =
    "Usage: weir-proxy --snapshot FILE --control SOCKET [--workers N]\n"
    "Serves one load balancer from a snapshot, as a unit of Weir.\n"
    "\n"
    "  --snapshot FILE    the snapshot to begin with; without it, or when it cannot be used,\n"
    "                     waits for one on the control socket\n"
    "  --control SOCKET   the Unix socket for its agent: snapshots in, state out, drain\n"
    "  --workers N        threads that serve (1; 0: one for each CPU it may use)\n"
    "  --no-seccomp       keep all system calls, to debug\n"
    "  --log-level LEVEL  error, warning, info (the default) or debug\n"
    "  --help, --version\n"
    "\n"
    "SIGTERM drains for at most 10 seconds; a second one, or SIGINT, ends it at once.\n"
    "Exit codes: 0 after a drain, 1 when it cannot start or go on, 2 for wrong options.\n";

static bool parse_workers(const char *text, unsigned *ret_workers)
{
    uint64_t value;
    if (str_to_u64(str_of(text), WORKERS_MAX, &value) < 0) {
        fprintf(stderr, "weir-proxy: --workers takes 0 to %d\n", WORKERS_MAX);
        return false;
    }
    *ret_workers = (unsigned)value;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"snapshot", required_argument, NULL, 's'},  {"control", required_argument, NULL, 'c'},
        {"workers", required_argument, NULL, 'w'},   {"no-seccomp", no_argument, NULL, 'n'},
        {"log-level", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},         {0},
    };
    struct proxy_options proxy = {.workers = 1, .sandbox = true};
#ifdef __SANITIZE_ADDRESS__
    proxy.sandbox = false; // a sanitizer's runtime needs calls of its own
#endif
    enum log_level level = LOG_LEVEL_INFO;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 's':
            proxy.snapshot_path = optarg;
            break;
        case 'c':
            proxy.control_path = optarg;
            break;
        case 'w':
            if (!parse_workers(optarg, &proxy.workers)) {
                return 2;
            }
            break;
        case 'n':
            proxy.sandbox = false;
            break;
        case 'l':
            if (log_level_parse(optarg, &level) < 0) {
                fprintf(stderr, "weir-proxy: --log-level takes error, warning, info or debug\n");
                return 2;
            }
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'v':
            puts("weir-proxy " WEIR_VERSION);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (optind < argc || (proxy.snapshot_path == NULL && proxy.control_path == NULL)) {
        fputs(usage, stderr);
        return 2;
    }
    log_open("weir-proxy", level);
    return proxy_run(&proxy);
}
