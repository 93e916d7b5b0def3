// SPDX-License-Identifier: Apache-2.0
#include "model/load_balancer.h"

#include <stdio.h>
#include <string.h>

#include "model/label.h"
#include "model/target_group.h"

const char *const load_balancer_type_names[] = {"application", "network", NULL};
const char *const load_balancer_state_names[] = {"provisioning", "active",   "degraded",
                                                 "failed",       "deleting", NULL};

static const struct field unit_status_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct unit_status, id)},
    {"node", FIELD_STRING, FIELD_AT(struct unit_status, node)},
    {"address", FIELD_IP, FIELD_AT(struct unit_status, address)},
    {"state", FIELD_ENUM, FIELD_AT(struct unit_status, state), .names = unit_state_names},
    {"role", FIELD_ENUM, FIELD_AT(struct unit_status, role), .names = unit_role_names},
    {"replaces", FIELD_INTEGER, FIELD_AT(struct unit_status, replaces)},
};

const struct schema unit_status_schema = {
    "unit_status",
    "One unit of a load balancer",
    sizeof(struct unit_status),
    SCHEMA_FIELDS(unit_status_fields),
};

static const struct field status_fields[] = {
    {"state", FIELD_ENUM, FIELD_AT(struct load_balancer_status, state),
     .names = load_balancer_state_names},
    {"generation", FIELD_INTEGER, FIELD_AT(struct load_balancer_status, generation),
     .text = "Of the load balancer, when this was seen"},
    {"url", FIELD_STRING, FIELD_AT(struct load_balancer_status, url)},
    {"dns_name", FIELD_STRING, FIELD_AT(struct load_balancer_status, dns_name)},
    {"addresses", FIELD_ARRAY, FIELD_ITEMS(struct load_balancer_status, addresses, address_count),
     .item = FIELD_IP, .text = "Those in DNS now"},
    {"units", FIELD_ARRAY, FIELD_ITEMS(struct load_balancer_status, units, unit_count),
     .item = FIELD_OBJECT, .schema = &unit_status_schema},
    {"targets", FIELD_ARRAY, FIELD_ITEMS(struct load_balancer_status, targets, target_count),
     .item = FIELD_OBJECT, .schema = &target_report_schema},
};

const struct schema load_balancer_status_schema = {
    "load_balancer_status",
    "What Weir last saw of a load balancer",
    sizeof(struct load_balancer_status),
    SCHEMA_FIELDS(status_fields),
};

static const struct field load_balancer_fields[] = {
    {"id", FIELD_INTEGER, FIELD_AT(struct load_balancer, id), .flags = FIELD_READ_ONLY},
    {"generation", FIELD_INTEGER, FIELD_AT(struct load_balancer, generation),
     .flags = FIELD_READ_ONLY, .text = "Grows with each change; also the ETag"},
    {"project_id", FIELD_INTEGER, FIELD_AT(struct load_balancer, project_id),
     .flags = FIELD_READ_ONLY},
    {"name", FIELD_STRING, FIELD_AT(struct load_balancer, name), .min = 1, .max = NAME_MAX_LEN,
     .flags = FIELD_REQUIRED | FIELD_IMMUTABLE,
     .text = "Unique in its project, and so is its label"},
    {"label", FIELD_STRING, FIELD_AT(struct load_balancer, label), .flags = FIELD_READ_ONLY,
     .text = "The name's form in DNS"},
    {"type", FIELD_ENUM, FIELD_AT(struct load_balancer, type), .names = load_balancer_type_names,
     .flags = FIELD_IMMUTABLE, .text = "application: http; network: tcp"},
    {"units", FIELD_INTEGER, FIELD_AT(struct load_balancer, units), .min = 1, .max = 8, .number = 2,
     .text = "How many units share the work"},
    {"listeners", FIELD_ARRAY, FIELD_ITEMS(struct load_balancer, listeners, listener_count),
     .item = FIELD_OBJECT, .schema = &listener_schema, .min = 1, .max = LISTENERS_MAX,
     .flags = FIELD_REQUIRED, .text = "What it listens to"},
    {"auto_scaling", FIELD_BOOL, FIELD_AT(struct load_balancer, auto_scaling),
     .text = "Kept and returned; does not act yet"},
    {"deleting", FIELD_BOOL, FIELD_AT(struct load_balancer, deleting),
     .flags = FIELD_READ_ONLY | FIELD_OPTIONAL, .text = "It goes once its units are gone"},
    {"created_at", FIELD_TIME, FIELD_AT(struct load_balancer, created_at),
     .flags = FIELD_READ_ONLY},
    {"updated_at", FIELD_TIME, FIELD_AT(struct load_balancer, updated_at),
     .flags = FIELD_READ_ONLY},
    {"status", FIELD_POINTER, FIELD_AT(struct load_balancer, status),
     .schema = &load_balancer_status_schema, .flags = FIELD_READ_ONLY},
};

const struct schema load_balancer_schema = {
    "load_balancer",
    "Listeners with one name, served by units",
    sizeof(struct load_balancer),
    SCHEMA_FIELDS(load_balancer_fields),
};

int load_balancer_validate(const struct load_balancer *balancer, struct error *error)
{
    int r = name_validate(balancer->name, "name", error);
    for (size_t i = 0; i < balancer->listener_count && r == 0; i++) {
        const struct listener *listener = &balancer->listeners[i];
        char field[64];
        snprintf(field, sizeof(field), "listeners[%zu].port", i);
        if (listener->port == UNIT_STATUS_PORT) {
            return error_set_field(error, -EINVAL, "port_in_use", field,
                                   "port %d is where units tell their health", UNIT_STATUS_PORT);
        }
        for (size_t k = 0; k < i; k++) {
            if (balancer->listeners[k].port == listener->port) {
                return error_set_field(error, -EEXIST, "port_in_use", field,
                                       "port %u has a listener already", listener->port);
            }
        }
        bool suits =
            (balancer->type == LOAD_BALANCER_APPLICATION) == (listener->protocol == PROTOCOL_HTTP);
        if (!suits) {
            snprintf(field, sizeof(field), "listeners[%zu].protocol", i);
            return error_set_field(error, -EINVAL, "protocol_mismatch", field,
                                   "a load balancer of type %s has no %s listeners",
                                   load_balancer_type_names[balancer->type],
                                   protocol_names[listener->protocol]);
        }
    }
    return r;
}

const char *load_balancer_dns_name(const char *label, const char *project_label, const char *zone,
                                   struct arena *arena)
{
    size_t size = strlen(label) + strlen(project_label) + strlen(zone) + 3;
    char *name = arena_alloc(arena, size);
    if (name != NULL) {
        snprintf(name, size, "%s.%s.%s", label, project_label, zone);
    }
    return name;
}

const char *load_balancer_url(const struct load_balancer *balancer, const char *dns_name,
                              struct arena *arena)
{
    size_t size = strlen(dns_name) + sizeof("http://:65535/");
    char *url = arena_alloc(arena, size);
    if (url == NULL) {
        return NULL;
    }
    unsigned port = balancer->listener_count > 0 ? balancer->listeners[0].port : 0;
    if (balancer->listener_count > 0 && balancer->listeners[0].protocol == PROTOCOL_TCP) {
        snprintf(url, size, "tcp://%s:%u", dns_name, port);
    } else if (port == 80 || port == 0) {
        snprintf(url, size, "http://%s/", dns_name);
    } else {
        snprintf(url, size, "http://%s:%u/", dns_name, port);
    }
    return url;
}
