// SPDX-License-Identifier: Apache-2.0
// weir: the command line. It has no privilege and keeps nothing; everything it does is a request to
// the controller.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/call.h"
#include "cli/output.h"

static bool needs_server(const struct call *call)
{
    return call->command->run != run_help && call->command->run != run_completion;
}

int main(int argc, char **argv)
{
    output_open();
    if (argc > 1 && strcmp(argv[1], "__complete") == 0) {
        return complete_words(argc - 2, argv + 2);
    }
    struct call call;
    bool done;
    int code = call_parse(&call, argc, argv, &done);
    if (code == EXIT_OK && !done) {
        const char *server = call_option(&call, OPTION_SERVER);
        if (server == NULL) {
            server = getenv("WEIR_SERVER");
        }
        if (needs_server(&call) && client_open(&call.client, server) < 0) {
            tell_error("\"%s\" is no address of a server; write unix:PATH or http://HOST:PORT",
                       server != NULL ? server : "");
            code = EXIT_USAGE;
        } else {
            code = call.command->run(&call);
        }
    }
    call_free(&call);
    // A full disk behind stdout is not success, be it found now or by an earlier flush.
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK) {
        tell_error("cannot write the output");
        code = EXIT_REFUSED;
    }
    return code;
}
