// SPDX-License-Identifier: Apache-2.0
#include "agent/oci_list.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/command.h"
#include "event/child.h"

// A container's directory without a state is one that is being made, for at most as long as a start
// takes; longer: the rest of a start that was cut off.
enum { COMMAND_TIMEOUT_MS = 10000, LOOKS_MAX = 40, LOOK_PAUSE_MS = 50, CONTAINERS_MAX = 65536 };

// The runtime's words to people ("load container x: …", for one that is being made) come together
// with its JSON, which is one line.
static json_t *find_json(const char *output, json_error_t *ret_fault)
{
    for (const char *line = output; line != NULL && *line != '\0';) {
        const char *end = strchrnul(line, '\n');
        if (*line == '[' || strncmp(line, "null", 4) == 0) {
            return json_loadb(line, (size_t)(end - line), JSON_DECODE_ANY, ret_fault);
        }
        line = *end != '\0' ? end + 1 : end;
    }
    snprintf(ret_fault->text, sizeof(ret_fault->text), "there is none in \"%.100s\"", output);
    return NULL;
}

static int list_containers(const char *command, const char *state_dir, json_t **ret_list,
                           struct error *error)
{
    const char *const argv[] = {command, "--root",   state_dir, "--log", "/dev/null",
                                "list",  "--format", "json",    NULL};
    struct command_result run;
    int result = command_run(argv, (struct str){0}, COMMAND_TIMEOUT_MS, &run);
    if (result < 0) {
        return error_set(error, result, "cannot list the containers: %s", strerror(-result));
    }
    json_error_t fault = {0};
    json_t *list = NULL;
    if (run.status != 0) {
        result = error_set(error, -EIO, "cannot list the containers: %.200s", run.output);
    } else if ((list = find_json(run.output, &fault)) == NULL) {
        result = error_set(error, -EIO, "cannot read the list of containers: %s", fault.text);
    }
    command_result_free(&run);
    *ret_list = list;
    return result;
}

static bool is_listed(const json_t *list, const char *name)
{
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const char *id = json_string_value(json_object_get(entry, "id"));
        if (id != NULL && strcmp(id, name) == 0) {
            return true;
        }
    }
    return false;
}

// Containers of ours that have a directory and no state: their ids to ret_ids, at most `room`.
static size_t find_unlisted(const json_t *list, const char *state_dir, const char *instance,
                            uint64_t *ret_ids, size_t room)
{
    size_t count = 0;
    DIR *directory = opendir(state_dir);
    const struct dirent *entry;
    uint64_t id;
    while (directory != NULL && count < room && (entry = readdir(directory)) != NULL) {
        if (name_read(instance, NAME_UNIT, entry->d_name, &id) == 0 &&
            !is_listed(list, entry->d_name)) {
            ret_ids[count++] = id;
        }
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return count;
}

int oci_list(const char *command, const char *state_dir, const char *instance, struct arena *arena,
             struct runtime_found **ret_found, size_t *ret_count, struct error *error)
{
    json_t *list = NULL;
    uint64_t unlisted[64];
    size_t unlisted_count = 0;
    for (int look = 0; look < LOOKS_MAX; look++) {
        json_decref(list);
        int result = list_containers(command, state_dir, &list, error);
        if (result < 0) {
            return result;
        }
        unlisted_count = find_unlisted(list, state_dir, instance, unlisted, ARRAY_LEN(unlisted));
        if (unlisted_count == 0) {
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = LOOK_PAUSE_MS * 1000000L}, NULL);
    }
    size_t listed = MIN(json_array_size(list), (size_t)CONTAINERS_MAX), count = 0;
    struct runtime_found *found =
        arena_array(arena, struct runtime_found, listed + unlisted_count + 1);
    for (size_t i = 0; found != NULL && i < listed; i++) {
        const json_t *entry = json_array_get(list, i);
        const char *id = json_string_value(json_object_get(entry, "id"));
        const char *status = json_string_value(json_object_get(entry, "status"));
        uint64_t unit_id;
        if (id == NULL || status == NULL || name_read(instance, NAME_UNIT, id, &unit_id) < 0) {
            continue;
        }
        pid_t pid = (pid_t)json_integer_value(json_object_get(entry, "pid"));
        found[count] = (struct runtime_found){.unit_id = unit_id};
        if (strcmp(status, "running") == 0 &&
            process_start_time(pid, &found[count].start_time) == 0) {
            found[count].pid = pid;
        }
        count++;
    }
    for (size_t i = 0; found != NULL && i < unlisted_count; i++) {
        found[count++] = (struct runtime_found){.unit_id = unlisted[i]};
    }
    json_decref(list);
    if (found == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    *ret_found = found;
    *ret_count = count;
    return 0;
}
