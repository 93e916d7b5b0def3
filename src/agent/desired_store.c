// SPDX-License-Identifier: Apache-2.0
// Where the desired document is kept across restarts (<state-dir>/desired.json), or read from
// (--desired FILE, which is read again whenever it changes).
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "agent/agent_state.h"
#include "base/log.h"

struct desired_store {
    struct agent *agent;
    struct watch changes; // of --desired's directory
    struct timer settle;
    int inotify_fd;
    char path[UNIT_PATH_LEN];
    bool ours; // a file of ours that we write, not the user's
    // Writing:
    struct job job;
    char *writing, *next; // owned
    bool busy, failed;
    int result;
};

static int store_read(struct desired_store *store, struct error *error)
{
    cleanup(free_ptr) char *text = NULL;
    size_t length;
    int result = file_read(store->path, DOCUMENT_MAX, &text, &length);
    if (result < 0) {
        return error_set(error, result, "cannot read %s: %s", store->path, strerror(-result));
    }
    return agent_take_document(store->agent, (struct str){text, length}, false, error);
}

static void store_settled(struct timer *timer)
{
    struct desired_store *store = CONTAINER_OF(timer, struct desired_store, settle);
    struct error error = {0};
    if (store_read(store, &error) < 0) {
        log_error("the desired document is not taken, what runs stays: %s", error.text);
    }
}

static void store_changed(struct watch *watch, unsigned events)
{
    struct desired_store *store = CONTAINER_OF(watch, struct desired_store, changes);
    _Alignas(struct inotify_event) char buffer[4096];
    const char *slash = strrchr(store->path, '/');
    const char *name = slash != NULL ? slash + 1 : store->path;
    ssize_t length;
    while ((length = read(store->inotify_fd, buffer, sizeof(buffer))) > 0) {
        for (const char *at = buffer; at < buffer + length;) {
            const struct inotify_event *event = (const void *)at;
            if (event->len > 0 && strcmp(event->name, name) == 0) {
                timer_set(store->agent->loop, &store->settle, 1);
            }
            at += sizeof(*event) + event->len;
        }
    }
}

static int store_watch(struct desired_store *store)
{
    char directory[UNIT_PATH_LEN];
    const char *slash = strrchr(store->path, '/');
    snprintf(directory, sizeof(directory), "%.*s",
             slash != NULL ? (int)(slash - store->path) + 1 : 1, slash != NULL ? store->path : ".");
    store->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (store->inotify_fd < 0 ||
        inotify_add_watch(store->inotify_fd, directory, IN_CLOSE_WRITE | IN_MOVED_TO) < 0) {
        return -errno;
    }
    return watch_open(&store->changes, store->agent->loop, store->inotify_fd, WATCH_READ,
                      store_changed);
}

int desired_store_open(struct agent *agent, struct desired_store **ret_store, struct error *error)
{
    const struct agent_config *config = agent->config;
    struct desired_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        return error_set(error, -ENOMEM, "out of memory");
    }
    store->agent = agent;
    store->inotify_fd = -1;
    store->ours = config->desired == NULL;
    timer_init(&store->settle, store_settled);
    *ret_store = store;
    if (config->remove_all) {
        return 0; // nothing shall be
    }
    int length = store->ours ? snprintf(store->path, sizeof(store->path), "%s/desired.json",
                                        config->state_dir)
                             : snprintf(store->path, sizeof(store->path), "%s", config->desired);
    if (length >= (int)sizeof(store->path)) {
        return error_set(error, -ENAMETOOLONG, "the path of the desired document is too long");
    }
    int result = 0;
    if (store->ours) {
        result = directory_make(config->state_dir, 0700);
        if (result < 0) {
            // A read-only or full disk: works, but not across a reboot.
            log_error("cannot create %s: %s; going on with the desired document in memory only",
                      config->state_dir, strerror(-result));
        }
    } else if ((result = store_watch(store)) < 0) {
        return error_set(error, result, "cannot watch %s: %s", store->path, strerror(-result));
    }
    struct error fault = {0};
    result = store_read(store, &fault);
    if (result == -ENOENT && store->ours) {
        log_info("no desired document is kept here yet");
    } else if (result < 0) {
        log_error("%s; what runs is left as it is until a document comes%s", fault.text,
                  store->ours ? " from the controller" : "");
    }
    return 0;
}

struct desired_store *desired_store_close(struct desired_store *store)
{
    if (store == NULL) {
        return NULL;
    }
    timer_cancel(&store->settle);
    watch_close(&store->changes);
    if (store->inotify_fd >= 0) {
        close(store->inotify_fd);
    }
    free(store->writing);
    free(store->next);
    free(store);
    return NULL;
}

static void store_work(struct job *job)
{
    struct desired_store *store = CONTAINER_OF(job, struct desired_store, job);
    store->result = file_write(store->path, store->writing, 0600, true);
}

static void store_write_next(struct desired_store *store);

static void store_done(struct job *job)
{
    struct desired_store *store = CONTAINER_OF(job, struct desired_store, job);
    store->busy = false;
    if (store->result < 0) {
        if (!store->failed) {
            log_error("cannot keep the desired document in %s: %s; going on with it in memory, a "
                      "reboot would bring back an older one; trying again every %d s",
                      store->path, strerror(-store->result), BEAT_MS / 1000);
        }
        if (store->next == NULL) {
            store->next = TAKE_PTR(store->writing);
        }
        store->failed = true;
    } else if (store->failed) {
        log_info("the desired document is kept in %s again", store->path);
        store->failed = false;
    }
    free(store->writing);
    store->writing = NULL;
    if (!store->failed) {
        store_write_next(store);
    }
}

static void store_write_next(struct desired_store *store)
{
    if (!store->busy && store->next != NULL) {
        store->writing = TAKE_PTR(store->next);
        store->busy = true;
        worker_submit(&store->agent->disk, &store->job, store_work, store_done);
    }
}

void desired_store_keep(struct desired_store *store, char *text)
{
    if (!store->ours) {
        free(text);
        return;
    }
    free(store->next);
    store->next = text;
    store_write_next(store);
}

void desired_store_beat(struct desired_store *store)
{
    store_write_next(store);
}
