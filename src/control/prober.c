// SPDX-License-Identifier: Apache-2.0
#include "control/prober.h"

#include <inttypes.h>
#include <stdlib.h>

#include "event/timer.h"
#include "http/client.h"

struct probe {
    uint64_t id; // the unit's
    struct prober *prober;
    struct http_call call;
    uint64_t due_ms;
    bool wanted;
};

struct prober {
    struct loop *loop;
    struct cluster *cluster;
    struct http_client *client;
    struct table probes;
    struct timer timer;
    void (*told)(void *owner);
    void *owner;
};

static void timer_fired(struct timer *timer)
{
    prober_update(CONTAINER_OF(timer, struct prober, timer));
}

int prober_new(struct loop *loop, struct cluster *cluster, void (*told)(void *owner), void *owner,
               struct prober **ret_prober)
{
    struct prober *prober = calloc(1, sizeof(*prober));
    if (prober == NULL) {
        return -ENOMEM;
    }
    *prober = (struct prober){.loop = loop, .cluster = cluster, .told = told, .owner = owner};
    timer_init(&prober->timer, timer_fired);
    int r = http_client_new(loop, &prober->client);
    if (r < 0) {
        free(prober);
        return r;
    }
    *ret_prober = prober;
    return 0;
}

static void remove_probe(struct probe *probe)
{
    http_call_cancel(&probe->call);
    table_remove(&probe->prober->probes, probe->id);
    free(probe);
}

struct prober *prober_free(struct prober *prober)
{
    if (prober == NULL) {
        return NULL;
    }
    timer_cancel(&prober->timer);
    while (prober->probes.count > 0) {
        remove_probe(prober->probes.items[0]);
    }
    table_clear(&prober->probes);
    http_client_free(prober->client);
    free(prober);
    return NULL;
}

// The right unit: its address may have been another's a moment ago.
static bool is_answer_of(const struct http_answer *answer, uint64_t unit_id)
{
    char expected[48];
    int len = snprintf(expected, sizeof(expected), "{\"unit\":%" PRIu64 ",", unit_id);
    return answer->error == 0 && answer->status == 200 && answer->body.len >= (size_t)len &&
           memcmp(answer->body.at, expected, (size_t)len) == 0;
}

static void probe_done(struct http_call *call, const struct http_answer *answer)
{
    struct probe *probe = call->owner;
    struct prober *prober = probe->prober;
    cluster_probe(prober->cluster, probe->id, is_answer_of(answer, probe->id));
    prober->told(prober->owner);
}

static void start_probe(struct probe *probe, const struct cluster_unit *unit, uint64_t now_ms)
{
    probe->due_ms = now_ms + PROBE_INTERVAL_MS;
    struct addr at = unit->unit.front;
    at.port = UNIT_STATUS_PORT;
    char address[ADDR_TEXT_LEN], url[ADDR_TEXT_LEN + 16];
    snprintf(url, sizeof(url), "http://%s/health", addr_format(&at, address));
    struct http_ask ask = {
        .method = "GET",
        .url = url,
        .connect_timeout_ms = PROBE_TIMEOUT_MS,
        .timeout_ms = PROBE_TIMEOUT_MS,
        .answer_max = 4096,
        .fresh_connection = true,
    };
    probe->call.owner = probe;
    http_client_call(probe->prober->client, &ask, &probe->call, probe_done);
}

static struct probe *find_or_add(struct prober *prober, uint64_t id)
{
    struct probe *probe = table_find(&prober->probes, id);
    if (probe == NULL) {
        probe = calloc(1, sizeof(*probe));
        if (probe != NULL) {
            probe->id = id;
            probe->prober = prober;
            if (table_insert(&prober->probes, probe) < 0) {
                free(probe);
                return NULL;
            }
        }
    }
    return probe;
}

void prober_update(struct prober *prober)
{
    uint64_t now_ms = loop_now_ms(prober->loop), next_ms = now_ms + PROBE_INTERVAL_MS;
    TABLE_FOREACH (&prober->probes, struct probe, probe) {
        probe->wanted = false;
    }
    TABLE_FOREACH (&prober->cluster->units, struct cluster_unit, unit) {
        if (!cluster_wants_probe(unit)) {
            continue;
        }
        struct probe *probe = find_or_add(prober, unit->record.id);
        if (probe == NULL) {
            continue;
        }
        probe->wanted = true;
        if (probe->due_ms <= now_ms && !http_call_is_active(&probe->call)) {
            start_probe(probe, unit, now_ms);
        }
        next_ms = MIN(next_ms, MAX(probe->due_ms, now_ms + 1));
    }
    for (size_t i = prober->probes.count; i-- > 0;) {
        struct probe *probe = prober->probes.items[i];
        if (!probe->wanted) {
            remove_probe(probe);
        }
    }
    timer_set(prober->loop, &prober->timer, next_ms - now_ms);
}
