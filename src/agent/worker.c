// SPDX-License-Identifier: Apache-2.0
#include "agent/worker.h"

#include <signal.h>

#include "base/err.h"

static void job_deliver(struct letter *letter)
{
    struct job *job = CONTAINER_OF(letter, struct job, letter);
    job->done(job);
}

static void *worker_run(void *context)
{
    struct worker *worker = context;
    pthread_mutex_lock(&worker->lock);
    for (;;) {
        while (list_empty(&worker->jobs) && !worker->closing) {
            pthread_cond_wait(&worker->wake, &worker->lock);
        }
        if (list_empty(&worker->jobs)) {
            break;
        }
        struct job *job = CONTAINER_OF(worker->jobs.next, struct job, link);
        list_remove(&job->link);
        pthread_mutex_unlock(&worker->lock);
        job->work(job);
        mailbox_send(worker->home, &job->letter);
        pthread_mutex_lock(&worker->lock);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

int worker_open(struct worker *worker, const char *name, struct mailbox *home)
{
    *worker = (struct worker){.home = home};
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->wake, NULL);
    list_init(&worker->jobs);
    // Signals are for the loop's thread.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&worker->thread, NULL, worker_run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result != 0) {
        return -result;
    }
    pthread_setname_np(worker->thread, name);
    worker->running = true;
    return 0;
}

void worker_submit(struct worker *worker, struct job *job, void (*work)(struct job *),
                   void (*done)(struct job *))
{
    job->letter.deliver = job_deliver;
    job->work = work;
    job->done = done;
    pthread_mutex_lock(&worker->lock);
    list_append(&worker->jobs, &job->link);
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
}

void worker_close(struct worker *worker)
{
    if (!worker->running) {
        return;
    }
    pthread_mutex_lock(&worker->lock);
    worker->closing = true;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);
    pthread_mutex_destroy(&worker->lock);
    pthread_cond_destroy(&worker->wake);
    worker->running = false;
}
