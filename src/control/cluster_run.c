// SPDX-License-Identifier: Apache-2.0
// One run of the cluster: what is due, in the order in which it must not wait.
#include "control/cluster.h"

static void publish_names(struct cluster *cluster)
{
    if (cluster->names_changed) {
        cluster->names_changed = false;
        cluster->ops.publish(cluster->ops.owner);
        cluster->told = true;
    }
}

// Nothing of a project may be left but units on nodes that are away; those keep their records.
static bool project_is_empty(const struct cluster *cluster, uint64_t id)
{
    TABLE_FOREACH (&cluster->balancers, struct cluster_balancer, balancer) {
        if (balancer->balancer.project_id == id) {
            return false;
        }
    }
    TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
        if (unit->unit.project_id == id && unit->evidence != EVIDENCE_LOST) {
            return false;
        }
    }
    return true;
}

static void forget_projects(struct cluster *cluster)
{
    cluster->projects_deleting = false;
    bool any = false;
    TABLE_FOREACH (&cluster->projects, struct cluster_project, project) {
        if (project->project.deleting && project_is_empty(cluster, project->record.id)) {
            struct error error = {0};
            int r = service_project_forget(cluster->service, project->record.id, &error);
            any |= r == 0;
            if (r < 0 && r != -EBUSY) {
                cluster_log(cluster, true, "project %s stays for now: %s", project->project.name,
                            error.text);
                cluster->retry_ms = clock_now_ms(cluster->service->clock) + 1000;
            }
        }
        cluster->projects_deleting |= project->project.deleting && !any;
    }
    if (any) {
        cluster_load(cluster);
    }
}

static void plan_balancers(struct cluster *cluster, uint64_t now_ms)
{
    // What is known is in DNS before the disk has been asked for anything.
    LIST_FOREACH (&cluster->dirty, link) {
        cluster_steer(cluster, CONTAINER_OF(link, struct cluster_balancer, dirty));
    }
    publish_names(cluster);
    // A plan may mark again (its own next step, others that waited for a budget): those follow in
    // the next run, so one balancer cannot keep the others waiting. Who has no unit left comes first,
    // for the failover budget may not last for all.
    struct list due;
    list_init(&due);
    while (!list_empty(&cluster->dirty)) {
        struct list *link = cluster->dirty.next;
        list_remove(link);
        if (CONTAINER_OF(link, struct cluster_balancer, dirty)->steering.serving == 0) {
            list_prepend(&due, link);
        } else {
            list_append(&due, link);
        }
    }
    while (!list_empty(&due)) {
        struct list *link = due.next;
        list_remove(link);
        struct cluster_balancer *balancer = CONTAINER_OF(link, struct cluster_balancer, dirty);
        if (cluster->retry_ms != 0) {
            cluster_mark(cluster, balancer); // the store refuses: all wait, none is forgotten
        } else {
            cluster_carry_out(cluster, balancer, now_ms);
        }
    }
    publish_names(cluster);
}

uint64_t cluster_run(struct cluster *cluster)
{
    uint64_t now_ms = clock_now_ms(cluster->service->clock);
    if (now_ms - cluster->run_at_ms > CLUSTER_STALL_MS) {
        // This process slept; that nobody was heard meanwhile says nothing about them.
        cluster->judge_from_ms = now_ms;
        TABLE_FOREACH (&cluster->units, struct cluster_unit, unit) {
            if (unit->probe_failures < PROBE_FAILURES) {
                unit->probe_failures = 0;
            }
        }
    }
    cluster->run_at_ms = now_ms;
    cluster_judge(cluster, now_ms);
    uint64_t next_ms = now_ms + CLUSTER_BEAT_MS;
    if (now_ms >= cluster->retry_ms) {
        cluster->retry_ms = 0;
        TABLE_FOREACH (&cluster->balancers, struct cluster_balancer, balancer) {
            if (balancer->check_ms <= now_ms) {
                cluster_mark(cluster, balancer);
            }
        }
        plan_balancers(cluster, now_ms);
        if (now_ms >= cluster->orphan_check_ms) {
            cluster->orphan_check_ms = now_ms + CLUSTER_BEAT_MS;
            cluster_take_orphans(cluster, now_ms);
        }
        if (cluster->projects_deleting) {
            forget_projects(cluster);
        }
    } else {
        LIST_FOREACH (&cluster->dirty, link) {
            cluster_steer(cluster, CONTAINER_OF(link, struct cluster_balancer, dirty));
        }
        next_ms = MIN(next_ms, cluster->retry_ms);
    }
    publish_names(cluster);
    LIST_FOREACH (&cluster->nodes, link) {
        struct cluster_node *node = CONTAINER_OF(link, struct cluster_node, link);
        if (node->dirty) {
            cluster_update_document(cluster, node);
        }
    }
    if (cluster->event_flush_ms != 0 && cluster->event_flush_ms <= now_ms) {
        cluster_events_flush(cluster, now_ms);
    }
    if (cluster->told) {
        cluster->told = false;
        cluster->ops.notify(cluster->ops.owner);
    }
    TABLE_FOREACH (&cluster->balancers, struct cluster_balancer, balancer) {
        next_ms = MIN(next_ms, MAX(balancer->check_ms, cluster->retry_ms));
    }
    if (cluster->event_flush_ms != 0) {
        next_ms = MIN(next_ms, cluster->event_flush_ms);
    }
    if (!list_empty(&cluster->dirty) && cluster->retry_ms == 0) {
        next_ms = now_ms;
    }
    next_ms = MIN(next_ms, cluster_next_judgement(cluster));
    return MAX(next_ms, now_ms);
}

int cluster_names(const struct cluster *cluster, struct arena *arena,
                  struct cluster_name **ret_names, size_t *ret_count)
{
    struct cluster_name *names =
        arena_array(arena, struct cluster_name, cluster->balancers.count + 1);
    if (names == NULL) {
        return -ENOMEM;
    }
    size_t count = 0;
    TABLE_FOREACH (&cluster->balancers, struct cluster_balancer, balancer) {
        const struct cluster_project *project =
            table_find(&cluster->projects, balancer->balancer.project_id);
        if (project == NULL || balancer->balancer.deleting) {
            continue;
        }
        char name[2 * LABEL_LEN];
        int len =
            snprintf(name, sizeof(name), "%s.%s", balancer->balancer.label, project->project.label);
        struct str copy = arena_copy(arena, (struct str){name, (size_t)len});
        if (copy.at == NULL) {
            return -ENOMEM;
        }
        names[count++] =
            (struct cluster_name){copy.at, balancer->steering.addresses, balancer->steering.count};
    }
    *ret_names = names;
    *ret_count = count;
    return 0;
}
